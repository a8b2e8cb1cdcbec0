"""From a filter tree to one select of registered models, or of versions, and its page."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, String, func, select, type_coerce
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from maestro_ml.core.paging import Page
from maestro_ml.db.base import UtcDateTime
from maestro_ml.registry.models import (
    ModelVersion,
    ModelVersionTag,
    RegisteredModel,
    RegisteredModelTag,
)
from maestro_ml.tracking.errors import FilterInvalid
from maestro_ml.tracking.search.comparing import compare, compare_part
from maestro_ml.tracking.search.keyset import (
    Term,
    a_text,
    a_time,
    after,
    an_id,
    an_integer,
    decode,
    encode,
)
from maestro_ml.tracking.search.limits import check_size
from maestro_ml.tracking.search.pages import apart, has_many_parts, hexadecimal, matches_id
from maestro_ml.tracking.search.tree import Comparison, Field, Kind, Op, Order, Search

_NAME, _RUN = Field(Kind.ATTRIBUTE, "name"), Field(Kind.ATTRIBUTE, "run_id")
PROMPT = "mlflow.prompt.is_prompt"  # the tag by which MLflow's clients tell prompts from models


@dataclass(frozen=True)
class _Space:
    """What is searched: rows, their attributes, their tags, and the order nobody asked for."""

    row: Any
    attributes: Mapping[str, Any]
    tag: Any
    owner: Any  # the column of a tag that names the row
    default: Sequence[Order]
    ties: Sequence[Order]


def _by(key: str, *, descending: bool = False) -> Order:
    return Order(Field(Kind.ATTRIBUTE, key), descending)


_MODELS = _Space(
    RegisteredModel,
    {
        "name": RegisteredModel.name,
        "created_at": RegisteredModel.created_at,
        "updated_at": RegisteredModel.updated_at,
    },
    RegisteredModelTag,
    RegisteredModelTag.model_id,
    (_by("name"),),
    (_by("name"),),
)
_VERSIONS = _Space(
    ModelVersion,
    {
        "name": RegisteredModel.name,
        "number": ModelVersion.number,
        "run_id": type_coerce(func.coalesce(hexadecimal(ModelVersion.run_id), ""), String()),
        "source": ModelVersion.source,
        "created_at": ModelVersion.created_at,
        "updated_at": ModelVersion.updated_at,
    },
    ModelVersionTag,
    ModelVersionTag.version_id,
    (_by("updated_at", descending=True), _by("name"), _by("number", descending=True)),
    (_by("name"), _by("number", descending=True)),
)


async def models(session: AsyncSession, project_id: UUID, search: Search) -> Page[RegisteredModel]:
    """The models of one page.

    Raises:
        Invalid: the cursor is not one of ours, or not of this order.
        FilterInvalid: the search is larger than a database can be asked for.
    """
    query = select(RegisteredModel).where(RegisteredModel.project_id == project_id)
    rows, cursor = await _page(session, _MODELS, project_id, query, search)
    return Page([row[0] for row in rows], cursor)


async def versions(
    session: AsyncSession, project_id: UUID, search: Search
) -> Page[tuple[ModelVersion, str]]:
    """The versions of one page, each with its model's name.

    Raises:
        Invalid, FilterInvalid: as `models`.
    """
    query: Any = select(ModelVersion, RegisteredModel.name)
    query = query.join(RegisteredModel, RegisteredModel.id == ModelVersion.model_id)
    query = query.where(RegisteredModel.project_id == project_id)
    if all(one.field != _NAME for one in search.where):  # the way to all versions in order
        query = query.where(ModelVersion.project_id == project_id)
    rows, cursor = await _page(session, _VERSIONS, project_id, query, search)
    return Page([(row[0], row[1]) for row in rows], cursor)


async def _page(
    session: AsyncSession, space: _Space, project_id: UUID, query: Select[Any], search: Search
) -> tuple[Sequence[Any], str | None]:
    check_size(search)
    dialect = session.get_bind().dialect.name
    many = has_many_parts(search)
    query = query.where(
        *(_matches(space, project_id, one, dialect, apart_=many) for one in search.where)
    )
    terms = _terms(space, search.order)
    if search.cursor:
        query = query.where(after(terms, decode([term.read for term in terms], search.cursor)))
    query = query.add_columns(*(term.value.label(f"term_{n}") for n, term in enumerate(terms)))
    query = query.order_by(*(term.order for term in terms))
    found = (await session.execute(query.limit(search.limit + 1))).all()
    more = len(found) > search.limit
    found = found[: search.limit]
    return found, encode(found[-1][-len(terms) :]) if more else None


def _matches(
    space: _Space, project_id: UUID, comparison: Comparison, dialect: str, *, apart_: bool
) -> Any:
    field = comparison.field
    if field == _RUN and comparison.op is Op.EQ and comparison.value:
        return matches_id(ModelVersion.run_id, comparison, dialect)
    if space is _VERSIONS and field == _NAME:  # of few models, each of whose versions are together
        model = aliased(RegisteredModel)
        named = select(model.id).where(
            model.project_id == project_id, compare(model.name, comparison, dialect)
        )
        return ModelVersion.model_id.in_(named)
    if field.kind is Kind.ATTRIBUTE:
        return compare(space.attributes[field.key], comparison, dialect)
    named = select(space.tag.key).where(space.owner == space.row.id, space.tag.key == field.key)
    if apart_:
        named = apart(named, dialect)
    if field.key == PROMPT and comparison.op is Op.NE:  # what has no such tag is no prompt
        return ~named.where(space.tag.value == comparison.value).exists()
    return compare_part(named, space.tag, comparison, dialect)


def _terms(space: _Space, orders: Sequence[Order]) -> list[Term]:
    asked = {order.field for order in orders}
    if any(field.kind is not Kind.ATTRIBUTE for field in asked):
        raise FilterInvalid("Tags are many: models and versions are not ordered by them")
    rest = [one for one in space.ties if one.field not in asked] if orders else space.default
    terms: list[Term] = []
    for order in [*orders, *rest]:
        value: ColumnElement[Any] = space.attributes[order.field.key]
        terms.append(Term(value, _reader(value), order.descending))
    return [*terms, Term(space.row.id, an_id)]


def _reader(value: ColumnElement[Any]) -> Callable[[object], Any]:
    if isinstance(value.type, UtcDateTime):
        return a_time
    return a_text if isinstance(value.type, String) else an_integer
