"""What a caller of the native API sees of the registry."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Self
from uuid import UUID

from pydantic import MISSING, Field, PlainSerializer, model_validator

from maestro_ml.core.paging import Page
from maestro_ml.core.schemas import Change, Command, PageView, Text, View, spelled
from maestro_ml.registry.models import Stage
from maestro_ml.registry.records import (
    Comparison,
    Lineage,
    ModelRecord,
    VersionFile,
    VersionRecord,
)
from maestro_ml.registry.schemas import (
    MAX_TAG,
    Description,
    ModelCreate,
    ModelName,
    Number,
    Origin,
    SetTag,
    TagKey,
    VersionCreate,
)
from maestro_ml.tracking.models import LifecycleStage
from maestro_ml.tracking.paths import sound_path
from maestro_ml.tracking.records import LoggedModelRecord, RunRecord
from maestro_ml.tracking.schemas import MAX_BATCH
from maestro_ml.tracking.service.inputs import CONTEXT_TAG

Tags = Annotated[
    dict[TagKey, Annotated[Text, Field(max_length=MAX_TAG)]], Field(max_length=MAX_BATCH)
]
TagChanges = Annotated[
    dict[TagKey, Annotated[Text, Field(max_length=MAX_TAG)] | None],
    Field(min_length=1, max_length=MAX_BATCH, description="Null takes a tag away."),
]
InProject = Annotated[
    Text,
    Field(
        max_length=63,
        description="The project's slug or id. Needed where several projects that you see have a "
        "model of the name.",
    ),
]


# JSON knows neither NaN nor the infinities; as MLflow's clients write them.
Number64 = Annotated[float, Field(allow_inf_nan=True), PlainSerializer(spelled, when_used="json")]


class RegisteredModelCreate(Command):
    name: ModelName
    project: InProject | None = Field(
        default=None, description="The project's slug or id; else your default project."
    )
    description: Description | None = None
    tags: Tags = {}

    @property
    def command(self) -> ModelCreate:
        return ModelCreate(name=self.name, description=self.description, tags=_each(self.tags))


class RegisteredModelChange(Change):
    """What is left out stays as it is."""

    name: ModelName | MISSING = MISSING
    description: Description | MISSING = Field(MISSING, description="The empty text is none.")
    tags: TagChanges | MISSING = MISSING


class ModelVersionCreate(Command):
    """One of `run_id`, `logged_model_id` and `copy_of` says where the files are copied from."""

    run_id: UUID | None = None
    path: Annotated[
        Text, Field(max_length=1024, description="The folder of the run's files; else all of them.")
    ] = ""
    logged_model_id: UUID | None = None
    copy_of: Number | None = Field(default=None, description="Another version of the same model.")
    description: Description | None = None
    tags: Tags = {}

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if sum(one is not None for one in (self.run_id, self.logged_model_id, self.copy_of)) != 1:
            raise ValueError("name one of run_id, logged_model_id and copy_of")
        return self

    def command(self, model: str, copied: UUID | None) -> VersionCreate:
        """`copied` is the id of the version that `copy_of` names."""
        if self.run_id is not None:
            source = f"runs:/{self.run_id.hex}" + (f"/{self.path}" if self.path else "")
        elif self.logged_model_id is not None:
            source = f"models:/m-{self.logged_model_id.hex}"
        else:
            source = f"models:/{model}/{self.copy_of}"
        return VersionCreate(
            source=source,
            origin=Origin(
                run_id=self.run_id,
                logged_model_id=self.logged_model_id,
                version_id=copied,
                path=sound_path(self.path),
            ),
            description=self.description,
            tags=_each(self.tags),
        )


class ModelVersionChange(Change):
    """What is left out stays as it is."""

    description: Description | MISSING = Field(MISSING, description="The empty text is none.")
    tags: TagChanges | MISSING = MISSING


class AliasSet(Command):
    version: Number


class ModelVersionView(View):
    id: UUID
    project_id: UUID
    name: str
    version: int
    description: str
    source: str
    run_id: UUID | None
    logged_model_id: UUID | None
    stage: Stage = Field(description="As old MLflow clients call it.")
    aliases: list[str]
    tags: dict[str, str]
    n_files: int
    fingerprint: str | None = Field(
        description="Of all files with their paths; null where they are in a store elsewhere."
    )
    created_by: UUID | None
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, record: VersionRecord) -> Self:
        version = record.version
        return cls(
            id=version.id,
            project_id=version.project_id,
            name=record.name,
            version=version.number,
            description=version.description or "",
            source=version.source,
            run_id=version.run_id,
            logged_model_id=version.logged_model_id,
            stage=version.stage,
            aliases=[*record.aliases],
            tags=dict(record.tags),
            n_files=version.n_files,
            fingerprint=version.fingerprint,
            created_by=version.created_by,
            created_at=version.created_at,
            updated_at=version.updated_at,
        )


class RegisteredModelView(View):
    id: UUID
    project_id: UUID
    name: str
    description: str
    tags: dict[str, str]
    aliases: dict[str, int] = Field(description="Which version each alias means.")
    latest_version: int | None
    created_by: UUID | None
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, record: ModelRecord) -> Self:
        model = record.model
        return cls(
            id=model.id,
            project_id=model.project_id,
            name=model.name,
            description=model.description or "",
            tags=dict(record.tags),
            aliases=dict(record.aliases),
            latest_version=max((one.version.number for one in record.latest), default=None),
            created_by=model.created_by,
            created_at=model.created_at,
            updated_at=model.updated_at,
        )


class VersionFileView(View):
    path: str
    size: int
    sha256: str

    @classmethod
    def of(cls, file: VersionFile) -> Self:
        return cls(path=file.path, size=file.size, sha256=file.sha256)


class ComparisonView(View):
    """Each value by the version's number."""

    versions: list[ModelVersionView]
    params: dict[str, dict[int, str]]
    metrics: dict[str, dict[int, Number64]]
    files: dict[str, dict[int, str]] = Field(description="Those that differ, with their SHA-256.")

    @classmethod
    def of(cls, found: Comparison) -> Self:
        return cls(
            versions=[ModelVersionView.of(one) for one in found.versions],
            params={key: dict(values) for key, values in found.params.items()},
            metrics={key: dict(values) for key, values in found.metrics.items()},
            files={path: dict(known) for path, known in found.files.items()},
        )


