"""Jobs through the front door: looked at, stopped, followed."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from fastapi import Request
from sqlalchemy import update

from maestro_ml.audit.service import VERIFY
from maestro_ml.core.access import Access, Role
from maestro_ml.core.errors import Unauthenticated
from maestro_ml.core.ids import new_id
from maestro_ml.core.settings import Settings
from maestro_ml.db.tenants import SYSTEM
from maestro_ml.db.work import Sessions, open_work
from maestro_ml.http.deps import Runtime
from maestro_ml.jobs import routes, service
from maestro_ml.jobs.models import Job, JobState
from maestro_ml.jobs.routes import router
from maestro_ml.projects.models import Project, Visibility
from support import ACME, LAB, OTHER, caller
from support.native import Api, native_api

J = "/jobs"


@pytest.fixture
async def api(sessions: Sessions, tmp_path: Path) -> AsyncIterator[Api]:
    async with native_api(sessions, tmp_path, router) as api:
        yield api


async def queued(
    sessions: Sessions, kind: str = "a.job", *, tenant: UUID = ACME, **more: Any
) -> str:
    async with open_work(sessions, caller(tenant=tenant)) as work:
        return str((await service.enqueue(work, kind, {"secret": "hush"}, **more)).id)


async def change(sessions: Sessions, id: str, **values: Any) -> None:
    async with sessions.begin(SYSTEM) as session:
        await session.execute(update(Job).where(Job.id == UUID(id)).values(**values))


async def a_private_project(sessions: Sessions) -> UUID:
    """ACME's, of nobody's team but the platform's."""
    async with open_work(sessions, Access.system(ACME)) as work:
        project = Project(
            name="Secret",
            slug="secret",
            visibility=Visibility.PRIVATE,
            created_at=work.now,
            updated_at=work.now,
        )
        work.session.add(project)
    return project.id


async def hidden(sessions: Sessions, project_id: UUID) -> str:
    async with open_work(sessions, Access.system(ACME)) as work:
        return str((await service.enqueue(work, "a.job", {}, project_id=project_id)).id)


async def listed(api: Api, who: str = "viewer", **params: Any) -> list[str]:
    page = await api.ok(who, "GET", J, params=params)
    return [job["id"] for job in page["items"]]


# Looking


async def test_the_newest_job_comes_first(api: Api, sessions: Sessions) -> None:
    ids = [await queued(sessions) for _ in range(3)]
    await queued(sessions, tenant=OTHER)
    assert await listed(api) == ids[::-1]


async def test_the_list_can_be_asked_for_some(api: Api, sessions: Sessions) -> None:
    plain = await queued(sessions)
    other = await queued(sessions, "other.job")
    lab = await queued(sessions, project_id=LAB)
    await change(sessions, lab, state=JobState.DONE)
    assert await listed(api, kind="other.job") == [other]
    assert await listed(api, state="done") == [lab]
    assert await listed(api, state="queued") == [other, plain]
    assert await listed(api, project_id=str(LAB)) == [lab]
    assert await listed(api, project_id=str(LAB), kind="other.job") == []
    assert await listed(api, kind="no.such") == []


async def test_the_list_comes_in_pages(api: Api, sessions: Sessions) -> None:
    ids = [await queued(sessions) for _ in range(5)]
    await queued(sessions, "other.job")
    seen: list[str] = []
    params: dict[str, Any] = {"limit": 2, "kind": "a.job"}
    while True:
        page = await api.ok("viewer", "GET", J, params=params)
        assert len(page["items"]) <= 2
        seen += [job["id"] for job in page["items"]]
        if page["next_cursor"] is None:
            break
        params["cursor"] = page["next_cursor"]
    assert seen == ids[::-1]


@pytest.mark.parametrize(
    "params",
    [
        *[{"state": "asleep"}, {"project_id": "lab"}, {"limit": 0}, {"cursor": "x"}],
        *[{"kind": "x" * 101}, {"kind": "\x00"}],
    ],
)
async def test_a_list_that_cannot_be_is_refused(api: Api, params: dict[str, Any]) -> None:
    await api.refused(422, "viewer", "GET", J, params=params)


