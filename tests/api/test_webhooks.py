"""The native API of webhooks: done, refused, not yours."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from maestro_ml.audit.models import AuditEvent
from maestro_ml.core.access import Role, Scope
from maestro_ml.core.ids import new_id
from maestro_ml.db.tenants import SYSTEM
from maestro_ml.db.work import Sessions
from maestro_ml.projects.routes import router as projects
from maestro_ml.webhooks.catalogue import EVENTS
from maestro_ml.webhooks.routes import router
from support.hooks import SECRET, Hooks, Receiver, a_receiver
from support.leaks import secret
from support.native import CALLERS, Api, native_api
from support.world import ACME, LAB, SHOP, USERS, caller

W = "/webhooks"
HOOK = {
    "name": "Chat",
    "project_id": str(LAB),
    "url": "https://hooks.test/x",
    "events": ["run.finished"],
}
TENANTS = {**HOOK, "project_id": None}
INSIDE = ("http://127.0.0.1:80/x", "https://10.0.0.1", "http://8.8.8.8", "https://8.8.8.8:22")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with a_receiver() as receiver:
        yield receiver


@pytest.fixture
def hooks(sessions: Sessions, tmp_path: Path) -> Hooks:
    return Hooks(sessions, tmp_path)


@pytest.fixture
async def api(hooks: Hooks, tmp_path: Path) -> AsyncIterator[Api]:
    keys = {
        "reader": replace(caller(Role.MAINTAINER), scopes=frozenset({Scope.READ})),
        "writer": replace(caller(), scopes=frozenset({Scope.READ, Scope.WRITE})),
        "confined": replace(caller(), only_projects=frozenset({LAB})),
    }
    async with native_api(
        hooks.sessions,
        tmp_path,
        router,
        projects,
        callers={**CALLERS, **keys},
        clock=hooks.clock,
        courier=hooks.courier,
    ) as api:
        yield api


async def test_a_project_is_heard_by_who_maintains_it(api: Api) -> None:
    made = await api.ok("maintainer", "POST", W, HOOK)
    given = made.pop("secret")
    assert given.startswith("mlw_")
    assert (made["status"], made["format"], made["filters"]) == ("active", "maestro", {})
    assert len(made["key_id"]) == 8
    assert made["previous_key_id"] is None
    read = await api.ok("maintainer", "GET", f"{W}/{made['id']}")
    assert read == made
    assert given not in str(read)
    page = await api.ok("maintainer", "GET", W)
    assert page == {"items": [made], "next_cursor": None}
    assert await api.ok("maintainer", "GET", W, params={"project_id": str(LAB)}) == page


async def test_a_secret_of_ones_own_is_never_shown(api: Api) -> None:
    made = await api.ok("admin", "POST", W, {**HOOK, "secret": SECRET})
    assert made["secret"] is None
    rotated = await api.ok(
        "admin", "POST", f"{W}/{made['id']}/secret", {"secret": secret("wh-5b1e0c77a9d24f")}
    )
    assert rotated["secret"] is None
    assert rotated["previous_key_id"] == made["key_id"] != rotated["key_id"]
    assert rotated["previous_key_until"] is not None
    again = await api.ok("admin", "POST", f"{W}/{made['id']}/secret", {})
    assert again["secret"].startswith("mlw_")
    assert again["previous_key_id"] == rotated["key_id"]


@pytest.mark.parametrize("who", ["viewer", "member"])
async def test_viewers_and_members_may_not(api: Api, who: str) -> None:
    made = await api.ok("maintainer", "POST", W, HOOK)
    at = f"{W}/{made['id']}"
    for method, path, body in (
        ("POST", W, HOOK),
        ("GET", f"{W}?project_id={LAB}", None),
        ("GET", at, None),
        ("PATCH", at, {"name": "N"}),
        ("DELETE", at, None),
        ("POST", f"{at}/test", {}),
        ("POST", f"{at}/secret", {}),
        ("GET", f"{at}/deliveries", None),
        ("POST", f"{at}/deliveries/{new_id()}/replay", None),
    ):
        await api.refused(403, who, method, path, body)
    assert (await api.ok(who, "GET", W))["items"] == []


async def test_a_member_who_maintains_a_project_has_its_webhooks_and_no_others(api: Api) -> None:
    mine = await api.ok("member", "POST", "/projects", {"name": "Mine"})
    made = await api.ok("member", "POST", W, {**HOOK, "project_id": mine["id"]})
    await api.ok("maintainer", "POST", W, HOOK)
    page = await api.ok("member", "GET", W)
    assert [hook["id"] for hook in page["items"]] == [made["id"]]
    await api.refused(403, "member", "GET", W, params={"project_id": str(LAB)})


async def test_a_tenants_webhooks_are_its_admins(api: Api) -> None:
    await api.refused(403, "maintainer", "POST", W, TENANTS)
    await api.refused(403, "writer", "POST", W, TENANTS)  # a key without the scope `admin`
    made = await api.ok("admin", "POST", W, TENANTS)
    at = f"{W}/{made['id']}"
    for method, path, body in (
        ("GET", at, None),
        ("PATCH", at, {"name": "N"}),
        ("DELETE", at, None),
        ("POST", f"{at}/test", {}),
        ("POST", f"{at}/secret", {}),
        ("GET", f"{at}/deliveries", None),
    ):
        await api.refused(403, "maintainer", method, path, body)
    assert (await api.ok("maintainer", "GET", W))["items"] == []
    assert (await api.ok("writer", "GET", W))["items"] == []
    assert len((await api.ok("admin", "GET", W))["items"]) == 1


async def test_a_key_to_read_reads_alone(api: Api) -> None:
    made = await api.ok("maintainer", "POST", W, HOOK)
    await api.ok("reader", "GET", f"{W}/{made['id']}")
    await api.refused(403, "reader", "PATCH", f"{W}/{made['id']}", {"name": "N"})
    await api.refused(403, "reader", "POST", W, HOOK)


async def test_a_key_to_one_project_has_no_tenants_webhooks(api: Api) -> None:
    tenants = await api.ok("admin", "POST", W, TENANTS)
    await api.ok("confined", "POST", W, HOOK)
    assert len((await api.ok("confined", "GET", W))["items"]) == 1
    await api.refused(404, "confined", "GET", f"{W}/{tenants['id']}")
    await api.refused(403, "confined", "POST", W, TENANTS)


async def test_another_tenant_finds_nothing(api: Api) -> None:
    made = await api.ok("maintainer", "POST", W, HOOK)
    for method, path, body in (
        ("GET", "", None),
        ("PATCH", "", {"name": "N"}),
        ("DELETE", "", None),
        ("POST", "/test", {}),
        ("POST", "/secret", {}),
        ("GET", "/deliveries", None),
        ("POST", f"/deliveries/{new_id()}/replay", None),
    ):
        theirs = await api("admin@other", method, f"{W}/{made['id']}{path}", body)
        nobodys = await api("admin@other", method, f"{W}/{new_id()}{path}", body)
        assert (theirs.status_code, theirs.content) == (404, nobodys.content)
    theirs = await api("admin@other", "POST", W, HOOK)
    nobodys = await api("admin@other", "POST", W, {**HOOK, "project_id": str(new_id())})
    assert (theirs.status_code, theirs.content) == (404, nobodys.content)
    await api.ok("admin@other", "POST", W, {**HOOK, "project_id": str(SHOP)})


async def test_a_private_projects_webhooks_are_hidden_with_it(api: Api) -> None:
    hidden = await api.ok(
        "member", "POST", "/projects", {"name": "Hidden", "visibility": "private"}
    )
    made = await api.ok("member", "POST", W, {**HOOK, "project_id": hidden["id"]})
    await api.refused(404, "admin", "GET", f"{W}/{made['id']}")
    await api.refused(404, "admin", "POST", W, {**HOOK, "project_id": hidden["id"]})
    assert (await api.ok("admin", "GET", W))["items"] == []


@pytest.mark.parametrize("url", INSIDE)
async def test_an_address_inside_is_refused_at_save(api: Api, url: str) -> None:
    problem = await api.refused(422, "admin", "POST", W, {**HOOK, "url": url})
    assert problem["type"] == "/problems/address-refused"
    made = await api.ok("admin", "POST", W, HOOK)
    await api.refused(422, "admin", "PATCH", f"{W}/{made['id']}", {"url": url})


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"events": ["run.finishd"]}, "events"),
        ({"events": []}, "events"),
        ({"name": ""}, "name"),
        ({"url": "x"}, "url"),
        ({"secret": "short"}, "secret"),
        ({"filters": {"run.finished": {}}}, "filters"),
        ({"filters": {"run.started": {"status": ["x"]}}}, "filters"),
        ({"filters": {"run.finished": {"colour": ["x"]}}}, "filters"),
        ({"filters": {"project.changed": {"name": ["x"]}}}, "filters"),
        ({"status": "on"}, "status"),
        ({"colour": "red"}, "colour"),
        ({"format": "mlflow"}, "format"),
    ],
)
async def test_bad_input_is_named(api: Api, wrong: dict[str, Any], field: str) -> None:
    problem = await api.refused(422, "admin", "POST", W, {**HOOK, **wrong})
    assert field in problem["faults"][0]["at"]
    assert "short" not in str(problem)


async def test_what_is_sent_is_changed_and_nothing_else(api: Api) -> None:
    filters = {"run.finished": {"status": ["FAILED"]}}
    made = await api.ok("admin", "POST", W, {**HOOK, "filters": filters})
    at = f"{W}/{made['id']}"
    changed = await api.ok("admin", "PATCH", at, {"description": "New", "status": "disabled"})
    assert changed["filters"] == filters
    assert (changed["status"], changed["disabled_reason"]) == ("disabled", None)
    heard = await api.ok("admin", "PATCH", at, {"events": ["project.changed"]})
    assert (heard["events"], heard["filters"]) == (["project.changed"], {})
    await api.refused(422, "admin", "PATCH", at, {})
    await api.refused(422, "admin", "PATCH", at, {"filters": filters})
    await api.refused(422, "admin", "PATCH", at, {"project_id": str(LAB)})
    await api.refused(422, "admin", "PATCH", at, {"secret": "not this way"})


async def test_what_is_deleted_is_gone_with_its_log(api: Api, hooks: Hooks) -> None:
    made = await api.ok("maintainer", "POST", W, HOOK)
    await hooks.run_finished()
    await api.ok("maintainer", "DELETE", f"{W}/{made['id']}")
    await api.refused(404, "maintainer", "GET", f"{W}/{made['id']}")
    assert await hooks.log() == []
    assert await hooks.work_off() == 1


async def test_a_test_is_sent_at_once_and_kept(api: Api, receiver: Receiver) -> None:
    two = {**HOOK, "url": receiver.url, "events": ["run.finished", "project.changed"]}
    made = await api.ok("maintainer", "POST", W, {**two, "secret": SECRET})
    at = f"{W}/{made['id']}"
    told = await api.ok("maintainer", "POST", f"{at}/test", {"event": "project.changed"})
    assert (told["works"], told["status"], told["error"]) == (True, 200, None)
    (got,) = receiver.got
    assert got.is_signed_by(SECRET)
    assert got.json["test"] is True
    assert (got.json["event"], set(got.json["data"])) == (
        "project.changed",
        {"name", "slug", "fields"},
    )
    receiver.status = 404
    again = await api.ok("maintainer", "POST", f"{at}/test", {})
    assert (again["works"], again["status"]) == (False, 404)
    assert receiver.got[1].json["event"] == "run.finished"
    page = await api.ok("maintainer", "GET", f"{at}/deliveries")
    assert [one["id"] for one in page["items"]] == [again["delivery_id"], told["delivery_id"]]
    assert (await api.ok("maintainer", "GET", at))["failures"] == 0
    await api.refused(422, "maintainer", "POST", f"{at}/test", {"event": "session.started"})


async def test_the_log_can_be_read_and_replayed(api: Api, hooks: Hooks, receiver: Receiver) -> None:
    made = await api.ok("maintainer", "POST", W, {**HOOK, "url": receiver.url})
    at = f"{W}/{made['id']}/deliveries"
    for _ in range(2):
        await hooks.run_finished()
    waiting = await api.ok("maintainer", "GET", at, params={"state": "waiting", "limit": 1})
    assert len(waiting["items"]) == 1
    assert waiting["next_cursor"]
    first = waiting["items"][0]["id"]
    busy = await api.refused(409, "maintainer", "POST", f"{at}/{first}/replay")
    assert busy["type"] == "/problems/webhook-delivery-unfinished"
    await hooks.work_off()
    (new, old) = (await api.ok("maintainer", "GET", at))["items"]
    assert {new["state"], old["state"]} == {"delivered"}
    again = await api.ok("maintainer", "POST", f"{at}/{old['id']}/replay")
    assert (again["event_id"], again["replay_of"]) == (old["event_id"], old["id"])
    await hooks.work_off()
    assert receiver.got[2].json == old["payload"]
    other = await api.ok("maintainer", "POST", W, HOOK)
    path = f"{W}/{other['id']}/deliveries/{old['id']}/replay"
    await api.refused(404, "maintainer", "POST", path)


async def test_a_disabled_webhook_says_why_and_is_given_another_chance(
    api: Api, hooks: Hooks, receiver: Receiver
) -> None:
    made = await api.ok("maintainer", "POST", W, {**HOOK, "url": receiver.url})
    receiver.status = 500
    for _ in range(20):
        await hooks.run_finished()
        await hooks.work_off()
        hooks.clock.move(hours=6)
    at = f"{W}/{made['id']}"
    told = await api.ok("maintainer", "GET", at)
    assert told["status"] == "disabled"
    assert "times in a row" in told["disabled_reason"]
    (last, *_) = (await api.ok("maintainer", "GET", f"{at}/deliveries"))["items"]
    off = await api.refused(409, "maintainer", "POST", f"{at}/deliveries/{last['id']}/replay")
    assert off["type"] == "/problems/webhook-disabled"
    enabled = await api.ok("maintainer", "PATCH", at, {"status": "active"})
    assert (enabled["failures"], enabled["disabled_reason"]) == (0, None)


async def test_every_event_can_be_heard(api: Api) -> None:
    made = await api.ok("admin", "POST", W, {**TENANTS, "events": list(EVENTS)})
    assert made["events"] == list(EVENTS)
    twice = await api.ok("admin", "POST", W, {**HOOK, "events": ["run.finished"] * 2})
    assert twice["events"] == ["run.finished"]


async def test_the_trail_says_who_and_never_the_whole_address(api: Api, hooks: Hooks) -> None:
    made = await api.ok("maintainer", "POST", W, {**HOOK, "url": "https://hooks.test/T0/B0/key"})
    await api.ok("maintainer", "POST", f"{W}/{made['id']}/secret", {})
    await api.ok("maintainer", "DELETE", f"{W}/{made['id']}")
    async with hooks.sessions.begin(SYSTEM, read_only=True) as session:
        trail = list(await session.scalars(select(AuditEvent).order_by(AuditEvent.created_at)))
    assert [event.action for event in trail] == [
        *("webhook.created", "webhook.secret_rotated", "webhook.deleted"),
    ]
    assert {event.actor_id for event in trail} == {USERS[ACME, Role.MAINTAINER]}
    assert "T0" not in str([event.facts for event in trail])
