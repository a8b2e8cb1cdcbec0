"""From a filter tree to one select, and its page."""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Select,
    String,
    UnaryExpression,
    case,
    cast,
    func,
    literal,
    select,
    true,
    type_coerce,
)
from sqlalchemy.ext.asyncio import AsyncSession

from maestro_ml.core.clock import EPOCH
from maestro_ml.core.paging import Page
from maestro_ml.db.base import UtcDateTime
from maestro_ml.tracking.errors import FilterInvalid
from maestro_ml.tracking.models import (
    DatasetInput,
    Experiment,
    ExperimentTag,
    LatestMetric,
    LoggedDataset,
    Param,
    Run,
    RunTag,
)
from maestro_ml.tracking.search.comparing import compare, compare_part
from maestro_ml.tracking.search.keyset import (
    Term,
    a_number,
    a_text,
    a_time,
    after,
    an_id,
    an_integer,
    decode,
    encode,
)
from maestro_ml.tracking.search.limits import check_size
from maestro_ml.tracking.search.tree import Comparison, Field, Kind, Op, Order, Search, View


def hexadecimal(id: Any) -> ColumnElement[str]:
    """An id as callers know it; one database keeps dashes, the other does not."""
    return func.replace(cast(id, String), "-", "")


@dataclass(frozen=True)
class Space:
    """What can be searched: its rows, their attributes, and the tables its other names are in."""

    model: Any
    id: Any  # by which the parts name a row
    attributes: Mapping[str, Any]
    parts: Mapping[Kind, Any]
    owner: str  # the column of a part that names the row
    home: str  # the column that says where a row belongs
    newest: Any


def _runs(run: Any, id: Any) -> Space:
    return Space(
        model=run,
        id=id,
        attributes={
            "id": run.id,
            "name": run.name,
            "status": type_coerce(run.status, String()),
            "user_name": run.user_name,
            "start_time": run.start_time,
            "end_time": run.end_time,
            "artifact_uri": literal("mlflow-artifacts:/")
            + hexadecimal(run.experiment_id)
            + "/"
            + hexadecimal(run.id)
            + "/artifacts",
        },
        parts={Kind.METRIC: LatestMetric, Kind.PARAM: Param, Kind.TAG: RunTag},
        owner="run_id",
        home="experiment_id",
        newest=run.start_time,
    )


RUNS = _runs(Run, Run.id)
_DATASET: Mapping[str, Any] = {
    "name": LoggedDataset.name,
    "digest": LoggedDataset.digest,
    "context": DatasetInput.context,
}
EXPERIMENTS = Space(
    model=Experiment,
    id=Experiment.id,
    attributes={
        "id": Experiment.id,
        "name": Experiment.name,
        "created_at": Experiment.created_at,
        "updated_at": Experiment.updated_at,
    },
    parts={Kind.TAG: ExperimentTag},
    owner="experiment_id",
    home="project_id",
    newest=Experiment.created_at,
)


async def page(
    session: AsyncSession, space: Space, homes: Collection[UUID], search: Search
) -> Page[UUID]:
    """The ids of one page, out of the rows that are in one of the homes.

    Raises:
        Invalid: the cursor is not one of ours, or not of this order.
        FilterInvalid: the search is larger than a database can be asked for.
    """
    check_size(search)
    few = await _few(session, space, homes, search)
    stages = _stages(space, homes, search, session.get_bind().dialect.name, few)
    place = decode(stages[0].reads, search.cursor) if search.cursor else [0]
    found: list[tuple[UUID, list[Any]]] = []
    for stage in stages:
        if stage.number < place[0]:
            continue
        if stage.number == _LACKING and not await _some_lack(session, space, homes, search):
            continue
        query, model = stage.query.where(*stage.where), stage.space.model
        if few is not None:
            query = query.where(stage.space.id.in_(few))
        if search.view is not View.ALL:
            deleted = model.deleted_at.is_not(None)
            query = query.where(deleted if search.view is View.DELETED else ~deleted)
        if search.cursor and stage.number == place[0]:
            query = query.where(after(stage.terms, place[1 + len(stage.prefix) :]))
        query = query.add_columns(*(t.value.label(f"term_{n}") for n, t in enumerate(stage.terms)))
        query = query.order_by(*_in_index_order(stage.space, search, stage.terms))
        rows = await session.execute(query.limit(search.limit + 1 - len(found)))
        found += [(id, stage.place(terms)) for id, *terms in rows]
        if len(found) > search.limit:
            found = found[: search.limit]
            return Page([id for id, _ in found], encode(found[-1][1]))
    return Page([id for id, _ in found])


