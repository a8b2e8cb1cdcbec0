"""The audit trail as a tenant's admins read it."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import UUID

import pytest
from sqlalchemy import delete, update

from maestro_ml.audit.models import AuditEvent
from maestro_ml.core.access import Access, ActorKind, Role
from maestro_ml.core.clock import utc_now
from maestro_ml.core.ids import new_id
from maestro_ml.db.tenants import SYSTEM
from maestro_ml.db.work import Sessions
from maestro_ml.identity.models import Membership, User
from support.people import People, a_people_server
from support.signin import an_api_key
from support.world import ACME, OTHER, USERS

ADMIN, MEMBER = USERS[ACME, Role.ADMIN], USERS[ACME, Role.MEMBER]
AT = utc_now() - timedelta(days=10)
KEY = new_id()


@pytest.fixture
async def people(sessions: Sessions, tmp_path: Path) -> AsyncIterator[People]:
    async with a_people_server(sessions, tmp_path) as people:
        yield people


def an_event(n: int = 0, **changes: Any) -> AuditEvent:
    """The nth second of an hour ten days ago."""
    fields: dict[str, Any] = {
        "actor_id": MEMBER,
        "actor_kind": ActorKind.USER,
        "action": "thing.changed",
        "target_type": "thing",
        "target_id": str(n),
        "created_at": AT + timedelta(seconds=n),
    }
    return AuditEvent(**(fields | changes))


async def written(sessions: Sessions, *events: AuditEvent, tenant: UUID = ACME) -> list[str]:
    """Their ids, the newest first."""
    async with sessions.begin(tenant) as session:
        session.add_all(events)
    newest = sorted(events, key=lambda event: (event.created_at, event.id), reverse=True)
    return [str(event.id) for event in newest]


async def listed(people: People, query: str = "", who: str | None = None) -> list[str]:
    admin = who or await people.token()
    before = quote((AT + timedelta(hours=1)).isoformat())
    page = await people.ok(admin, "GET", f"/audit-events?until={before}&{query}")
    return [event["id"] for event in page["items"]]


async def test_an_admin_sees_what_happened_with_all_that_is_known(people: People) -> None:
    admin = await people.token()
    changed = await people(admin, "PATCH", f"/users/{MEMBER}", {"role": "viewer"})
    assert changed.is_success
    page = await people.ok(admin, "GET", "/audit-events?action=member.changed")
    (event,) = page["items"]
    assert await people.ok(admin, "GET", f"/audit-events/{event['id']}") == event
    assert UUID(event.pop("id")).version == 7
    assert event.pop("created_at").endswith("Z")
    assert event.pop("user_agent")
    assert event == {
        "action": "member.changed",
        "actor_id": str(ADMIN),
        "actor_kind": "user",
        "actor_name": "admin",
        "actor_email": "admin@acme.test",
        "target_type": "user",
        "target_id": str(MEMBER),
        "facts": {"before": "member", "role": "viewer"},
        "api_key_id": None,
        "ip": "127.0.0.1",
        "request_id": "same",
    }


FILTERS = {
    f"actor_id={ADMIN}": {1, 6},
    f"actor_id={new_id()}": set(),
    "action=user.created": {2},
    "action=user.*": {2, 3},
    "action=use.*": set(),
    "action=user": set(),
    "action=thing.changed": {0, 1, 5, 6},
    "action=nothing.*": set(),
    "target_type=user": {2, 3},
    "target_id=3": {3},
    "target_type=thing&target_id=3": set(),
    f"api_key_id={KEY}": {4},
    "request_id=asked": {5},
    "ip=10.1.1.1": {6},
    f"actor_id={ADMIN}&action=thing.*&ip=10.1.1.1": {6},
}


async def test_each_filter_finds_its_events(people: People) -> None:
    events = [
        an_event(0),
        an_event(1, actor_id=ADMIN),
        an_event(2, action="user.created", target_type="user"),
        an_event(3, action="user.changed", target_type="user"),
        an_event(4, action="userx.changed", api_key_id=KEY),
        an_event(5, request_id="asked"),
        an_event(6, actor_id=ADMIN, ip="10.1.1.1"),
    ]
    await written(people.sessions, *events)
    theirs = await people.token(Role.ADMIN, OTHER)
    for query, wanted in FILTERS.items():
        ids = [str(events[n].id) for n in sorted(wanted, reverse=True)]
        assert await listed(people, query) == ids, query
        assert await listed(people, query, theirs) == [], query


async def test_a_time_range_begins_with_its_first_moment_and_ends_before_its_last(
    people: People,
) -> None:
    ids = await written(people.sessions, *(an_event(n) for n in range(5)))
    admin = await people.token()

    async def between(since: int, until: int) -> list[str]:
        times = [quote((AT + timedelta(seconds=n)).isoformat()) for n in (since, until)]
        page = await people.ok(admin, "GET", f"/audit-events?since={times[0]}&until={times[1]}")
        return [event["id"] for event in page["items"]]

    assert await between(1, 4) == ids[1:4]
    assert await between(2, 2) == []
    elsewhere = quote((AT + timedelta(seconds=3)).isoformat().replace("+00:00", "-00:00"))
    page = await people.ok(admin, "GET", f"/audit-events?since={elsewhere}&action=thing.changed")
    assert [event["id"] for event in page["items"]] == ids[:2]


@pytest.mark.parametrize("query", ["&action=thing.*", "&ip=1"])
@pytest.mark.parametrize("limit", [1, 7])
async def test_pages_follow_each_other_without_a_gap_or_a_repeat(
    people: People, query: str, limit: int
) -> None:
    """Even where many events have the same time, and more come in between."""
    actions = ["thing.changed", "thing.made", "thing.lost"]
    ids = await written(
        people.sessions,
        *(an_event(n // 5, action=actions[n % 3], ip="1") for n in range(17)),
    )
    admin = await people.token()
    before = quote((AT + timedelta(hours=1)).isoformat())
    seen: list[str] = []
    cursor = ""
    while cursor is not None:
        path = f"/audit-events?limit={limit}&until={before}{query}{cursor and f'&cursor={cursor}'}"
        page = await people.ok(admin, "GET", path)
        assert len(page["items"]) <= limit
        seen += [event["id"] for event in page["items"]]
        cursor = page["next_cursor"]
        await written(people.sessions, an_event(3000, action=actions[0], ip="1"))
    assert seen == ids


async def test_the_name_is_the_one_that_the_account_has_now(
    people: People, sessions: Sessions
) -> None:
    gone, left = new_id(), USERS[ACME, Role.VIEWER]
    await written(
        sessions,
        an_event(4, actor_id=MEMBER),
        an_event(3, actor_id=left),
        an_event(2, actor_id=gone),
        an_event(1, actor_id=None),
        an_event(0, actor_id=Access.system(ACME).actor_id, actor_kind=ActorKind.SYSTEM),
    )
    async with sessions.begin(SYSTEM) as session:
        await session.execute(update(User).where(User.id == MEMBER).values(name="=Renamed"))
        await session.execute(delete(Membership).where(Membership.user_id == left))
    page = await people.ok(await people.token(), "GET", "/audit-events?target_type=thing")
    names = [event["actor_name"] for event in page["items"]]
    assert names == ["=Renamed", "viewer", "deleted account", None, "system"]
    emails = [event["actor_email"] for event in page["items"]]
    assert emails == ["member@acme.test", "viewer@acme.test", None, None, None]


async def test_whoever_takes_another_name_is_still_told_apart(
    people: People, sessions: Sessions
) -> None:
    """People name themselves, and the trail shows the name of now; an address is nobody else's."""
    await written(sessions, an_event(2, actor_id=MEMBER), an_event(1, actor_id=ADMIN))
    await people.ok(await people.token(Role.MEMBER), "PATCH", "/auth/me", {"name": "admin"})
    page = await people.ok(await people.token(), "GET", "/audit-events?target_type=thing")
    shown = [(event["actor_name"], event["actor_email"]) for event in page["items"]]
    assert shown == [("admin", "member@acme.test"), ("admin", "admin@acme.test")]


