"""MLflow's workspace is our project, named by its slug.

As with MLflow's own workspaces, what lies outside is not there: every request happens inside one
project, the header's or, without it, the default project of the caller's key; the id of a run or
experiment of another project is not found, even if the caller may see that project by its name.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Header

from maestro_ml.db.work import Work, open_work
from maestro_ml.http import deps
from maestro_ml.mlflow.wire import as_id
from maestro_ml.projects import service as projects
from maestro_ml.tracking.errors import ExperimentNotFound
from maestro_ml.tracking.service import experiments

DEFAULT_EXPERIMENT = "0"
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


async def _inside(work: Work, named: str | None) -> Workspace:
    if named and named != "default":
        project = await projects.find(work, named)
    else:
        project = await projects.default_project(work)
    only = replace(work.access, only_projects=frozenset({project.id}))
    return Workspace(replace(work, access=only), project.id, project.slug)


async def _reading(work: deps.Reading, workspace: Named = None) -> Workspace:
    return await _inside(work, workspace)


async def _writing(work: deps.Writing, workspace: Named = None) -> Workspace:
    return await _inside(work, workspace)


async def _opening(
    runtime: deps.Running, access: deps.Caller, experiment_id: str = "", workspace: Named = None
) -> AsyncIterator[Workspace]:
    read_only = experiment_id != DEFAULT_EXPERIMENT
    async with open_work(
        runtime.sessions, access, read_only=read_only, clock=runtime.clock
    ) as work:
        yield await _inside(work, workspace)


Reading = Annotated[Workspace, Depends(_reading, scope="function")]
Writing = Annotated[Workspace, Depends(_writing, scope="function")]
# Reads an experiment; the default one is made if a project from before has none.
Opening = Annotated[Workspace, Depends(_opening, scope="function")]
