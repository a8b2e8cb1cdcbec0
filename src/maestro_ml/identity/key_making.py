"""Making an API key, step by step: its projects are looked up as the caller sees them in their
tenant, and the key is written above tenants."""

from dataclasses import replace
from uuid import UUID

from maestro_ml.core.access import Access, Permission
from maestro_ml.core.errors import NotFound
from maestro_ml.db.work import Work, open_account_work, open_work
from maestro_ml.http.deps import Runtime
from maestro_ml.identity.errors import DefaultProjectOutside
from maestro_ml.identity.ports import Projects, ProjectSeen
from maestro_ml.identity.schemas_keys import ApiKeyCreate, NewApiKey
from maestro_ml.identity.service import admins, api_keys, service_keys, sessions


async def make(
    runtime: Runtime, access: Access, projects: Projects, command: ApiKeyCreate
) -> NewApiKey:
    """Raises:
    Forbidden: the caller's role or credential is too low.
    Unauthenticated: the session has ended in the meantime.
    NotFound: a project that it names is not there, or not seen by the caller.
    DefaultProjectOutside: the default project is not among the only ones.
    """
    access.require(Permission.API_KEY_WRITE)
    only, default = await _reach(runtime, access, projects, command)
    if default is None:
        within = replace(access, only_projects=only)
        async with open_work(runtime.sessions, within, read_only=True, clock=runtime.clock) as work:
            default = await _usual(work, projects)
    async with open_account_work(runtime.sessions, access, clock=runtime.clock) as account:
        await sessions.hold(account)
        return await api_keys.create(account, command, only=only, default=default)


async def make_for(
    runtime: Runtime, access: Access, projects: Projects, owner: UUID, command: ApiKeyCreate
) -> NewApiKey:
    """Make a key of a service account. Without a default project, the machine works in the oldest
    one that it sees at the time.

    Raises:
        Forbidden, NotFound, DefaultProjectOutside: as for a key of one's own.
        ServiceAccountNotFound: the tenant has none of that id.
    """
    access.require(Permission.SERVICE_KEY_WRITE)
    only, default = await _reach(runtime, access, projects, command)
    async with open_account_work(runtime.sessions, access, clock=runtime.clock) as account:
        await admins.stay(account)
        await sessions.hold(account)
        return await service_keys.create(account, owner, command, only=only, default=default)


async def _reach(
    runtime: Runtime, access: Access, projects: Projects, command: ApiKeyCreate
) -> tuple[frozenset[UUID] | None, ProjectSeen | None]:
    async with open_work(runtime.sessions, access, read_only=True, clock=runtime.clock) as work:
        only, default = await _named(work, projects, command)
    if only is not None and default is not None and default.id not in only:
        raise DefaultProjectOutside
    return only, default


async def _named(
    work: Work, projects: Projects, command: ApiKeyCreate
) -> tuple[frozenset[UUID] | None, ProjectSeen | None]:
    """The only projects, if any were named, and the default one, if it was."""
    only = None
    if command.projects is not None:
        only = frozenset([(await projects.find(work, one)).id for one in command.projects])
    if command.default_project is None:
        return only, None
    return only, await projects.find(work, command.default_project)


async def _usual(work: Work, projects: Projects) -> ProjectSeen | None:
    try:
        return await projects.default_project(work)
    except NotFound:
        return None
