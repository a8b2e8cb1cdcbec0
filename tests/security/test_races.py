"""Forty at once, over and over, against the live server: one wins, or as many as may.

Refresh tokens race in `test_tokens`, the limit of projects in `test_tenants`; invitations, seats
and the first set-up in `tests/api`.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx2
import pytest
from sqlalchemy import func, select

from maestro_ml.audit.models import AuditEvent
from maestro_ml.core.access import Access, Role
from maestro_ml.db.work import Sessions, open_work
from maestro_ml.identity.models import Invitation, Membership
from maestro_ml.identity.service.api_keys import MOST
from maestro_ml.jobs.service import enqueue
from support.live import Cast, a_password, ok
from support.races import AT_ONCE, EACH, race, rounds
from support.sources import AllFromEverywhere

MLFLOW = "/api/2.0/mlflow"


@pytest.fixture
async def admin(cast: Cast) -> AsyncIterator[httpx2.AsyncClient]:
    """Tenant A's."""
    async with httpx2.AsyncClient(
        base_url=cast.url, headers=cast["adminA"].bearer, timeout=60
    ) as client:
        yield client


@pytest.fixture
async def tenant(admin: httpx2.AsyncClient) -> UUID:
    return UUID(ok(await admin.get("/api/v1/tenants/current"))["id"])


async def a_project(admin: httpx2.AsyncClient) -> dict[str, Any]:
    body = {"name": f"race {secrets.token_hex(6)}"}
    made: dict[str, Any] = ok(await admin.post("/api/v1/projects", json=body))
    return made


@pytest.mark.parametrize("alike", ["name", "slug"])
async def test_a_project_name_or_slug_is_taken_once(
    admin: httpx2.AsyncClient, tenant: UUID, truth: Sessions, alike: str
) -> None:
    async def one(_: int) -> None:
        name = f"same-{secrets.token_hex(6)}"

        bodies = (
            [{"name": name}] * AT_ONCE
            if alike == "name"
            else [{"name": f"{name} {number}", "slug": name} for number in EACH]
        )
        before = ok(await admin.get("/api/v1/tenants/current"))["usage"]["projects"]
        done = await race(admin.post("/api/v1/projects", json=body) for body in bodies)
        assert done == {201: 1, 409: AT_ONCE - 1}
        assert ok(await admin.get("/api/v1/tenants/current"))["usage"]["projects"] == before + 1

    await rounds(one)


async def test_a_tenants_slug_is_taken_once(cast: Cast) -> None:
    async with httpx2.AsyncClient(
        base_url=f"{cast.url}/api/v1", timeout=60, headers=cast["root"].bearer
    ) as root:

        async def one(_: int) -> None:
            slug = f"race-{secrets.token_hex(6)}"
            body = {"name": "Same", "slug": slug, "admin_email": f"{slug}@race.test"}
            done = await race(root.post("/tenants", json=body) for _ in EACH)
            assert done == {201: 1, 409: AT_ONCE - 1}
            found = ok(await root.get(f"/tenants?q={slug}"))["items"]
            assert [one["slug"] for one in found] == [slug]

        await rounds(one)


async def test_an_experiment_name_is_taken_once(admin: httpx2.AsyncClient) -> None:
    workspace = {"X-MLFLOW-WORKSPACE": (await a_project(admin))["slug"]}

    async def one(_: int) -> None:
        body = {"name": f"same {secrets.token_hex(6)}"}
        path = f"{MLFLOW}/experiments/create"
        done = await race(admin.post(path, json=body, headers=workspace) for _ in EACH)
        assert done == {200: 1, 400: AT_ONCE - 1}

    await rounds(one)