async def test_a_job_is_shown_without_what_it_was_given(api: Api, sessions: Sessions) -> None:
    id = await queued(sessions, project_id=LAB, max_attempts=3)
    await change(sessions, id, progress=0.5, message="Half", error="Once more.", attempts=1)
    job = await api.ok("viewer", "GET", f"{J}/{id}")
    assert {name: job[name] for name in ("kind", "state", "progress", "message", "error")} == {
        "kind": "a.job",
        "state": "queued",
        "progress": 0.5,
        "message": "Half",
        "error": "Once more.",
    }
    assert (job["project_id"], job["attempts"], job["max_attempts"]) == (str(LAB), 1, 3)
    assert "hush" not in json.dumps(job)
    assert not {"payload", "lease_id", "tenant_id", "dedup_key"} & set(job)


# Stopping


@pytest.mark.parametrize("who", ["member", "maintainer", "admin"])
async def test_a_job_that_waits_is_cancelled(api: Api, sessions: Sessions, who: str) -> None:
    id = await queued(sessions)
    job = await api.ok(who, "POST", f"{J}/{id}/cancel")
    assert (job["state"], job["cancel_requested"]) == ("cancelled", True)
    assert job == await api.ok("viewer", "GET", f"{J}/{id}")


async def test_a_job_that_runs_is_asked_to_stop(api: Api, sessions: Sessions) -> None:
    id = await queued(sessions)
    await change(sessions, id, state=JobState.RUNNING)
    for _ in range(2):
        job = await api.ok("member", "POST", f"{J}/{id}/cancel")
        assert (job["state"], job["cancel_requested"]) == ("running", True)


async def test_a_viewer_may_not_stop_a_job(api: Api, sessions: Sessions) -> None:
    id = await queued(sessions, project_id=LAB)
    await api.refused(403, "viewer", "POST", f"{J}/{id}/cancel")
    assert (await api.ok("viewer", "GET", f"{J}/{id}"))["state"] == "queued"


@pytest.mark.parametrize("ended", ["done", "failed", "cancelled"])
async def test_what_has_ended_cannot_be_stopped(api: Api, sessions: Sessions, ended: str) -> None:
    id = await queued(sessions)
    await change(sessions, id, state=JobState(ended))
    problem = await api.refused(409, "admin", "POST", f"{J}/{id}/cancel")
    assert (problem["type"], problem["state"]) == ("/problems/job-ended", ended)


# Not yours

DOORS = [("GET", ""), ("POST", "/cancel"), ("GET", "/events")]


@pytest.mark.parametrize(("method", "path"), DOORS)
async def test_another_tenant_finds_nothing(
    api: Api, sessions: Sessions, method: str, path: str
) -> None:
    id = await queued(sessions)
    for who in ("viewer@other", "admin@other"):
        theirs = await api(who, method, f"{J}/{id}{path}")
        nobodys = await api(who, method, f"{J}/{new_id()}{path}")
        assert (theirs.status_code, theirs.content) == (404, nobodys.content)
        assert await listed(api, who) == []
    assert (await api.ok("viewer", "GET", f"{J}/{id}"))["state"] == "queued"


@pytest.mark.parametrize(("method", "path"), DOORS)
@pytest.mark.parametrize("who", ["viewer", "member", "admin"])
async def test_a_private_projects_jobs_are_hidden(
    api: Api, sessions: Sessions, who: str, method: str, path: str
) -> None:
    id = await hidden(sessions, await a_private_project(sessions))
    theirs = await api(who, method, f"{J}/{id}{path}")
    nobodys = await api(who, method, f"{J}/{new_id()}{path}")
    assert (theirs.status_code, theirs.content) == (404, nobodys.content)
    assert await listed(api, who) == []


@pytest.mark.parametrize(("method", "path"), DOORS)
@pytest.mark.parametrize("who", ["viewer", "member", "maintainer"])
async def test_what_an_audit_found_is_hidden_from_who_may_not_read_it(
    api: Api, sessions: Sessions, who: str, method: str, path: str
) -> None:
    id = await queued(sessions, VERIFY)
    theirs = await api(who, method, f"{J}/{id}{path}")
    nobodys = await api(who, method, f"{J}/{new_id()}{path}")
    assert (theirs.status_code, theirs.content) == (404, nobodys.content)
    assert await listed(api, who) == await listed(api, who, kind=VERIFY) == []
    assert await listed(api, "admin") == await listed(api, "admin", kind=VERIFY) == [id]
    assert (await api.ok("admin", "POST", f"{J}/{id}/cancel"))["state"] == "cancelled"


