"""From a filter tree to one select, and its page."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Select,
    String,
    and_,
    case,
    cast,
    func,
    literal,
    or_,
    select,
    type_coerce,
)
from sqlalchemy.ext.asyncio import AsyncSession

from maestro_ml.core.clock import EPOCH
from maestro_ml.core.paging import Page
from maestro_ml.db.base import UtcDateTime
from maestro_ml.tracking.errors import FilterInvalid
from maestro_ml.tracking.models import (
    Experiment,
    ExperimentTag,
    LatestMetric,
    Param,
    Run,
    RunTag,
)
from maestro_ml.tracking.search.keyset import (
    Term,
    a_number,
    a_text,
    a_time,
    after,
    an_id,
    an_integer,
    encode,
)
from maestro_ml.tracking.search.tree import Comparison, Field, Kind, Op, Order, Search, View

MAX_COMPARISONS = 100
MAX_ORDERS = 16
MAX_LISTED = 10_000
MAX_PATTERN = 10_000

R = TypeVar("R", Run, Experiment)


def _hex(id: Any) -> ColumnElement[str]:
    """An id as callers know it; one database keeps dashes, the other does not."""
    return func.replace(cast(id, String), "-", "")


@dataclass(frozen=True)
class Space(Generic[R]):
    """What can be searched: its rows, their attributes, and the tables its other names are in."""

    model: type[R]
    attributes: Mapping[str, Any]
    parts: Mapping[Kind, Any]
    owner: str  # the column of a part that names the row
    newest: Any


RUNS = Space(
    model=Run,
    attributes={
        "id": Run.id,
        "name": Run.name,
        "status": type_coerce(Run.status, String()),
        "user_name": Run.user_name,
        "start_time": Run.start_time,
        "end_time": Run.end_time,
        "artifact_uri": literal("mlflow-artifacts:/")
        + _hex(Run.experiment_id)
        + "/"
        + _hex(Run.id)
        + "/artifacts",
    },
    parts={Kind.METRIC: LatestMetric, Kind.PARAM: Param, Kind.TAG: RunTag},
    owner="run_id",
    newest=Run.start_time,
)
EXPERIMENTS = Space(
    model=Experiment,
    attributes={
        "id": Experiment.id,
        "name": Experiment.name,
        "created_at": Experiment.created_at,
        "updated_at": Experiment.updated_at,
    },
    parts={Kind.TAG: ExperimentTag},
    owner="experiment_id",
    newest=Experiment.created_at,
)


async def page(
    session: AsyncSession, space: Space[R], among: ColumnElement[bool], search: Search
) -> Page[R]:
    """The rows of one page, out of those that `among` allows.

    Raises:
        Invalid: the cursor is not one of ours, or not of this order.
        FilterInvalid: the search is larger than a database can be asked for.
    """
    _check_size(search)
    dialect = session.get_bind().dialect.name
    query, terms = _ordered(space, select(space.model), search.order)
    query = query.where(among, *(_matches(space, c, dialect) for c in search.where))
    if search.view is not View.ALL:
        deleted = space.model.deleted_at.is_not(None)
        query = query.where(deleted if search.view is View.DELETED else ~deleted)
    if search.cursor:
        query = query.where(after(terms, search.cursor))
    query = query.add_columns(*(term.value.label(f"term_{n}") for n, term in enumerate(terms)))
    found = (await session.execute(query.limit(search.limit + 1))).all()
    more = len(found) > search.limit
    found = found[: search.limit]
    return Page([row[0] for row in found], encode(found[-1][1:]) if more else None)


def _check_size(search: Search) -> None:
    """Databases answer these with an error of their own, or with a long silence."""
    if len(search.where) > MAX_COMPARISONS:
        raise FilterInvalid(f"A filter holds at most {MAX_COMPARISONS} comparisons")
    if len(search.order) > MAX_ORDERS:
        raise FilterInvalid(f"An order holds at most {MAX_ORDERS} names")
    if len({order.field for order in search.order}) < len(search.order):
        raise FilterInvalid("The order contains duplicate fields")
    listed = sum(len(c.value) for c in search.where if isinstance(c.value, tuple))
    if listed > MAX_LISTED:
        raise FilterInvalid(f"The lists of a filter hold at most {MAX_LISTED} values")


def _matches(space: Space[Any], comparison: Comparison, dialect: str) -> Any:
    field = comparison.field
    if field.kind is Kind.ATTRIBUTE:
        if field.key == "id":
            return _matches_id(space.model.id, comparison, dialect)
        return _compare(space.attributes[field.key], comparison, dialect)
    part = space.parts[field.kind]
    named = select(part.key).where(getattr(part, space.owner) == space.model.id)
    named = named.where(part.key == field.key)
    if comparison.op is Op.IS_NULL:
        return ~named.exists()
    if comparison.op is Op.IS_NOT_NULL:
        return named.exists()
    holds = _compare(part.value, comparison, dialect)
    if field.kind is Kind.METRIC:  # NaN differs from every number and compares with none
        different = comparison.op is Op.NE
        holds = or_(holds, part.is_nan) if different else and_(holds, ~part.is_nan)
    return named.where(holds).exists()


def _matches_id(column: Any, comparison: Comparison, dialect: str) -> Any:
    """By key where it can be: what is no id of ours is nobody's id."""
    if comparison.op in (Op.LIKE, Op.ILIKE):
        return _compare(_hex(column), comparison, dialect)
    value = comparison.value
    ids = [UUID(v) for v in ((value,) if isinstance(value, str) else value) if _is_id(v)]  # type: ignore[union-attr]
    return column.not_in(ids) if comparison.op in (Op.NE, Op.NOT_IN) else column.in_(ids)


