"""MLflow's workspace is our project, named by its slug.

As with MLflow's own workspaces, what lies outside is not there: every request happens inside one
project, the header's or, without it, the default project of the caller's key; the id of a run or
experiment of another project is not found, even if the caller may see that project by its name.
"""

from collections.abc import AsyncIterator, Collection
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Header, Request

from maestro_ml.core.access import Access
from maestro_ml.core.errors import Forbidden, Unauthenticated
from maestro_ml.db.work import Work, open_system_work, open_work
from maestro_ml.http import deps
from maestro_ml.mlflow.wire import as_id
from maestro_ml.projects import service as projects
from maestro_ml.projects.models import Project
from maestro_ml.storage.blobs import Blobs
from maestro_ml.tracking.errors import ExperimentNotFound
from maestro_ml.tracking.errors_files import UploadNotFound
from maestro_ml.tracking.service import experiments, uploads

DEFAULT_EXPERIMENT = "0"
DEFAULT_WORKSPACE = "default"
SECRET_HEADER = "X-Maestro-Upload"  # noqa: S105 - its name
Named = Annotated[str | None, Header(alias="X-MLFLOW-WORKSPACE")]


@dataclass(frozen=True, slots=True)
class Workspace:
    """A project, and a unit of work that sees nothing of the others."""

    work: Work
    project_id: UUID
    slug: str

    async def experiment(self, id: str) -> UUID:
        """The experiment that an id means; `0` is the project's default one.

        Raises:
            ExperimentNotFound: this is no id.
        """
        if id == DEFAULT_EXPERIMENT:
            return (await experiments.default(self.work, self.project_id)).id
        known = as_id(id)
        if known is None:
            raise ExperimentNotFound
        return known

    async def experiments(self, ids: Collection[str]) -> list[UUID]:
        """Those of the ids that can be an experiment's: a search in the others finds nothing."""
        known = [id for text in ids if (id := as_id(text)) is not None]
        if DEFAULT_EXPERIMENT in ids:
            try:
                found = await experiments.find(self.work, self.project_id, experiments.DEFAULT)
            except ExperimentNotFound:  # made when first written to
                return known
            known.append(found.experiment.id)
        return known


async def named(work: Work, workspace: str | None) -> Project:
    """The project that a workspace's name means.

    Raises:
        ProjectNotFound: there is none, or not in the caller's sight.
        NoProject, DefaultProjectGone: no name is given, and there is no default.
    """
    if workspace and workspace != DEFAULT_WORKSPACE:
        return await projects.by_slug(work, workspace)
    return await projects.default_project(work)


async def _inside(work: Work, workspace: str | None) -> Workspace:
    project = await named(work, workspace)
    only = replace(work.access, only_projects=frozenset({project.id}))
    return Workspace(replace(work, access=only), project.id, project.slug)


async def _reading(work: deps.Reading, workspace: Named = None) -> Workspace:
    return await _inside(work, workspace)


async def _writing(work: deps.Writing, workspace: Named = None) -> Workspace:
    inside = await _inside(work, workspace)
    await projects.stay(inside.work, inside.project_id)
    return inside


async def _opening(
    runtime: deps.Running, access: deps.Caller, experiment_id: str = "", workspace: Named = None
) -> AsyncIterator[Workspace]:
    read_only = experiment_id != DEFAULT_EXPERIMENT
    async with open_work(
        runtime.sessions, access, read_only=read_only, clock=runtime.clock
    ) as work:
        yield await (_reading if read_only else _writing)(work, workspace)


async def _tenant_reading(work: deps.Reading, workspace: Named = None) -> Work:
    return await _not_elsewhere(work, workspace)


async def _tenant_writing(work: deps.Writing, workspace: Named = None) -> Work:
    return await _not_elsewhere(work, workspace)


async def _not_elsewhere(work: Work, workspace: str | None) -> Work:
    """A header means nothing to calls about workspaces, but it may not lie."""
    if workspace:
        await named(work, workspace)
    return work


