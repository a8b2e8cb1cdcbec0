"""Pages by key: a cursor holds the place of the last row, so nothing is skipped or doubled."""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any, TypeVar
from uuid import UUID

from pydantic import TypeAdapter
from sqlalchemy import (
    ColumnElement,
    SQLColumnExpression,
    UnaryExpression,
    and_,
    false,
    literal,
    or_,
)

from maestro_ml.core.errors import Invalid
from maestro_ml.core.schemas import Text

_TEXT: TypeAdapter[str] = TypeAdapter(Text)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Term:
    """One thing that rows are ordered by. It is never NULL, so that a page can start after it."""

    value: SQLColumnExpression[Any]
    read: Callable[[object], Any]  # from a cursor
    descending: bool = False

    @property
    def order(self) -> UnaryExpression[Any]:
        return self.value.desc() if self.descending else self.value.asc()


def after(terms: Sequence[Term], place: Sequence[Any]) -> ColumnElement[bool]:
    """Later in the order than the row at that place."""
    later: ColumnElement[bool] = false()
    for term, plain in reversed(list(zip(terms, place, strict=True))):
        value = literal(plain, term.value.type)
        beyond = term.value < value if term.descending else term.value > value
        later = or_(beyond, and_(term.value == value, later))
    return later


def encode(place: Iterable[Any]) -> str:
    """The cursor of a row, from the values of its terms."""
    plain = json.dumps([_plain(value) for value in place], separators=(",", ":"))
    return urlsafe_b64encode(plain.encode()).rstrip(b"=").decode()


def batched(items: Iterable[T], size: int = 1000) -> Iterator[list[T]]:
    """A database takes only so many parameters at once."""
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return value.hex if isinstance(value, UUID) else value


def decode(reads: Sequence[Callable[[object], Any]], cursor: str) -> list[Any]:
    """The place of the row that a cursor holds.

    Raises:
        Invalid: the cursor is not one of ours, or belongs to another order.
    """
    try:
        place = json.loads(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        return [read(value) for read, value in zip(reads, place, strict=True)]
    except (ValueError, TypeError, RecursionError):
        raise Invalid("The page token is not one of ours, or belongs to another order.") from None


def a_number(value: object) -> float:
    if not isinstance(value, float):
        raise TypeError
    return value


def an_integer(value: object) -> int:
    if type(value) is not int or not -(2**63) <= value < 2**63:
        raise TypeError
    return value


def a_number_as_text(value: object) -> float:
    """JSON knows no NaN."""
    return float(a_text(value))


def a_text(value: object) -> str:
    return _TEXT.validate_python(value)


def a_time(value: object) -> datetime:
    moment = datetime.fromisoformat(a_text(value))
    if moment.tzinfo is None:
        raise ValueError(value)
    return moment


def an_id(value: object) -> UUID:
    return UUID(a_text(value))