@pytest.mark.parametrize("role", [Role.VIEWER, Role.MEMBER, Role.MAINTAINER])
async def test_only_admins_read_it(people: People, role: Role) -> None:
    (id,) = await written(people.sessions, an_event())
    token = await people.token(role)
    for path in ("", f"/{id}", f"/{new_id()}", "/export", "/verification"):
        await people.refused(403, token, "GET", f"/audit-events{path}")
        await people.refused(401, None, "GET", f"/audit-events{path}")
    await people.refused(403, token, "POST", "/audit-events/verification")


async def test_a_key_needs_the_scope_admin(people: People) -> None:
    for scopes, status in ((["read", "write"], 403), (["read", "write", "admin"], 200)):
        key = await an_api_key(people.sessions, str(ADMIN), ACME, scopes=scopes)
        answer = await people(key, "GET", "/audit-events")
        assert answer.status_code == status


async def test_another_tenants_event_is_not_there(people: People) -> None:
    (theirs,) = await written(people.sessions, an_event(), tenant=OTHER)
    admin = await people.token()
    seen = await people(admin, "GET", f"/audit-events/{theirs}")
    missing = await people(admin, "GET", f"/audit-events/{new_id()}")
    assert (seen.status_code, seen.content) == (404, missing.content)
    other = await people.token(Role.ADMIN, OTHER)
    assert (await people.ok(other, "GET", f"/audit-events/{theirs}"))["id"] == theirs