Reading = Annotated[Workspace, Depends(_reading, scope="function")]
Writing = Annotated[Workspace, Depends(_writing, scope="function")]
# Reads an experiment; the default one is made if a project from before has none.
Opening = Annotated[Workspace, Depends(_opening, scope="function")]
# Above workspaces, for the calls about them.
TenantReading = Annotated[Work, Depends(_tenant_reading, scope="function")]
TenantWriting = Annotated[Work, Depends(_tenant_writing, scope="function")]


@dataclass(frozen=True, slots=True)
class Steps:
    """Units of work inside one project, for a request whose bytes travel outside of any."""

    runtime: deps.Runtime
    request: Request
    access: Access
    named: str | None

    @property
    def tenant_id(self) -> UUID:
        if self.access.tenant_id is None:
            raise Forbidden("This belongs to a tenant, and your account is a member of none.")
        return self.access.tenant_id

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Work]:
        async with self._open(self.access, read_only=True) as work:
            yield (await _inside(work, self.named)).work

    @asynccontextmanager
    async def counting(self) -> AsyncIterator[Work]:
        async with self._open(self.access) as work:
            yield (await _inside(work, self.named)).work

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[Work]:
        """By now the caller may be somebody else: a large file takes its time."""
        async with self._open(await self.runtime.authenticate(self.request)) as work:
            yield (await _writing(work, self.named)).work

    def tidying(self) -> AbstractAsyncContextManager[Work]:
        return self._open(Access.system(self.tenant_id))

    def _open(
        self, access: Access, *, read_only: bool = False
    ) -> AbstractAsyncContextManager[Work]:
        clock = self.runtime.clock
        return open_work(self.runtime.sessions, access, read_only=read_only, clock=clock)


async def _steps(
    runtime: deps.Running, request: Request, access: deps.Caller, workspace: Named = None
) -> Steps:
    return Steps(runtime, request, access, workspace)


@dataclass(frozen=True, slots=True)
class PartSteps:
    """The same for whoever has an upload's secret, in the name of whoever began the upload."""

    runtime: deps.Runtime
    upload: uploads.Known
    access: Access

    @property
    def tenant_id(self) -> UUID:
        return self.upload.tenant_id

    def counting(self) -> AbstractAsyncContextManager[Work]:
        return self._open(self.access)

    reading = counting

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[Work]:
        """By now they may be somebody else."""
        async with self._open(await _beginner(self.runtime, self.upload)) as work:
            yield work

    def tidying(self) -> AbstractAsyncContextManager[Work]:
        return self._open(Access.system(self.tenant_id))

    def _open(self, access: Access) -> AbstractAsyncContextManager[Work]:
        return open_work(self.runtime.sessions, access, clock=self.runtime.clock)


async def _beginner(runtime: deps.Runtime, upload: uploads.Known) -> Access:
    """Whoever began it, as the database knows them now.

    Raises:
        UploadNotFound: their session or key has ended.
    """
    try:
        access = await runtime.recall(upload.credential_id)
    except Unauthenticated:
        raise UploadNotFound from None
    if access.tenant_id != upload.tenant_id:
        raise UploadNotFound
    return access


async def _adding(
    runtime: deps.Running,
    upload_id: UUID,
    secret: Annotated[str, Header(alias=SECRET_HEADER)] = "",
) -> PartSteps:
    async with open_system_work(runtime.sessions, read_only=True, clock=runtime.clock) as work:
        upload = await uploads.known(work, upload_id, secret)
    access = await _beginner(runtime, upload)
    await runtime.admit(access)
    return PartSteps(runtime, upload, access)


async def _blobs(request: Request) -> Blobs:
    blobs: Blobs = request.app.state.blobs
    return blobs


# A part of an upload, by whoever has its secret.
Adding = Annotated[PartSteps, Depends(_adding)]
Stepping = Annotated[Steps, Depends(_steps)]
Files = Annotated[Blobs, Depends(_blobs)]