class DatasetView(View):
    name: str
    digest: str
    source_type: str
    source: str
    context: str | None


class LineageRunView(View):
    id: UUID
    name: str
    experiment_id: UUID
    status: str
    deleted: bool
    params: dict[str, str]
    metrics: dict[str, Number64]
    datasets: list[DatasetView]


class LineageLoggedModelView(View):
    id: UUID
    name: str
    model_type: str | None
    deleted: bool


class LineageView(View):
    """From the data to the version; null is what was never said, or is gone for good."""

    run: LineageRunView | None
    logged_model: LineageLoggedModelView | None
    version: ModelVersionView

    @classmethod
    def of(cls, found: Lineage) -> Self:
        return cls(
            run=None if found.run is None else _run(found.run),
            logged_model=None if found.logged_model is None else _logged(found.logged_model),
            version=ModelVersionView.of(found.version),
        )


def _run(record: RunRecord) -> LineageRunView:
    run = record.run
    return LineageRunView(
        id=run.id,
        name=run.name,
        experiment_id=run.experiment_id,
        status=run.status,
        deleted=run.lifecycle_stage is LifecycleStage.DELETED,
        params=dict(record.params),
        metrics={point.key: point.value for point in record.metrics},
        datasets=[
            DatasetView(
                name=used.dataset.name,
                digest=used.dataset.digest,
                source_type=used.dataset.source_type,
                source=used.dataset.source,
                context=used.tags.get(CONTEXT_TAG),
            )
            for used in record.links.datasets
        ],
    )


def _logged(record: LoggedModelRecord) -> LineageLoggedModelView:
    model = record.model
    return LineageLoggedModelView(
        id=model.id,
        name=model.name,
        model_type=model.model_type,
        deleted=model.deleted_at is not None,
    )


def models_page(page: Page[ModelRecord]) -> PageView[RegisteredModelView]:
    items = [RegisteredModelView.of(one) for one in page.items]
    return PageView[RegisteredModelView](items=items, next_cursor=page.next_cursor)


def versions_page(page: Page[VersionRecord]) -> PageView[ModelVersionView]:
    items = [ModelVersionView.of(one) for one in page.items]
    return PageView[ModelVersionView](items=items, next_cursor=page.next_cursor)


def files_page(page: Page[VersionFile]) -> PageView[VersionFileView]:
    items = [VersionFileView.of(one) for one in page.items]
    return PageView[VersionFileView](items=items, next_cursor=page.next_cursor)


def _each(tags: Mapping[str, str]) -> list[SetTag]:
    return [SetTag(key=key, value=value) for key, value in tags.items()]
