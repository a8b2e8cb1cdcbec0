"""Registered models and their versions."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote
from uuid import UUID

from maestro_ml.client.paging import pages
from maestro_ml.client.transport import Params, Transport
from maestro_ml.client.views_models import (
    Lineage,
    ModelVersion,
    RegisteredModel,
    VersionComparison,
    VersionFile,
)


class Models:
    """A model is known by its name. `project`, a slug or id, is needed where several projects that
    the caller sees have a model of that name."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(
        self, *, search: str | None = None, project: str | None = None, prompts: bool = False
    ) -> Iterator[RegisteredModel]:
        """The models of the projects that the caller sees, by name."""
        asked: Params = {"q": search, "project": project, "prompts": prompts or None}
        return pages(self._transport, "/models", RegisteredModel, params=asked)

    def create(
        self,
        name: str,
        *,
        project: str | None = None,
        description: str = "",
        tags: Mapping[str, str] | None = None,
    ) -> RegisteredModel:
        """Take a name for versions to come, in a project or the caller's default one."""
        body = {"name": name, "description": description, "tags": dict(tags or {})}
        if project is not None:
            body["project"] = project
        return RegisteredModel.model_validate(self._transport.ask("POST", "/models", json=body))

    def get(self, name: str, *, project: str | None = None) -> RegisteredModel:
        """Read one."""
        return RegisteredModel.model_validate(self._ask("GET", name, project=project))

    def update(
        self,
        name: str,
        *,
        project: str | None = None,
        new_name: str | None = None,
        description: str | None = None,
        tags: Mapping[str, str | None] | None = None,
    ) -> RegisteredModel:
        """Change what is given. A tag of None goes."""
        given = {"name": new_name, "description": description, "tags": tags and dict(tags)}
        body = {field: value for field, value in given.items() if value is not None}
        return RegisteredModel.model_validate(self._ask("PATCH", name, project=project, json=body))

    def delete(self, name: str, *, confirm: str, project: str | None = None) -> None:
        """Destroy it with its versions. `confirm` must be its name, so that it is meant."""
        self._ask("DELETE", name, project=project, confirm=confirm)

    def versions(self, name: str, *, project: str | None = None) -> Iterator[ModelVersion]:
        """Its versions, the newest first."""
        path = f"{_path(name)}/versions"
        return pages(self._transport, path, ModelVersion, params={"project": project})

    def create_version(
        self,
        name: str,
        *,
        project: str | None = None,
        run_id: UUID | str | None = None,
        path: str = "",
        logged_model_id: UUID | str | None = None,
        copy_of: int | None = None,
        description: str = "",
        tags: Mapping[str, str] | None = None,
    ) -> ModelVersion:
        """Add a version with the files of a run, below `path`, of a logged model, or of another
        version."""
        body: dict[str, Any] = {"path": path, "description": description, "tags": dict(tags or {})}
        origin = {"run_id": run_id, "logged_model_id": logged_model_id, "copy_of": copy_of}
        body |= {field: _json(value) for field, value in origin.items() if value is not None}
        made = self._ask("POST", name, "versions", project=project, json=body)
        return ModelVersion.model_validate(made)

    def version(self, name: str, number: int, *, project: str | None = None) -> ModelVersion:
        """Read one version."""
        found = self._ask("GET", name, "versions", str(number), project=project)
        return ModelVersion.model_validate(found)

    def update_version(
        self,
        name: str,
        number: int,
        *,
        project: str | None = None,
        description: str | None = None,
        tags: Mapping[str, str | None] | None = None,
    ) -> ModelVersion:
        """Change what is given. Files never change."""
        given = {"description": description, "tags": tags and dict(tags)}
        body = {field: value for field, value in given.items() if value is not None}
        changed = self._ask("PATCH", name, "versions", str(number), project=project, json=body)
        return ModelVersion.model_validate(changed)

    def delete_version(self, name: str, number: int, *, project: str | None = None) -> None:
        """Destroy a version and the aliases that mean it."""
        self._ask("DELETE", name, "versions", str(number), project=project)

    def files(self, name: str, number: int, *, project: str | None = None) -> Iterator[VersionFile]:
        """The files of a version, with their hashes."""
        path = f"{_path(name)}/versions/{number}/files"
        return pages(self._transport, path, VersionFile, params={"project": project})

    def lineage(self, name: str, number: int, *, project: str | None = None) -> Lineage:
        """Where a version comes from."""
        found = self._ask("GET", name, "versions", str(number), "lineage", project=project)
        return Lineage.model_validate(found)

    def compare(
        self, name: str, numbers: Sequence[int], *, project: str | None = None
    ) -> VersionComparison:
        """Versions side by side."""
        found = self._ask("GET", name, "comparison", project=project, versions=list(numbers))
        return VersionComparison.model_validate(found)

    def by_alias(self, name: str, alias: str, *, project: str | None = None) -> ModelVersion:
        """The version that an alias means; `latest` is always the newest."""
        found = self._ask("GET", name, "aliases", alias, project=project)
        return ModelVersion.model_validate(found)

    def set_alias(
        self, name: str, alias: str, number: int, *, project: str | None = None
    ) -> ModelVersion:
        """From here on the alias means that version."""
        body = {"version": number}
        meant = self._ask("PUT", name, "aliases", alias, project=project, json=body)
        return ModelVersion.model_validate(meant)

    def delete_alias(self, name: str, alias: str, *, project: str | None = None) -> None:
        """The alias means nothing any more."""
        self._ask("DELETE", name, "aliases", alias, project=project)

    def _ask(self, method: str, name: str, *below: str, json: Any = None, **params: Any) -> Any:
        return self._transport.ask(method, _path(name, *below), json=json, params=params)


def _path(name: str, *below: str) -> str:
    return "/".join(["/models", *(quote(part, safe="") for part in (name, *below))])


def _json(value: Any) -> Any:
    return str(value) if isinstance(value, UUID) else value
