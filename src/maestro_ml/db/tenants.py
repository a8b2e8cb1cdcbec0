"""The one place where isolation happens: a session that sees one tenant, and in it what it may."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from functools import cache, lru_cache
from typing import Any, Final, NoReturn
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Connection,
    TextClause,
    Uuid,
    and_,
    column,
    event,
    inspect,
    literal,
    or_,
    select,
    table,
    true,
)
from sqlalchemy.orm import Mapper, ORMExecuteState, QueryContext, Session, with_loader_criteria
from sqlalchemy.sql.base import ExecutableOption

from maestro_ml.core.access import Access, ActorKind
from maestro_ml.db.among import among
from maestro_ml.db.base import Base, TenantOwned, TenantSeen
from maestro_ml.db.engine import PostgresConnection
from maestro_ml.db.guard import (
    ADDABLE,
    CHANGEABLE,
    TenantViolation,
    check_insert,
    check_statement,
    check_text,
)


class System(Enum):
    """Above all tenants: the worker's claim, and verbs that know no caller yet."""

    SYSTEM = "system"


SYSTEM: Final = System.SYSTEM


@dataclass(frozen=True, slots=True)
class Sight:
    """Which of a tenant's projects are seen: internal ones and `team`, inside `only` if given."""

    everything: bool = False
    team: frozenset[UUID] = frozenset()
    only: frozenset[UUID] | None = None

    @classmethod
    def of(cls, access: Access) -> "Sight":
        return cls(
            everything=access.kind is ActorKind.SYSTEM,
            team=frozenset(access.project_roles),
            only=access.only_projects,
        )

    def sees(self, project_id: UUID, *, private: bool) -> bool:
        """Whether a project is seen: what the session's criteria say, of one row."""
        if self.everything:
            return True
        listed = self.only is None or project_id in self.only
        return listed and (not private or project_id in self.team)


class TenantSession(Session):
    """Belongs to one tenant for life. Other sessions of the process are none of its business."""

    def __init__(
        self, *args: Any, tenant: UUID | System, sight: Sight | None = None, **options: Any
    ) -> None:
        if not isinstance(tenant, UUID | System):
            raise TenantViolation("a session without a tenant")
        super().__init__(*args, **options)
        self.tenant: Final = tenant
        self.sight: Final = sight or Sight()

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise TenantViolation("a way around the tenant")

    connection = bulk_save_objects = bulk_insert_mappings = bulk_update_mappings = _refuse


def words_for(tenant: UUID) -> str:
    """What a PostgreSQL transaction of a tenant begins with."""
    return f"SET LOCAL ROLE maestro_app; SELECT set_config('app.tenant_id', '{tenant}', true)"


@event.listens_for(TenantSession, "after_begin")
def _tell_the_database(session: TenantSession, _: Any, connection: Connection) -> None:
    if connection.dialect.name != "postgresql":
        return
    if isinstance(session.tenant, System):
        words = "SET LOCAL ROLE maestro_system"
    else:
        words = words_for(session.tenant)
    limit = connection.get_execution_options().get("read_limit")
    if limit is not None:
        # Starting helpers takes longer than most answers, and their cores are other callers'.
        words += f"; SET LOCAL statement_timeout = {int(limit * 1000)}"
        words += "; SET LOCAL max_parallel_workers_per_gather = 0"
    driver: PostgresConnection = connection.connection.driver_connection  # type: ignore[assignment]
    driver.prelude = words  # goes with BEGIN


@event.listens_for(TenantSession, "do_orm_execute")
def _only_own_rows(state: ORMExecuteState) -> None:
    assert isinstance(state.session, TenantSession)
    tenant, statement = state.session.tenant, state.statement
    if isinstance(tenant, System):
        return
    if state.is_from_statement or "dml_strategy" in state.execution_options:
        raise TenantViolation("a statement that the tenant cannot be added to")
    if isinstance(statement, TextClause):
        check_text(statement, state.parameters, tenant)
    elif state.is_insert:
        check_insert(statement, state.parameters, tenant)  # type: ignore[arg-type]
    else:
        if state.is_relationship_load:  # written by the ORM, from mapped columns only
            named: Iterable[Mapper[Any]] = Base.registry.mappers
        else:
            named = check_statement(statement, state.parameters, tenant)  # type: ignore[arg-type]
        state.statement = statement.options(*_criteria(named, tenant, state.session.sight))


