"""From a filter tree to one select of logged models, and its page.

A filter for a metric holds if it holds for any point of it; an order looks at its newest point. Of
the points those count that are about the datasets of the search, or of the order.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Select,
    String,
    and_,
    case,
    func,
    literal,
    or_,
    select,
    type_coerce,
)
from sqlalchemy.ext.asyncio import AsyncSession

from maestro_ml.core.clock import EPOCH
from maestro_ml.core.paging import Page
from maestro_ml.db.among import among
from maestro_ml.db.base import UtcDateTime
from maestro_ml.tracking.models import (
    LoggedModel,
    LoggedModelMetric,
    LoggedModelParam,
    LoggedModelTag,
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
from maestro_ml.tracking.search.pages import apart, has_many_parts, hexadecimal
from maestro_ml.tracking.search.tree import Comparison, Dataset, Field, Kind, Order, Search

Read = Callable[[object], Any]
_ATTRIBUTES: Mapping[str, Any] = {
    "id": literal("m-") + type_coerce(hexadecimal(LoggedModel.id), String()),
    "experiment_id": type_coerce(hexadecimal(LoggedModel.experiment_id), String()),
    "name": LoggedModel.name,
    "model_type": LoggedModel.model_type,
    "status": type_coerce(LoggedModel.status, String()),
    "source_run_id": type_coerce(hexadecimal(LoggedModel.source_run_id), String()),
    "created_at": LoggedModel.created_at,
    "updated_at": LoggedModel.updated_at,
}
_PARTS: Mapping[Kind, Any] = {
    Kind.METRIC: LoggedModelMetric,
    Kind.PARAM: LoggedModelParam,
    Kind.TAG: LoggedModelTag,
}


async def page(
    session: AsyncSession, experiment_ids: Collection[UUID], search: Search
) -> Page[LoggedModel]:
    """The models of one page, out of those of the experiments that are not deleted.

    Raises:
        Invalid: the cursor is not one of ours, or not of this order.
        FilterInvalid: the search is larger than a database can be asked for.
    """
    check_size(search)
    dialect = session.get_bind().dialect.name
    many = has_many_parts(search)
    query, terms = _ordered(select(LoggedModel), experiment_ids, search.order)
    query = query.where(
        among(LoggedModel.experiment_id, experiment_ids),
        LoggedModel.deleted_at.is_(None),
        *(_matches(c, search.datasets, dialect, one_by_one=many) for c in search.where),
    )
    if search.datasets and not any(c.field.kind is Kind.METRIC for c in search.where):
        of_model = LoggedModelMetric.model_id == LoggedModel.id
        measured = select(LoggedModelMetric.key).where(of_model, _about(search.datasets))
        query = query.where(measured.exists())
    if search.cursor:
        query = query.where(after(terms, decode([term.read for term in terms], search.cursor)))
    query = query.add_columns(*(term.value.label(f"term_{n}") for n, term in enumerate(terms)))
    found = (await session.execute(query.limit(search.limit + 1))).all()
    more = len(found) > search.limit
    found = found[: search.limit]
    return Page([row[0] for row in found], encode(found[-1][1:]) if more else None)


def _about(datasets: Sequence[Dataset]) -> ColumnElement[bool]:
    """The points that are about any of the datasets."""
    part = LoggedModelMetric
    return or_(
        *(
            and_(
                part.dataset_name == dataset.name,
                *([part.dataset_digest == dataset.digest] if dataset.digest else []),
            )
            for dataset in datasets
        )
    )


def _matches(
    comparison: Comparison, datasets: Sequence[Dataset], dialect: str, *, one_by_one: bool
) -> Any:
    field = comparison.field
    if field.kind is Kind.ATTRIBUTE:
        return compare(_ATTRIBUTES[field.key], comparison, dialect)
    part = _PARTS[field.kind]
    named = select(part.key).where(part.model_id == LoggedModel.id, part.key == field.key)
    if one_by_one:
        named = apart(named, dialect)
    if field.kind is Kind.METRIC and datasets:
        named = named.where(_about(datasets))
    return compare_part(named, part, comparison, dialect)


def _ordered(
    query: Select[LoggedModel], experiment_ids: Collection[UUID], orders: Sequence[Order]
) -> tuple[Select[LoggedModel], list[Term]]:
    """Ties are broken by time, newest first, and then by id."""
    terms: list[Term] = []
    for order in orders:
        if order.field.kind is Kind.METRIC:
            newest = _newest(order, experiment_ids)
            query = query.outerjoin(newest, newest.c.model_id == LoggedModel.id)
            value, nan = newest.c.value, [(newest.c.is_nan, 1)]
        else:
            value, nan = _ATTRIBUTES[order.field.key], []
        missing, read = _missing(value)
        terms.append(Term(case((value.is_(None), 2), *nan, else_=0), an_integer))
        terms.append(Term(func.coalesce(value, missing), read, order.descending))
    if Field(Kind.ATTRIBUTE, "created_at") not in {order.field for order in orders}:
        terms.append(Term(LoggedModel.created_at, a_time, descending=True))
    terms.append(Term(LoggedModel.id, an_id))
    return query.order_by(*(term.order for term in terms)), terms


def _newest(order: Order, experiment_ids: Collection[UUID]) -> Any:
    """The newest point of a metric for each model of the experiments."""
    part = LoggedModelMetric
    models = select(LoggedModel.id).where(among(LoggedModel.experiment_id, experiment_ids))
    age = func.row_number().over(
        partition_by=part.model_id,
        order_by=(part.at.desc(), part.step.desc(), part.run_id, part.point_id),
    )
    query = select(part.model_id, part.value, part.is_nan, age.label("age"))
    query = query.where(part.model_id.in_(models), part.key == order.field.key)
    if order.dataset is not None:
        query = query.where(_about([order.dataset]))
    aged = query.subquery()
    return select(aged.c.model_id, aged.c.value, aged.c.is_nan).where(aged.c.age == 1).subquery()


def _missing(value: Any) -> tuple[Any, Read]:
    """What stands in for a missing value, and how to read one from a cursor."""
    if isinstance(value.type, UtcDateTime):
        return literal(EPOCH, UtcDateTime()), a_time
    return ("", a_text) if isinstance(value.type, String) else (0.0, a_number)