def _is_id(text: str) -> bool:
    return len(text) == 32 and all(char in "0123456789abcdef" for char in text)


def _compare(column: Any, comparison: Comparison, dialect: str) -> Any:
    return _OPERATIONS[comparison.op](column, comparison.value, dialect)


def _like(column: Any, pattern: str, dialect: str) -> Any:
    """With an eye to case on both databases, and `%` and `_` the only special characters."""
    _check_pattern(pattern)
    if dialect == "sqlite":
        glob = "".join(_GLOB.get(char, char) for char in pattern)
        return column.op("GLOB", is_comparison=True)(glob)
    return column.like(pattern, escape="")


def _ilike(column: Any, pattern: str, dialect: str) -> Any:
    _check_pattern(pattern)
    if dialect == "sqlite":  # its LIKE knows no case for A to Z, and no escape unless asked
        return column.like(pattern)
    return column.ilike(pattern, escape="")


def _check_pattern(pattern: str) -> None:
    if len(pattern) > MAX_PATTERN:
        raise FilterInvalid(f"A pattern holds at most {MAX_PATTERN} characters")


_GLOB = {"%": "*", "_": "?", "*": "[*]", "?": "[?]", "[": "[[]"}
_OPERATIONS: Mapping[Op, Callable[[Any, Any, str], Any]] = {
    Op.EQ: lambda column, value, _: column == value,
    Op.NE: lambda column, value, _: column != value,
    Op.GT: lambda column, value, _: column > value,
    Op.GE: lambda column, value, _: column >= value,
    Op.LT: lambda column, value, _: column < value,
    Op.LE: lambda column, value, _: column <= value,
    Op.LIKE: _like,
    Op.ILIKE: _ilike,
    Op.IN: lambda column, value, _: column.in_(value),
    Op.NOT_IN: lambda column, value, _: column.not_in(value),
}


def _ordered(
    space: Space[R], query: Select[R], orders: Sequence[Order]
) -> tuple[Select[R], list[Term]]:
    """Ties are broken by time, newest first, and then by id."""
    terms: list[Term] = []
    for order in orders:
        value, missing, read = _named(space, order.field)
        nan = []
        if order.field.kind is not Kind.ATTRIBUTE:
            part = space.parts[order.field.kind]
            is_nan = [part.is_nan] if order.field.kind is Kind.METRIC else []
            held = select(getattr(part, space.owner).label("owner"), part.value, *is_nan)
            found = held.where(part.key == order.field.key).subquery()
            query = query.outerjoin(found, found.c.owner == space.model.id)
            value = found.c.value
            nan = [(found.c.is_nan, 1)] if is_nan else []
        rank = case((value.is_(None), 2), *nan, else_=0)
        terms.append(Term(rank, an_integer))
        terms.append(Term(func.coalesce(value, missing), read, order.descending))
    if Field(Kind.ATTRIBUTE, space.newest.key) not in {order.field for order in orders}:
        terms.append(Term(space.newest, a_time, descending=True))
    terms.append(Term(space.model.id, an_id))
    return query.order_by(*(term.order for term in terms)), terms


def _named(space: Space[Any], field: Field) -> tuple[Any, Any, Callable[[Any], Any]]:
    """The column, what stands in for a missing value, and how to read it from a cursor."""
    if field.kind is Kind.METRIC:
        return None, 0.0, a_number
    if field.kind is not Kind.ATTRIBUTE:
        return None, "", a_text
    column = _hex(space.model.id) if field.key == "id" else space.attributes[field.key]
    if isinstance(column.type, UtcDateTime):
        return column, literal(EPOCH, UtcDateTime()), a_time
    return column, "", a_text