async def test_another_tenants_cursor_leads_to_ones_own_events(people: People) -> None:
    mine = await written(people.sessions, *(an_event(n) for n in range(3)))
    await written(people.sessions, *(an_event(n + 10) for n in range(3)), tenant=OTHER)
    other = await people.token(Role.ADMIN, OTHER)
    path = "/audit-events?action=thing.changed&limit=1"
    cursor = (await people.ok(other, "GET", path))["next_cursor"]
    page = await people.ok(await people.token(), "GET", f"{path}&limit=9&cursor={cursor}")
    assert [event["id"] for event in page["items"]] == mine


MALFORMED = [
    *("actor_id=me", "actor_id=", "api_key_id=1", "limit=0", "limit=201", "cursor=junk"),
    *("action=*", "action=.*", "action=user.*.*", "action=user%25", "action=User.created"),
    *("action=user.**", "action=a%00b", "action=", f"action={'a' * 101}", "action=user._*"),
    *("since=yesterday", "since=2026-01-01", "since=2026-01-01T00:00:00", "since=9e99"),
    *("until=0001-01-01T00:00:00%2B14:00", "until=9999-12-31T23:59:59-12:00", "since="),
    *("target_id=%00", f"target_id={'x' * 201}", "ip=%00"),
    f"target_type={'x' * 101}",
]


async def test_a_malformed_filter_is_refused(people: People) -> None:
    admin = await people.token()
    for query in MALFORMED:
        assert await people.code(422, admin, "GET", f"/audit-events?{query}") == "invalid"
        if not query.startswith(("limit", "cursor")):
            path = f"/audit-events/export?{query}"
            assert await people.code(422, admin, "GET", path) == "invalid"


async def test_nobody_changes_an_event(people: People) -> None:
    (id,) = await written(people.sessions, an_event())
    admin = await people.token()
    for method in ("PUT", "PATCH", "DELETE", "POST"):
        assert (
            await people.code(405, admin, method, f"/audit-events/{id}", {}) == "method-not-allowed"
        )


async def test_the_state_of_the_seals_is_an_admins_to_see(people: People) -> None:
    await written(people.sessions, an_event())
    admin = await people.token()
    trail = await people.ok(admin, "GET", "/audit-events/verification")
    assert trail.pop("unsealed_events") >= 1
    assert trail == {
        "seals": 0,
        "sealed_events": 0,
        "sealed_until": None,
        "sealed_at": None,
        "head_hash": None,
        "last_verification": None,
    }


async def test_one_verification_runs_at_a_time(people: People) -> None:
    admin = await people.token()
    first = await people(admin, "POST", "/audit-events/verification")
    again = await people.ok(admin, "POST", "/audit-events/verification")
    assert (first.status_code, first.json()) == (202, again)
    assert first.headers["location"] == f"/api/v1/jobs/{again['job_id']}"
    other = await people.token(Role.ADMIN, OTHER)
    assert await people.ok(other, "POST", "/audit-events/verification") != again