def _in_index_order(
    space: Space, search: Search, terms: Sequence[Term]
) -> list[UnaryExpression[Any]]:
    """PostgreSQL does not see that what IS NULL is all alike, unless it is asked to order by it."""
    orders = [term.order for term in terms]
    if search.view is View.ACTIVE and terms[0].value is space.newest:
        deleted = space.model.deleted_at
        orders.insert(0, deleted.desc() if terms[0].descending else deleted.asc())
    return orders


_NUMBERS, _NAN, _LACKING = range(3)
_WEIGHED = 6  # parts of a filter
_FEW = 500  # rows that are looked at one by one rather than all in their order
_RANGES = frozenset({Op.EQ, Op.GT, Op.GE, Op.LT, Op.LE})


@dataclass(frozen=True)
class _Stage:
    """A part of the rows, all of which come before those of the next stage."""

    number: int
    space: Space
    query: Select[Any]
    where: list[Any]
    terms: list[Term]
    prefix: tuple[Any, ...] = ()  # in its cursors, in place of terms that other stages have

    @property
    def reads(self) -> list[Callable[[object], Any]]:
        return [an_integer, *(term.read for term in self.terms)]

    def place(self, values: Sequence[Any]) -> list[Any]:
        return [self.number, *self.prefix, *values]


def _stages(
    space: Space,
    homes: Collection[UUID],
    search: Search,
    dialect: str,
    few: list[UUID] | None,
) -> list[_Stage]:
    """One, or where a metric orders: numbers, which an index has in order, then NaN, then none."""
    at_home = getattr(space.model, space.home).in_(homes)
    many = has_many_parts(search)
    first = search.order[0] if search.order else None
    if first is None or first.field.kind is not Kind.METRIC:
        terms, query = _ordered(space, select(space.model.id), search.order)
        where = [at_home, *(_matches(space, c, dialect, one_by_one=many) for c in search.where)]
        return [_Stage(0, space, query, where, terms)]
    part = space.parts[Kind.METRIC]
    # The metric's own column says where a row belongs: the index is entered by that one.
    named = (getattr(part, space.home).in_(homes), part.key == first.field.key)
    held = select(getattr(part, space.owner).label("owner"), part.value, part.is_nan)
    having = held.where(*named).subquery()
    ranked, joined = _each(space, having, dialect)
    terms, query = _ordered(ranked, joined, search.order[1:])
    own = [comparison for comparison in search.where if comparison.field == first.field]
    rest = [comparison for comparison in search.where if comparison not in own]
    others: list[Any] = [_matches(ranked, c, dialect, one_by_one=True) for c in rest]
    holds: list[Any] = [compare(having.c.value, comparison, dialect) for comparison in own]
    holds += [~having.c.is_nan]
    if few is None:  # a range makes SQLite enter the index, and then there is nothing to sort
        holds += [having.c.value >= -math.inf]
    value = Term(having.c.value, a_number, first.descending)
    found = [_Stage(_NUMBERS, ranked, query, [*holds, *others], [value, *terms])]
    if all(comparison.op is Op.NE for comparison in own):
        nan: list[Any] = [having.c.value == 0.0, having.c.is_nan]
        found.append(_Stage(_NAN, ranked, query, [*nan, *others], terms, (0.0,)))
    if not own:
        terms, query = _ordered(space, select(space.model.id), search.order[1:])
        lacks = [Comparison(first.field, Op.IS_NULL), *rest]
        where = [at_home, *(_matches(space, c, dialect, one_by_one=many) for c in lacks)]
        found.append(_Stage(_LACKING, space, query, where, terms, (0.0,)))
    return found


def _each(space: Space, having: Any, dialect: str) -> tuple[Space, Select[Any]]:
    """The row of each that has the metric, in the index's order, looked up by its key.

    PostgreSQL would choose for itself, and for tables that it has not looked at since they were
    filled it chooses to go through all rows for each: OFFSET keeps it from rearranging."""
    if dialect != "postgresql":
        joined = select(space.model.id).join(having, having.c.owner == space.model.id)
        return _runs(space.model, having.c.owner), joined
    row = select(space.model).where(space.model.id == having.c.owner).offset(0).lateral()
    ranked = _runs(row.c, having.c.owner)
    return ranked, select(row.c.id).select_from(having).join(row, true())


async def _few(
    session: AsyncSession, space: Space, homes: Collection[UUID], search: Search
) -> list[UUID] | None:
    """The only rows that can match, where a metric leaves few of many."""
    ranked = search.order[0].field if search.order else None  # whose index is entered anyway
    for comparison in search.where:
        field = comparison.field
        if field.kind is not Kind.METRIC or field == ranked or comparison.op not in _RANGES:
            continue
        part = space.parts[field.kind]
        query = select(getattr(part, space.owner)).where(
            getattr(part, space.home).in_(homes),
            part.key == comparison.field.key,
            compare(part.value, comparison, ""),
        )
        ids = list(await session.scalars(query.limit(_FEW + 1)))
        if len(ids) <= _FEW:
            return ids
    return None


