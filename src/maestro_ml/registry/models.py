"""Registered models, their versions, and the names by which people ask for them."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import ForeignKeyConstraint, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from maestro_ml.db.base import Base, Bytewise, Part, ProjectOwned, Row, same_tenant


class Stage(StrEnum):
    """What old clients call a version's place. Two of them are aliases, the others are facts."""

    NONE = "None"
    STAGING = "Staging"
    PRODUCTION = "Production"
    ARCHIVED = "Archived"

    @property
    def alias(self) -> str | None:
        """The alias that is this stage."""
        return self.value.lower() if self in {Stage.STAGING, Stage.PRODUCTION} else None


class RegisteredModel(ProjectOwned, Row, kw_only=True):
    """`last_number` is that of the newest version there ever was: numbers never come back."""

    __tablename__ = "registered_models"
    __table_args__ = (
        UniqueConstraint("tenant_id", "project_id", "name"),
        UniqueConstraint("tenant_id", "project_id", "id"),
        Index("ix_registered_models_changed", "tenant_id", "project_id", "updated_at", "id"),
    )

    name: Mapped[str] = mapped_column(Bytewise)
    updated_at: Mapped[datetime]
    description: Mapped[str | None] = mapped_column(default=None)
    last_number: Mapped[int] = mapped_column(default=0)
    created_by: Mapped[UUID | None] = mapped_column(default=None)


class ModelVersion(ProjectOwned, Row, kw_only=True):
    """`source` is as the client wrote it. The run and the logged model are kept as ids when they
    are gone for good. `fingerprint` is made from the paths and hashes of all files; None: its files
    are elsewhere, and nobody here vouches for them."""

    __tablename__ = "model_versions"
    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "project_id", "model_id"],
            [f"registered_models.{column}" for column in ("tenant_id", "project_id", "id")],
            ondelete="CASCADE",
        ),
        UniqueConstraint("tenant_id", "model_id", "number"),
        Index("ix_model_versions_staged", "tenant_id", "model_id", "stage", "number"),
        Index("ix_model_versions_changed", "tenant_id", "project_id", "updated_at", "id"),
        Index("ix_model_versions_of_run", "tenant_id", "run_id"),
    )

    model_id: Mapped[UUID]
    number: Mapped[int]
    source: Mapped[str]
    updated_at: Mapped[datetime]
    stage: Mapped[Stage] = mapped_column(default=Stage.NONE)
    description: Mapped[str | None] = mapped_column(default=None)
    run_id: Mapped[UUID | None] = mapped_column(default=None)
    logged_model_id: Mapped[UUID | None] = mapped_column(default=None)
    run_link: Mapped[str | None] = mapped_column(default=None)
    fingerprint: Mapped[str | None] = mapped_column(default=None)
    n_files: Mapped[int] = mapped_column(default=0)
    created_by: Mapped[UUID | None] = mapped_column(default=None)

    @property
    def artifact_uri(self) -> str:
        """Where its files are read from: a snapshot, whatever becomes of its source."""
        if self.fingerprint is None:
            return self.source
        return f"mlflow-artifacts:/versions/{self.id.hex}/artifacts"


class RegisteredModelTag(Part, Base, kw_only=True):
    __tablename__ = "registered_model_tags"
    __owner__ = ("model_id", "registered_models")

    model_id: Mapped[UUID] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[str]


class ModelVersionTag(Part, Base, kw_only=True):
    __tablename__ = "model_version_tags"
    __owner__ = ("version_id", "model_versions")

    version_id: Mapped[UUID] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[str]


class ModelAlias(Part, Base, kw_only=True):
    """A name for one of a model's versions, which may come to mean another one."""

    __tablename__ = "model_aliases"
    __owner__ = ("model_id", "registered_models")
    __others__ = (("version_id", "model_versions"),)

    model_id: Mapped[UUID] = mapped_column(primary_key=True)
    alias: Mapped[str] = mapped_column(primary_key=True)
    version_id: Mapped[UUID] = mapped_column(index=True)


class ModelVersionFile(Part, Base, kw_only=True):
    """A file of a version. It never changes: whoever replaces a run's file names another blob."""

    __tablename__ = "model_version_files"
    __owner__ = ("version_id", "model_versions")
    __rules__ = (
        same_tenant("blob_id", "stored_blobs"),
        Index("ix_model_version_files_tenant_id_blob_id", "tenant_id", "blob_id"),
    )

    version_id: Mapped[UUID] = mapped_column(primary_key=True)
    folder: Mapped[str] = mapped_column(Bytewise, primary_key=True)
    name: Mapped[str] = mapped_column(Bytewise, primary_key=True)
    blob_id: Mapped[UUID]
