"""Taking the audit trail away as a file."""

import csv
import io
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import Request
from sqlalchemy import select, update
from starlette.types import Message

from maestro_ml.audit import routes
from maestro_ml.audit.models import AuditEvent
from maestro_ml.core.access import Access, ActorKind, Role
from maestro_ml.core.clock import utc_now
from maestro_ml.db.tenants import SYSTEM
from maestro_ml.db.work import Sessions
from maestro_ml.identity.models import User
from support.people import People, a_people_server
from support.world import ACME, OTHER, USERS

ADMIN = USERS[ACME, Role.ADMIN]
FORMULAS = ("=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\uff1d1+1")


@pytest.fixture
async def people(sessions: Sessions, tmp_path: Path) -> AsyncIterator[People]:
    async with a_people_server(sessions, tmp_path) as people:
        yield people


async def written(people: People, count: int, **changes: Any) -> list[str]:
    """The ids of a thing's events, the newest first."""
    at = utc_now() - timedelta(days=1)
    events = [
        AuditEvent(
            actor_id=ADMIN,
            actor_kind=ActorKind.USER,
            action="thing.changed",
            target_type="thing",
            **({"target_id": str(n)} | changes),
            facts={"n": n, "text": 'a "quoted", line\nand another', "sum": "=1+1"},
            created_at=at + timedelta(seconds=n),
        )
        for n in range(count)
    ]
    async with people.sessions.begin(ACME) as session:
        session.add_all(events)
    return [str(event.id) for event in reversed(events)]


async def exported(people: People, query: str) -> str:
    answer = await people(await people.token(), "GET", f"/audit-events/export?{query}")
    assert answer.status_code == 200, answer.text
    return answer.text


async def test_both_formats_hold_what_the_list_shows(
    people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes, "EXPORTED_AT_ONCE", 3)  # several pages
    ids = await written(people, 10)
    admin = await people.token()
    shown = await people.ok(admin, "GET", "/audit-events?target_type=thing")
    text = await exported(people, "format=jsonl&target_type=thing")
    lines = [json.loads(line) for line in text.splitlines()]
    assert lines == shown["items"]
    assert [line["id"] for line in lines] == ids
    rows = list(csv.DictReader(io.StringIO(await exported(people, "target_type=thing"))))
    assert [row | {"facts": json.loads(row["facts"])} for row in rows] == [
        {k: "" if v is None else v for k, v in item.items()} for item in shown["items"]
    ]


async def test_the_answer_is_a_file_that_no_browser_shows(people: People) -> None:
    admin = await people.token()
    for format, kind in (("csv", "text/csv; charset=utf-8"), ("jsonl", "application/jsonl")):
        answer = await people(admin, "GET", f"/audit-events/export?format={format}")
        assert answer.headers["content-type"] == kind
        disposition = answer.headers["content-disposition"]
        assert disposition.startswith('attachment; filename="audit-events-')
        assert disposition.endswith(f'Z.{format}"')
        assert "content-length" not in answer.headers
    assert await people.code(422, admin, "GET", "/audit-events/export?format=xlsx") == "invalid"


async def test_no_cell_is_a_formula(people: People) -> None:
    """ASVS 1.2.10: names, addresses and ids come from whoever was recorded."""
    for text in FORMULAS:
        await written(people, 1, target_id=text, user_agent=text, request_id=text, ip=text)
    async with people.sessions.begin(SYSTEM) as session:
        await session.execute(update(User).where(User.id == ADMIN).values(name="=HYPERLINK(1)"))
    rows = list(csv.DictReader(io.StringIO(await exported(people, "target_type=thing"))))
    assert len(rows) == len(FORMULAS)
    for row in rows:
        for value in row.values():
            assert not value.startswith(FORMULAS[:1] + tuple(f[0] for f in FORMULAS)), value
    assert {row["target_id"] for row in rows} == {f"'{text}" for text in FORMULAS}
    assert {row["actor_name"] for row in rows} == {"'=HYPERLINK(1)"}


async def test_an_export_is_an_event_with_what_was_asked_for(people: People) -> None:
    await written(people, 2)
    await exported(people, f"format=jsonl&actor_id={ADMIN}&action=thing.*")
    async with people.sessions.begin(ACME) as session:
        query = select(AuditEvent).where(AuditEvent.action == "audit.exported")
        (event,) = await session.scalars(query)
    assert (event.actor_id, event.target_type) == (ADMIN, "audit_trail")
    assert event.request_id == "same"
    assert event.facts == {
        "format": "jsonl",
        "filters": {"actor_id": str(ADMIN), "action": "thing.*"},
    }


async def test_nothing_of_another_tenant_leaves(people: People) -> None:
    ids = await written(people, 3)
    other = await people.token(Role.ADMIN, OTHER)
    for format in ("csv", "jsonl"):
        text = (await people(other, "GET", f"/audit-events/export?format={format}")).text
        assert not any(id in text for id in ids)
        assert "audit.exported" in text


async def test_who_is_no_admin_any_more_gets_no_further_page(
    people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer breaks off without an end, so that nobody takes it for the whole."""
    monkeypatch.setattr(routes, "EXPORTED_AT_ONCE", 2)
    ids = await written(people, 9)
    token = await people.token()
    known, asked = people.identity.authenticate, 0

    async def demoting(request: Request) -> Access:
        nonlocal asked
        asked += 1
        if asked == 3:  # for the third page
            async with people.sessions.begin(SYSTEM) as session:
                await session.execute(update(User).where(User.id == ADMIN).values(active=False))
        return await known(request)

    transport = people.http._transport
    assert isinstance(transport, httpx2.ASGITransport)
    app: Any = transport.app
    app.state.runtime = replace(app.state.runtime, authenticate=demoting)
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    await app(
        {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": "/api/v1/audit-events/export",
            "raw_path": b"/api/v1/audit-events/export",
            "root_path": "",
            "query_string": b"format=jsonl&target_type=thing",
            "headers": [
                (b"host", b"127.0.0.1:8000"),
                (b"authorization", f"Bearer {token}".encode()),
            ],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 8000),
        },
        receive,
        send,
    )
    start, *parts = sent
    assert start["status"] == 200
    assert all(part["more_body"] for part in parts), "it looks whole"
    lines = b"".join(part["body"] for part in parts).splitlines()
    assert [json.loads(line)["id"] for line in lines] == ids[:4]