async def _some_lack(
    session: AsyncSession, space: Space, homes: Collection[UUID], search: Search
) -> bool:
    """Whether a row may lack the metric that orders: two counts tell sooner than a look at all."""
    part = space.parts[Kind.METRIC]
    key = search.order[0].field.key
    rows = select(func.count()).select_from(space.model)
    rows = rows.where(getattr(space.model, space.home).in_(homes))
    having = select(func.count()).select_from(part)
    having = having.where(getattr(part, space.home).in_(homes), part.key == key)
    return await session.scalar(rows) != await session.scalar(having)


def has_many_parts(search: Search) -> bool:
    """Whether they are looked at one by one: PostgreSQL weighs every order in which it could do
    so, which of a hundred parts takes it longer than a search may."""
    return sum(c.field.kind is not Kind.ATTRIBUTE for c in search.where) > _WEIGHED


def apart(part: Select[Any], dialect: str) -> Select[Any]:
    """Keeps PostgreSQL from making one large join of it and the rest."""
    return part.offset(0) if dialect == "postgresql" else part


def _matches(
    space: Space, comparison: Comparison, dialect: str, *, one_by_one: bool = False
) -> Any:
    field = comparison.field
    if field.kind is Kind.ATTRIBUTE:
        if field.key == "id":
            return matches_id(space.model.id, comparison, dialect)
        return compare(space.attributes[field.key], comparison, dialect)
    if field.kind is Kind.DATASET and Kind.METRIC in space.parts:
        return _uses_dataset(space, comparison, dialect, one_by_one=one_by_one)
    if field.kind not in space.parts:
        raise FilterInvalid(f"Nothing here is found by a {field.kind}")
    part = space.parts[field.kind]
    named = select(part.key).where(getattr(part, space.owner) == space.id)
    named = named.where(part.key == field.key)
    if one_by_one:
        named = apart(named, dialect)
    return compare_part(named, part, comparison, dialect)


def _uses_dataset(space: Space, comparison: Comparison, dialect: str, *, one_by_one: bool) -> Any:
    """Of several datasets, one that it holds for is enough."""
    column = _DATASET[comparison.field.key]
    used = select(DatasetInput.run_id).join(
        LoggedDataset, LoggedDataset.id == DatasetInput.dataset_id
    )
    used = used.where(DatasetInput.run_id == space.id)
    if one_by_one:
        used = apart(used, dialect)
    return used.where(compare(column, comparison, dialect)).exists()


def matches_id(column: Any, comparison: Comparison, dialect: str) -> Any:
    """By key where it can be: what is no id of ours is nobody's id."""
    if comparison.op in (Op.LIKE, Op.ILIKE):
        return compare(hexadecimal(column), comparison, dialect)
    value = comparison.value
    ids = [UUID(v) for v in ((value,) if isinstance(value, str) else value) if _is_id(v)]  # type: ignore[union-attr]
    return column.not_in(ids) if comparison.op in (Op.NE, Op.NOT_IN) else column.in_(ids)


def _is_id(text: str) -> bool:
    return len(text) == 32 and all(char in "0123456789abcdef" for char in text)


def _ordered(space: Space, query: Select[Any], orders: Sequence[Order]) -> tuple[list[Term], Any]:
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
            query = query.outerjoin(found, found.c.owner == space.id)
            value = found.c.value
            nan = [(found.c.is_nan, 1)] if is_nan else []
        if order.field.kind is Kind.ATTRIBUTE and not getattr(
            value, "nullable", True
        ):  # as it is, an index has it in order
            terms.append(Term(value, read, order.descending))
            continue
        rank = case((value.is_(None), 2), *nan, else_=0)
        terms.append(Term(rank, an_integer))
        terms.append(Term(func.coalesce(value, missing), read, order.descending))
    if Field(Kind.ATTRIBUTE, space.newest.key) not in {order.field for order in orders}:
        terms.append(Term(space.newest, a_time, descending=True))
    terms.append(Term(space.model.id, an_id))
    return terms, query


def _named(space: Space, field: Field) -> tuple[Any, Any, Callable[[Any], Any]]:
    """The column, what stands in for a missing value, and how to read it from a cursor."""
    if field.kind is Kind.METRIC:
        return None, 0.0, a_number
    if field.kind is not Kind.ATTRIBUTE:
        return None, "", a_text
    column = hexadecimal(space.model.id) if field.key == "id" else space.attributes[field.key]
    if isinstance(column.type, UtcDateTime):
        return column, literal(EPOCH, UtcDateTime()), a_time
    return column, "", a_text
