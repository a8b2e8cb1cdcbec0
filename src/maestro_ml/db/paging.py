"""Keyset paging: by creation, or by a column and then creation.

    await page_of(session, query, Project, request)                      # newest first
    by_name = Sort("name", Project.name)                                 # a to z
    await page_of(session, query, Project, request, sort=by_name)

A sort's column is never NULL and is text, a number or a time. Whatever is sent as a cursor that
is not one of this list and order is `Invalid`.
"""

import json
from base64 import b64decode, urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import ColumnElement, Select, or_
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute

from maestro_ml.core.errors import Invalid
from maestro_ml.core.paging import Page, PageRequest
from maestro_ml.db.base import Row, UtcDateTime

R = TypeVar("R", bound=Row)
_LARGEST = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Sort:
    """`name` is what the caller asked for: a cursor belongs to one order."""

    name: str
    by: ColumnElement[Any] | InstrumentedAttribute[Any]
    descending: bool = False

    @property
    def words(self) -> str:
        return f"-{self.name}" if self.descending else self.name

    @property
    def kind(self) -> type:
        return datetime if isinstance(self.by.type, UtcDateTime) else self.by.type.python_type


async def page_of(
    session: AsyncSession,
    query: Select[R],
    model: type[R],
    request: PageRequest,
    *,
    sort: Sort | None = None,
) -> Page[R]:
    """One page of the query's rows.

    Raises:
        Invalid: the cursor is not one of ours, or not of this order.
    """
    if sort is None:
        return await _newest_first(session, query, model, request)
    by, down = sort.by, sort.descending
    if request.cursor:
        at, id = _decode(request.cursor, sort)
        # Said this way, an index over `by` is entered at the right place.
        query = query.where(
            by <= at if down else by >= at, or_(by != at, _past(model, id, down=down))
        )
    order = (by.desc(), model.id.desc()) if down else (by.asc(), model.id.asc())
    keyed = query.add_columns(by.label("sort_key")).order_by(*order).limit(request.limit + 1)
    rows: Sequence[Any] = (await session.execute(keyed)).all()
    more = len(rows) > request.limit
    rows = rows[: request.limit]
    last = _encode(sort.words, rows[-1][-1], rows[-1][0].id) if more else None
    return Page([row[0] for row in rows], last)


async def page_of_any(
    session: AsyncSession,
    queries: Sequence[Select[R]],
    model: type[R],
    request: PageRequest,
    *,
    sort: Sort,
) -> Page[R]:
    """One page of what any of the queries finds, where no two find the same row. Each is read in
    order from an index of its own, which one query for all of them could not be.

    Raises:
        Invalid: the cursor is not one of ours, or not of this order.
    """
    if request.cursor:
        _decode(request.cursor, sort)
    pages = [await page_of(session, one, model, request, sort=sort) for one in queries]
    if len(pages) == 1:
        return pages[0]
    found = [(getattr(row, str(sort.by.key)), row.id, row) for page in pages for row in page.items]
    found.sort(key=lambda one: one[:2], reverse=sort.descending)
    more = len(found) > request.limit or any(page.next_cursor for page in pages)
    found = found[: request.limit]
    last = _encode(sort.words, *found[-1][:2]) if more else None
    return Page([row for *_, row in found], last)


async def _newest_first(
    session: AsyncSession, query: Select[R], model: type[R], request: PageRequest
) -> Page[R]:
    if request.cursor:
        _, id = _decode(request.cursor, None)
        query = query.where(_past(model, id, down=True))
    query = query.order_by(model.id.desc()).limit(request.limit + 1)
    rows = list(await session.scalars(query))
    more = len(rows) > request.limit
    rows = rows[: request.limit]
    return Page(rows, _encode("", None, rows[-1].id) if more else None)


def _past(model: type[Row], id: UUID, *, down: bool) -> ColumnElement[bool]:
    return model.id < id if down else model.id > id


def _encode(order: str, value: Any, id: UUID) -> str:
    at = value.isoformat() if isinstance(value, datetime) else value
    cursor = json.dumps([order, at, id.hex], separators=(",", ":"), ensure_ascii=False)
    return urlsafe_b64encode(cursor.encode()).rstrip(b"=").decode()


def _decode(cursor: str, sort: Sort | None) -> tuple[Any, UUID]:
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        order, at, id = json.loads(b64decode(padded, altchars="-_", validate=True))
        if order != (sort.words if sort else ""):
            raise Invalid("The cursor belongs to another order of the list.")
        return (_value(at, sort.kind) if sort else None), UUID(hex=id)
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError):
        raise Invalid("The cursor is not one of ours.") from None


def _value(sent: Any, kind: type) -> Any:
    """The place to go on from, as the column's type; nothing that a database could choke on."""
    if kind is datetime:
        moment = datetime.fromisoformat(sent)
        if moment.utcoffset() is None:
            raise ValueError(sent)
        return moment.astimezone(UTC)
    if isinstance(sent, bool) or not isinstance(sent, kind):
        raise TypeError(sent)
    if isinstance(sent, int) and abs(sent) > _LARGEST:
        raise ValueError(sent)
    if isinstance(sent, str) and ("\x00" in sent or _lone(sent)):
        raise ValueError(sent)
    return sent


def _lone(sent: str) -> bool:
    return any("\ud800" <= char <= "\udfff" for char in sent)