async def test_a_param_has_one_value(admin: httpx2.AsyncClient) -> None:
    """Forty write another value each: one is kept, and nobody else is told that theirs was."""
    workspace = {"X-MLFLOW-WORKSPACE": (await a_project(admin))["slug"]}
    made = await admin.post(f"{MLFLOW}/runs/create", json={}, headers=workspace)
    run = ok(made)["run"]["info"]["run_id"]

    async def one(turn: int) -> None:
        path = f"{MLFLOW}/runs/log-parameter"
        param = {"run_id": run, "key": f"p{turn}"}
        done = await race(
            admin.post(path, json={**param, "value": str(number)}, headers=workspace)
            for number in EACH
        )
        assert done == {200: 1, 400: AT_ONCE - 1}

    await rounds(one)


async def test_a_project_is_deleted_once(admin: httpx2.AsyncClient) -> None:
    async def one(_: int) -> None:
        project = await a_project(admin)
        path = f"/api/v1/projects/{project['id']}?confirm={project['slug']}"
        before = ok(await admin.get("/api/v1/tenants/current"))["usage"]["projects"]
        assert await race(admin.delete(path) for _ in EACH) == {204: 1, 404: AT_ONCE - 1}
        assert ok(await admin.get("/api/v1/tenants/current"))["usage"]["projects"] == before - 1

    await rounds(one)


async def test_somebody_joins_a_team_once(admin: httpx2.AsyncClient, cast: Cast) -> None:
    body = {"user_id": cast["viewerA"].id, "role": "viewer"}

    async def one(_: int) -> None:
        path = f"/api/v1/projects/{(await a_project(admin))['id']}/members"
        done = await race(admin.post(path, json=body) for _ in EACH)
        assert done == {201: 1, 409: AT_ONCE - 1}

    await rounds(one)


async def test_a_job_is_cancelled_once(
    admin: httpx2.AsyncClient, tenant: UUID, truth: Sessions
) -> None:
    async def one(_: int) -> None:
        async with open_work(truth, Access.system(tenant)) as work:
            job = await enqueue(work, "nobody.runs", {}, run_at=work.now + timedelta(days=1))
        path = f"/api/v1/jobs/{job.id}/cancel"
        assert await race(admin.post(path) for _ in EACH) == {200: 1, 409: AT_ONCE - 1}
        async with truth.begin(tenant) as session:
            asked = (
                select(func.count())
                .select_from(AuditEvent)
                .where(
                    AuditEvent.action == "job.cancel_requested", AuditEvent.target_id == str(job.id)
                )
            )
            assert await session.scalar(asked) == 1

    await rounds(one)


async def test_an_api_key_is_revoked_once(admin: httpx2.AsyncClient) -> None:
    async def one(_: int) -> None:
        made = ok(await admin.post("/api/v1/api-keys", json={"name": "race"}))
        path = f"/api/v1/api-keys/{made['id']}"
        assert await race(admin.delete(path) for _ in EACH) == {204: 1, 404: AT_ONCE - 1}

    await rounds(one)


async def test_of_many_offers_to_one_address_one_is_open(
    admin: httpx2.AsyncClient, tenant: UUID, truth: Sessions
) -> None:
    async def one(_: int) -> None:
        body = {"email": f"{secrets.token_hex(6)}@race.test", "role": "viewer"}
        done = await race(admin.post("/api/v1/users/invitations", json=body) for _ in EACH)
        assert done == {201: AT_ONCE}
        async with truth.begin(tenant) as session:
            still = (
                select(func.count())
                .select_from(Invitation)
                .where(Invitation.email_norm == body["email"], Invitation.revoked_at.is_(None))
            )
            assert await session.scalar(still) == 1

    await rounds(one)


