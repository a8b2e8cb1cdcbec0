"""Projects and their teams."""

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Any, TypedDict, Unpack
from uuid import UUID

from maestro_ml.client.errors import NotFound
from maestro_ml.client.paging import pages
from maestro_ml.client.transport import Transport
from maestro_ml.client.views import Project, ProjectMember


class ProjectFields(TypedDict, total=False):
    """What a project says of itself. In an update what is left out stays, and None empties it."""

    description: str
    problem_class: str | None
    complexity_score: int | None
    goal_metric: str | None
    goal_target: float | None
    planned_start: date | None
    planned_end: date | None
    actual_start: date | None
    actual_end: date | None
    budget: Decimal | None
    budget_currency: str | None
    visibility: str
    status: str
    metadata: dict[str, Any]


class ProjectChanges(ProjectFields, total=False):
    name: str


class Projects:
    """A project is named by its id or, where the argument is a `str`, by its slug."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(
        self,
        *,
        search: str | None = None,
        status: str | None = None,
        archived: bool | None = None,
        sort: str | None = None,
    ) -> Iterator[Project]:
        """The projects that the caller may see."""
        asked = {"q": search, "status": status, "archived": archived, "sort": sort}
        return pages(self._transport, "/projects", Project, params=asked)

    def create(
        self, name: str, *, slug: str | None = None, **fields: Unpack[ProjectFields]
    ) -> Project:
        """Start a project. The slug is its name in addresses and in MLflow, and never changes."""
        body = _plain({"name": name, **fields})
        if slug is not None:
            body["slug"] = slug
        return Project.model_validate(self._transport.ask("POST", "/projects", json=body))

    def get(self, project: UUID | str) -> Project:
        """Read one."""
        if (id := _id(project)) is not None:
            return Project.model_validate(self._transport.ask("GET", f"/projects/{id}"))
        found = next(
            pages(self._transport, "/projects", Project, params={"slug": str(project)}), None
        )
        if found is None:
            raise NotFound("There is no such project.", status=404, code="project-not-found")
        return found

    def update(self, project: UUID | str, **changes: Unpack[ProjectChanges]) -> Project:
        """Change what is given, and nothing else."""
        body = _plain(dict(changes))
        path = self._path(project)
        return Project.model_validate(self._transport.ask("PATCH", path, json=body))

    def archive(self, project: UUID | str) -> Project:
        """Put it away: it can be read and restored, and takes no new runs."""
        answer = self._transport.ask("POST", f"{self._path(project)}/archive")
        return Project.model_validate(answer)

    def restore(self, project: UUID | str) -> Project:
        """Take it out of the archive."""
        answer = self._transport.ask("POST", f"{self._path(project)}/restore")
        return Project.model_validate(answer)

    def delete(self, project: UUID | str, *, confirm: str) -> None:
        """Destroy it with everything in it. `confirm` must be its slug, so that it is meant."""
        self._transport.ask("DELETE", self._path(project), params={"confirm": confirm})

    def members(self, project: UUID | str) -> Iterator[ProjectMember]:
        """The team."""
        return pages(self._transport, f"{self._path(project)}/members", ProjectMember)

    def add_member(self, project: UUID | str, *, email: str, role: str) -> ProjectMember:
        """Take somebody of the tenant into the team."""
        path = f"{self._path(project)}/members"
        answer = self._transport.ask("POST", path, json={"email": email, "role": role})
        return ProjectMember.model_validate(answer)

    def change_member(self, project: UUID | str, user_id: UUID, *, role: str) -> ProjectMember:
        """Give somebody of the team another role."""
        path = f"{self._path(project)}/members/{user_id}"
        return ProjectMember.model_validate(self._transport.ask("PATCH", path, json={"role": role}))

    def remove_member(self, project: UUID | str, user_id: UUID) -> None:
        """Take somebody out of the team."""
        self._transport.ask("DELETE", f"{self._path(project)}/members/{user_id}")

    def _path(self, project: UUID | str) -> str:
        return f"/projects/{_id(project) or self.get(project).id}"


def _id(project: UUID | str) -> UUID | None:
    try:
        return UUID(str(project))
    except ValueError:
        return None


def _plain(fields: dict[str, Any]) -> dict[str, Any]:
    """As JSON can say it."""
    return {key: _json(value) for key, value in fields.items()}


def _json(value: Any) -> Any:
    match value:
        case date():
            return value.isoformat()
        case Decimal():
            return str(value)
    return value