@pytest.mark.parametrize(("method", "path"), DOORS)
async def test_a_malformed_id_is_refused(api: Api, method: str, path: str) -> None:
    await api.refused(422, "admin", method, f"{J}/first{path}")


@pytest.mark.parametrize(("method", "path"), [*DOORS, ("GET", "")])
async def test_nobody_is_told_nothing(api: Api, sessions: Sessions, method: str, path: str) -> None:
    id = await queued(sessions)
    await api.refused(401, "nobody", method, f"{J}/{id}{path}")
    await api.refused(401, "nobody", "GET", J)


# Following


def told(text: str) -> Any:
    kind, data, *rest = text.split("\n")
    assert (kind, rest) == ("event: job", ["", ""])
    return json.loads(data.removeprefix("data: "))


class Watch:
    """Follows a job as the server does, one event at a time; `may` is taken away at will."""

    def __init__(self, sessions: Sessions, folder: Path, access: Access) -> None:
        self.may = True
        self.access = access
        self.runtime = Runtime(Settings(data=folder), sessions, self._authenticate)
        self.stream: AsyncIterator[Any]

    async def _authenticate(self, request: Request) -> Access:
        if not self.may:
            raise Unauthenticated
        return self.access

    async def begin(self, id: str) -> Any:
        request = Request({"type": "http", "state": {"access": self.access}})
        answer = await routes.watch_job(self.runtime, self.access, request, UUID(id))
        self.stream = aiter(answer.body_iterator)
        return told(await anext(self.stream))

    async def next(self) -> Any:
        return told(await anext(self.stream))

    async def ended(self) -> bool:
        return [event async for event in self.stream] == []


@pytest.fixture
def watch(sessions: Sessions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Watch:
    monkeypatch.setattr(routes, "LOOK", 0.01)
    return Watch(sessions, tmp_path, caller(Role.VIEWER))


async def test_each_change_is_told_until_the_job_ends(watch: Watch, sessions: Sessions) -> None:
    id = await queued(sessions)
    assert (await watch.begin(id))["state"] == "queued"
    await change(sessions, id, state=JobState.RUNNING, progress=0.5, message="Half")
    job = await watch.next()
    assert (job["state"], job["progress"], job["message"]) == ("running", 0.5, "Half")
    await change(sessions, id, state=JobState.DONE, progress=1.0)
    assert (await watch.next())["state"] == "done"
    assert await watch.ended()


async def test_a_quiet_stream_is_kept_open(
    watch: Watch, sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes, "QUIET", 2)
    await watch.begin(await queued(sessions))
    assert (await anext(watch.stream)).startswith(": ")


async def test_the_stream_ends_when_the_caller_is_known_no_more(
    watch: Watch, sessions: Sessions
) -> None:
    await watch.begin(await queued(sessions))
    watch.may = False
    assert await watch.ended()


async def test_the_stream_ends_when_the_job_is_gone_from_sight(
    watch: Watch, sessions: Sessions
) -> None:
    project_id = await a_private_project(sessions)
    id = await queued(sessions, project_id=LAB)
    await watch.begin(id)
    await change(sessions, id, project_id=project_id)
    assert await watch.ended()


async def test_who_is_removed_from_the_team_hears_no_more(watch: Watch, sessions: Sessions) -> None:
    team = await a_private_project(sessions)
    id = await hidden(sessions, team)
    outside = watch.access
    watch.access = replace(outside, project_roles={team: Role.VIEWER})
    assert (await watch.begin(id))["id"] == id
    watch.access = outside
    assert await watch.ended()


async def test_the_stream_ends_with_the_server(watch: Watch, sessions: Sessions) -> None:
    await watch.begin(await queued(sessions))
    watch.runtime.stopping.set()
    assert await watch.ended()


async def test_a_followed_job_is_told_over_http(api: Api, sessions: Sessions) -> None:
    id = await queued(sessions)
    watching = asyncio.create_task(api("viewer", "GET", f"{J}/{id}/events"))
    await api.ok("member", "POST", f"{J}/{id}/cancel")
    answer = await watching
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["cache-control"] == "no-store"
    events = [told(f"{text}\n\n") for text in answer.text.split("\n\n") if text]
    assert [job["id"] for job in events] == [id] * len(events)
    assert events[-1] == await api.ok("viewer", "GET", f"{J}/{id}")
    assert events[-1]["state"] == "cancelled"
