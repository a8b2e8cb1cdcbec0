"""Lists come in pages, in the order asked for, and a cursor is ours or refused."""

import json
from base64 import urlsafe_b64encode
from datetime import timedelta

import pytest
from sqlalchemy import select

from maestro_ml.core.errors import Invalid
from maestro_ml.core.paging import PageRequest
from maestro_ml.db.paging import Sort, page_of
from maestro_ml.db.work import Work
from maestro_ml.projects.models import Project

NAME = Sort("name", Project.name)
NAME_DOWN = Sort("name", Project.name, descending=True)
CREATED = Sort("created_at", Project.created_at)
ORDERS = {"newest": None, "name": NAME, "name down": NAME_DOWN, "created": CREATED}


@pytest.fixture(autouse=True)
async def rows(work: Work) -> None:
    for n, name in enumerate(("beta", "alpha", "delta", "gamma", "epsilon", "Zeta ü")):
        then = work.now - timedelta(hours=n // 2)  # two by two at the same time
        work.session.add(Project(name=name, slug=f"p{n}", created_at=then, updated_at=then))
    await work.session.flush()


async def all_of(work: Work, sort: Sort | None) -> list[Project]:
    found: list[Project] = []
    cursor = None
    while True:
        request = PageRequest(2, cursor)
        page = await page_of(work.session, select(Project), Project, request, sort=sort)
        found += page.items
        if page.next_cursor is None:
            return found
        cursor = page.next_cursor


@pytest.mark.parametrize("sort", ORDERS.values(), ids=ORDERS.keys())
async def test_pages_hold_every_row_once_in_order(work: Work, sort: Sort | None) -> None:
    found = await all_of(work, sort)
    assert len({project.id for project in found}) == len(found) == 7
    if sort is None:
        assert found == sorted(found, key=lambda p: p.id, reverse=True)
    if sort is CREATED:
        assert found == sorted(found, key=lambda p: (p.created_at, p.id))
    if sort is NAME:
        assert [p.id for p in found] == [p.id for p in reversed(await all_of(work, NAME_DOWN))]
        assert [p.name for p in found if p.name.islower()][:3] == ["alpha", "beta", "delta"]


def forged(*parts: object) -> str:
    return urlsafe_b64encode(json.dumps(parts).encode()).rstrip(b"=").decode()


ID = "01a20e0ac6a77ba2acc42f6f789fdd3c"
GARBAGE = [
    "x",
    "====",
    "ü",
    "\x00",
    "a" * 511,
    forged(),
    forged("name", "a"),
    forged("name", "a", "not an id"),
    forged("name", "a", 7),
    forged("name", 7, ID),
    forged("name", None, ID),
    forged("name", True, ID),
    forged("name", ["a"], ID),
    forged("name", {"a": 1}, ID),
    forged("name", "a\x00b", ID),
    forged("name", "\ud800", ID),
    forged("-name", 7, ID),
    forged("created_at", "2026-01-01", ID),
    forged("created_at", "2026-01-01T00:00:00", ID),
    forged("created_at", "0001-01-01T00:00:00+14:00", ID),
    forged("created_at", "9999-12-31T23:59:59-14:00", ID),
    forged("created_at", 10**30, ID),
    urlsafe_b64encode(b"[" * 380).decode(),
    urlsafe_b64encode(b'{"a":1,"b":2,"c":3}').decode(),
    urlsafe_b64encode(b"\xff\xfe").decode(),
]


@pytest.mark.parametrize("sort", ORDERS.values(), ids=ORDERS.keys())
async def test_a_cursor_that_is_not_ours_is_refused(work: Work, sort: Sort | None) -> None:
    for cursor in GARBAGE:
        with pytest.raises(Invalid):
            await page_of(work.session, select(Project), Project, PageRequest(2, cursor), sort=sort)


async def test_a_cursor_of_another_order_is_refused(work: Work) -> None:
    page = await page_of(work.session, select(Project), Project, PageRequest(2), sort=NAME)
    with pytest.raises(Invalid, match="another order"):
        request = PageRequest(2, page.next_cursor)
        await page_of(work.session, select(Project), Project, request, sort=NAME_DOWN)
