"""Which statements a tenant's session may send.

The session adds the tenant to ORM entities. A table, a text or a join that it cannot reach must
carry the tenant itself, or is refused.
"""

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import Column, Delete, Insert, Join, Select, TextClause, Update, event
from sqlalchemy.orm import Mapper
from sqlalchemy.sql import operators
from sqlalchemy.sql.dml import UpdateBase
from sqlalchemy.sql.elements import (
    BinaryExpression,
    BindParameter,
    ClauseElement,
    ColumnClause,
    Label,
)
from sqlalchemy.sql.selectable import AliasedReturnsRows, FromClauseAlias, SelectBase, TableClause
from sqlalchemy.sql.visitors import HasTraverseInternals, iterate

from maestro_ml.db.base import Base, TenantOwned, TenantSeen

_OWNED: set[str] = set()
_ABOVE: set[str] = set()
_SEEN: set[str] = set()
# What a tenant's session may change of rows above it: the counters that limits are enforced on,
# and the tenant's own policy.
CHANGEABLE = {
    "tenants": frozenset(
        {
            *("n_users", "n_projects", "storage_bytes"),
            *("mfa_required", "session_profile", "allowed_domains"),
        }
    )
}

# What it may add above itself, and never see: mail.
ADDABLE = frozenset({"outbox"})


@event.listens_for(Base, "instrument_class", propagate=True)
def _remember(mapper: Mapper[Any], kind: type) -> None:
    names = _OWNED if issubclass(kind, TenantOwned) else _ABOVE
    name = mapper.local_table.name  # type: ignore[attr-defined]
    names.add(name)
    if issubclass(kind, TenantSeen):
        _SEEN.add(name)


class TenantViolation(RuntimeError):
    """A bug, never a caller's mistake: it ends as a 500 and in the log."""


def check_text(statement: TextClause, parameters: Any, tenant: UUID) -> None:
    """Text passes only with `:tenant_id` bound to the session's tenant."""
    sent = parameters.get("tenant_id") if isinstance(parameters, Mapping) else None
    if "tenant_id" not in statement._bindparams or sent not in (tenant, tenant.hex, str(tenant)):
        raise TenantViolation("text() that does not carry the tenant")


def check_insert(statement: Insert, parameters: Any, tenant: UUID) -> None:
    """Every row of a bulk insert names the tenant; a row is never taken over from another."""
    if statement.select is not None or statement._post_values_clause is not None:
        raise TenantViolation("INSERT ... SELECT or ON CONFLICT in a tenant's session")
    sent = [parameters] if isinstance(parameters, Mapping) else list(parameters or [{}])
    fixed = _plain(statement._values or {})
    rows = [fixed | _plain(row) for row in sent]
    many = [_plain(row) for rows in statement._multi_values for row in rows]  # type: ignore[arg-type]
    if _name(statement.table) in _ABOVE:
        raise TenantViolation("a new row above tenants")
    if _owned(statement.table) and any(r.get("tenant_id") != tenant for r in many or rows):
        raise TenantViolation("bulk insert that does not carry the tenant")


def check_statement(statement: ClauseElement, parameters: Any, tenant: UUID) -> set[Mapper[Any]]:
    """SELECT, UPDATE, DELETE and what nests in them. Gives the mapped classes they name."""
    met: set[Mapper[Any]] = set()
    if not isinstance(statement, Update | Delete):
        _check(statement, tenant, frozenset(), frozenset(), met)
        return met
    target = _entities(statement.table)
    if _entities(*_children(statement)) - target:
        raise TenantViolation("a second table in UPDATE or DELETE: use a subquery")
    changed: set[str] | None = None
    if isinstance(statement, Update):
        if not isinstance(parameters, Mapping | None):
            raise TenantViolation("bulk update by primary key")
        changed = {*_plain(statement._values or {}), *_plain(parameters or {})}
        if "tenant_id" in changed:
            raise TenantViolation("a row never changes its tenant")
    name = _name(statement.table)
    if name in _ABOVE and not (changed and changed <= CHANGEABLE.get(name, frozenset())):
        raise TenantViolation("a change of a row above tenants")
    safe = _held(statement, tenant) | {entity.selectable for entity in target}
    for child in _children(statement):
        _check(child, tenant, safe, frozenset(target), met)
    return met | {entity.mapper for entity in target}