@pytest.mark.rows(58)
async def test_admins_who_demote_each_other_leave_one(
    admin: httpx2.AsyncClient, cast: Cast, truth: Sessions
) -> None:
    """In a tenant of their own: there is no third who could help."""

    async def joined(token: str) -> tuple[str, dict[str, str]]:
        answer = {"token": token, "password": a_password(), "name": "One of Two"}
        made = ok(await admin.post("/api/v1/auth/invitations/accept", json=answer))
        return made["user"]["id"], {"Authorization": f"Bearer {made['access_token']}"}

    name = f"two-{secrets.token_hex(6)}"
    asked = {"name": name, "slug": name, "admin_email": f"first@{name}.test"}
    made = ok(await admin.post("/api/v1/tenants", json=asked, headers=cast["root"].bearer))
    first, bearer = await joined(made["invitation"]["token"])
    place = {"email": f"second@{name}.test", "role": "admin"}
    offer = ok(await admin.post("/api/v1/users/invitations", json=place, headers=bearer))
    second, other = await joined(offer["token"])
    headers = {first: bearer, second: other}

    async def one(_: int) -> None:
        # Each of the two demotes the other and themselves.
        done = await race(
            admin.patch(
                f"/api/v1/users/{(first, second)[number // 2 % 2]}",
                json={"role": "viewer"},
                headers=headers[(first, second)[number % 2]],
            )
            for number in EACH
        )
        assert set(done) <= {200, 403, 409}
        async with truth.begin(UUID(made["tenant"]["id"])) as session:
            members = await session.scalars(select(Membership))
            admins = {str(m.user_id) for m in members if m.role is Role.ADMIN}
        assert len(admins) == 1
        (left,) = admins
        (gone,) = {first, second} - admins
        change = {"role": "admin"}  # as before
        ok(await admin.patch(f"/api/v1/users/{gone}", json=change, headers=headers[left]))

    await rounds(one)


async def test_nobody_enters_once_the_logout_is_answered(cast: Cast) -> None:
    who = {"email": cast["viewerB"].email, "password": cast["viewerB"].password}
    async with httpx2.AsyncClient(
        base_url=f"{cast.url}/api/v1", timeout=60, transport=AllFromEverywhere()
    ) as client:

        async def one(_: int) -> None:
            login = ok(await client.post("/auth/login", json=who))
            bearer = {"Authorization": f"Bearer {login['access_token']}"}
            running = asyncio.gather(
                *(client.get("/projects", headers=bearer) for _ in range(AT_ONCE // 2))
            )
            ended = await client.post("/auth/logout", headers=bearer)
            assert ended.status_code in {204, 401}
            done = await race(client.get("/auth/me", headers=bearer) for _ in EACH)
            assert done == {401: AT_ONCE}
            assert {answer.status_code for answer in await running} <= {200, 401}

        await rounds(one)


async def test_runs_made_while_their_project_is_deleted_are_there_or_refused(
    admin: httpx2.AsyncClient,
) -> None:
    async def one(_: int) -> None:
        project = await a_project(admin)
        inside = {"X-MLFLOW-WORKSPACE": project["slug"]}
        requests = [
            admin.post(f"{MLFLOW}/runs/create", json={"experiment_id": "0"}, headers=inside)
            for _ in range(AT_ONCE // 2)
        ]
        path = f"/api/v1/projects/{project['id']}?confirm={project['slug']}"
        requests.insert(len(requests) // 2, admin.delete(path))
        done = await race(requests)
        assert set(done) <= {200, 204, 404}
        assert done[204] == 1

    await rounds(one)


async def test_a_person_makes_no_more_keys_than_one_may(
    admin: httpx2.AsyncClient, cast: Cast
) -> None:
    place = {"email": f"{secrets.token_hex(6)}@race.test", "role": "viewer"}
    offer = ok(await admin.post("/api/v1/users/invitations", json=place))
    answer = {"token": offer["token"], "password": a_password(), "name": "Many"}
    made = ok(await admin.post("/api/v1/auth/invitations/accept", json=answer))
    headers = {"Authorization": f"Bearer {made['access_token']}"}
    done = await race(
        admin.post("/api/v1/api-keys", json={"name": "x"}, headers=headers)
        for _ in range(MOST + AT_ONCE)
    )
    assert done == {201: MOST, 409: AT_ONCE}