def _criteria(mappers: Iterable[Mapper[Any]], tenant: UUID, sight: Sight) -> list[ExecutableOption]:
    """The tenant's rows; of rows above tenants those it may read; of projects those in sight."""
    named: set[Any] = {other.class_ for mapper in mappers for other in _loaded_with(mapper)}
    return [_criterion(kind, tenant, sight) for kind in named]


@lru_cache(maxsize=2048)
def _criterion(kind: Any, tenant: UUID, sight: Sight) -> ExecutableOption:
    """Making one costs ten times as much as finding it again."""
    if issubclass(kind, TenantSeen):
        rows = kind.seen_by(tenant)
    else:
        rows = and_(kind.tenant_id == tenant, _in_sight(kind, tenant, sight))
    return with_loader_criteria(kind, rows, include_aliases=True)


@cache
def _loaded_with(mapper: Mapper[Any]) -> frozenset[Mapper[Any]]:
    """A mapped class, and those that a query for it may load beside it."""
    found: set[Mapper[Any]] = set()
    new = {mapper}
    while new:
        found |= new
        new = {other.mapper for one in new for other in one.relationships} - found
    return frozenset(found)


_PROJECTS = table("projects", column("id"), column("tenant_id"), column("visibility"))


def _in_sight(kind: type[Any], tenant: UUID, sight: Sight) -> ColumnElement[bool]:
    """A row that names a project is seen with it; a row that names none is the whole tenant's."""
    itself = kind.__tablename__ == "projects"
    project_id = kind.id if itself else getattr(kind, "project_id", None)
    if sight.everything or project_id is None:
        return true()
    if itself:
        seen = or_(kind.visibility != "private", among(project_id, sight.team))
    else:
        hidden = select(_PROJECTS.c.id).where(
            _PROJECTS.c.tenant_id == literal(tenant, Uuid()),
            _PROJECTS.c.visibility == "private",
            ~among(_PROJECTS.c.id, sight.team),
        )
        seen = project_id.not_in(hidden)
        if inspect(kind).columns["project_id"].nullable:
            seen = or_(project_id.is_(None), seen)
    return seen if sight.only is None else and_(seen, among(project_id, sight.only))


@event.listens_for(TenantSession, "before_attach")
def _stamp(session: TenantSession, row: object) -> None:
    if session.tenant is SYSTEM:
        return
    if not isinstance(row, TenantOwned):
        _keep_above(row)
    elif getattr(row, "tenant_id", None) is None:
        row.tenant_id = session.tenant
    elif row.tenant_id != session.tenant:
        raise TenantViolation("a row of another tenant")


def _keep_above(row: object) -> None:
    """Of rows above tenants a tenant's session holds those it has read, and changes counters; of
    others it adds some."""
    if not isinstance(row, Base):
        return
    state = inspect(row)
    if row.__tablename__ in ADDABLE and not state.has_identity:
        return
    counted = CHANGEABLE.get(row.__tablename__, frozenset())
    if not isinstance(row, TenantSeen) or state.transient or set(state.committed_state) - counted:
        raise TenantViolation("a change of a row above tenants")


@event.listens_for(TenantSession, "before_flush")
def _stamp_all(session: TenantSession, *_: Any) -> None:
    if session.tenant is not SYSTEM and any(isinstance(row, TenantSeen) for row in session.deleted):
        raise TenantViolation("a change of a row above tenants")
    for row in (*session.new, *session.dirty, *session.deleted):
        _stamp(session, row)


@event.listens_for(TenantOwned, "load", propagate=True)
def _check_loaded(row: TenantOwned, context: QueryContext | None) -> None:
    """The last net: it also holds for sessions that are not ours."""
    if context is None:  # made by merge(), checked when it is flushed
        return
    tenant = getattr(context.session, "tenant", None)
    if tenant is None or tenant not in (SYSTEM, row.__dict__.get("tenant_id", tenant)):
        raise TenantViolation("a row outside its tenant's session")