def unheld_tables(statement: SelectBase | Update | Delete) -> frozenset[str]:
    """The tenant tables that no `tenant_id == bindparam("tenant_id")` keeps inside a tenant."""
    unheld: set[str] = set()
    for part in iterate(statement):
        if isinstance(part, Select | Update | Delete):
            held = {
                side.left.table
                for clause in part._where_criteria
                for side in _conjuncts(clause)
                if _is_tenant(side) and side.right.key == "tenant_id" and side.right.required
            }
            unheld |= {
                getattr(leaf, "element", leaf).name
                for source in _sources(part)
                for leaf in _leaves(source)
                if _owned(leaf) and leaf not in held
            }
    return frozenset(unheld)


def _sources(part: Select[Any] | Update | Delete) -> Iterable[Any]:
    return part.get_final_froms() if isinstance(part, Select) else [part.table]


def _leaves(source: Any) -> Iterable[Any]:
    if isinstance(source, Join):
        return [leaf for side in (source.left, source.right) for leaf in _leaves(side)]
    return [source]


def _check(
    element: ClauseElement,
    tenant: UUID,
    safe: frozenset[Any],
    outer: frozenset[Any],
    met: set[Mapper[Any]],
) -> None:
    literal = isinstance(element, ColumnClause) and element.is_literal and element.name != "*"
    if literal or isinstance(element, TextClause | UpdateBase):
        raise TenantViolation(f"{type(element).__name__} inside a statement")
    entity = element._annotations.get("parententity")
    if entity is not None:
        met.add(entity.mapper)
    if isinstance(element, AliasedReturnsRows):
        outer = frozenset()  # what stands in FROM is not correlated
    if isinstance(element, Select):
        outer = _reached(element, outer)
        safe = _held(element, tenant) | {entity.selectable for entity in outer}
    table = element.table if isinstance(element, ColumnClause) else element
    name = _name(table)
    if name in _ABOVE and not (name in _SEEN and (entity is not None or table in safe)):
        raise TenantViolation(f"the table {name}, which is above tenants")
    if name in _OWNED:
        if not element._annotations and table not in safe:  # annotated: an ORM entity
            raise TenantViolation("a Core statement that does not carry the tenant")
        return
    for child in _children(element):
        _check(child, tenant, safe, outer, met)


def _reached(select: Select[Any], outer: frozenset[Any]) -> frozenset[Any]:
    """The entities of plain columns, of FROM and of `.join()`: the ORM is sure to filter these."""
    bare = [c.element if isinstance(c, Label) else c for c in select._raw_columns]
    plain = {column._annotations.get("parententity") for column in bare} - {None}
    named = [source for source in select._from_obj if not isinstance(source, Join)]
    joined = [target for target, *_ in select._setup_joins]
    reached = frozenset(plain | _entities(*named, *joined))
    correlated = outer if reached and select._auto_correlate else frozenset()
    if _entities(*_children(select)) - reached - correlated:
        raise TenantViolation("an entity the tenant may not reach: use .select_from() or .join()")
    return reached


def _held(statement: Any, tenant: UUID) -> frozenset[Any]:
    """The tables that a plain `AND tenant_id = <tenant>` keeps inside the tenant."""
    return frozenset(
        part.left.table
        for clause in statement._where_criteria
        for part in _conjuncts(clause)
        if _is_tenant(part) and part.right.value == tenant
    )


def _is_tenant(part: Any) -> bool:
    return (
        isinstance(part, BinaryExpression)
        and part.operator is operators.eq
        and isinstance(part.left, Column)
        and part.left.name == "tenant_id"
        and isinstance(part.right, BindParameter)
    )


def _conjuncts(clause: Any) -> Iterable[Any]:
    if getattr(clause, "operator", None) is operators.and_:
        return [part for inner in clause.clauses for part in _conjuncts(inner)]
    return [clause]


def _entities(*elements: Any) -> set[Any]:
    """The ORM entities named outside nested selects."""
    found: set[Any] = set()
    for element in elements:
        if not isinstance(element, SelectBase):
            entity = element._annotations.get("parententity")
            found |= {entity} if entity is not None else _entities(*_children(element))
    return found


def _owned(source: Any) -> bool:
    return _name(source) in _OWNED


def _name(source: Any) -> str | None:
    table = source.element if isinstance(source, FromClauseAlias) else source
    return table.name if isinstance(table, TableClause) else None


def _children(element: ClauseElement) -> Iterable[ClauseElement]:
    # Select's own version adds the tables of its columns, which would look like Core tables here.
    if isinstance(element, Select):
        return HasTraverseInternals.get_children(element)  # type: ignore[return-value]
    return element.get_children()


def _plain(row: Mapping[Any, Any]) -> dict[str, Any]:
    return {getattr(k, "key", k): getattr(v, "value", v) for k, v in row.items()}
