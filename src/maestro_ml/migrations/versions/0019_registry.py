"""Registered models, their versions, aliases and files.

Revision ID: 0019
Revises: 0018
"""

import sqlalchemy as sa
from alembic import op

from maestro_ml.migrations import postgres, sqlite

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
BYTEWISE = sa.String().with_variant(sa.String(collation="C"), "postgresql")
MODELS, VERSIONS = "registered_models", "model_versions"
TABLES = (
    MODELS,
    VERSIONS,
    "registered_model_tags",
    "model_version_tags",
    "model_aliases",
    "model_version_files",
)


def upgrade() -> None:
    _of_projects(
        MODELS,
        sa.Column("name", BYTEWISE, nullable=False),
        sa.Column("updated_at", MOMENT, nullable=False),
        sa.Column("description", sa.String(), nullable=True),
        sa.Column("last_number", sa.Integer(), nullable=False),
        sa.Column("created_by", sa.Uuid(), nullable=True),
        _unique(MODELS, "tenant_id", "project_id", "name"),
        _unique(MODELS, "tenant_id", "project_id", "id"),
    )
    _of_projects(
        VERSIONS,
        sa.Column("model_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("updated_at", MOMENT, nullable=False),
        sa.Column("stage", sa.String(40), nullable=False),
        sa.Column("description", sa.String(), nullable=True),
        sa.Column("run_id", sa.Uuid(), nullable=True),
        sa.Column("logged_model_id", sa.Uuid(), nullable=True),
        sa.Column("run_link", sa.String(), nullable=True),
        sa.Column("fingerprint", sa.String(), nullable=True),
        sa.Column("n_files", sa.Integer(), nullable=False),
        sa.Column("created_by", sa.Uuid(), nullable=True),
        sa.ForeignKeyConstraint(
            ["tenant_id", "project_id", "model_id"],
            [f"{MODELS}.{column}" for column in ("tenant_id", "project_id", "id")],
            name=f"fk_{VERSIONS}_tenant_id_project_id_model_id",
            ondelete="CASCADE",
        ),
        _unique(VERSIONS, "tenant_id", "model_id", "number"),
    )
    for name, table, columns in (
        ("ix_registered_models_changed", MODELS, ["project_id", "updated_at", "id"]),
        ("ix_model_versions_staged", VERSIONS, ["model_id", "stage", "number"]),
        ("ix_model_versions_changed", VERSIONS, ["project_id", "updated_at", "id"]),
        ("ix_model_versions_of_run", VERSIONS, ["run_id"]),
    ):
        op.create_index(name, table, ["tenant_id", *columns])
    for table, owner, column in (
        ("registered_model_tags", MODELS, "model_id"),
        ("model_version_tags", VERSIONS, "version_id"),
    ):
        _parts(
            table,
            {column: owner},
            sa.Column("key", sa.String(), nullable=False),
            sa.Column("value", sa.String(), nullable=False),
            key=(column, "key"),
        )
    _parts(
        "model_aliases",
        {"model_id": MODELS, "version_id": VERSIONS},
        sa.Column("alias", sa.String(), nullable=False),
        key=("model_id", "alias"),
    )
    op.create_index("ix_model_aliases_version_id", "model_aliases", ["version_id"])
    _parts(
        "model_version_files",
        {"version_id": VERSIONS},
        sa.Column("folder", BYTEWISE, nullable=False),
        sa.Column("name", BYTEWISE, nullable=False),
        sa.Column("blob_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "blob_id"],
            ["stored_blobs.tenant_id", "stored_blobs.id"],
            name="fk_model_version_files_tenant_id_blob_id",
        ),
        key=("version_id", "folder", "name"),
    )
    op.create_index(
        "ix_model_version_files_tenant_id_blob_id", "model_version_files", ["tenant_id", "blob_id"]
    )
    isolate = (
        sqlite.keep_tenant if op.get_bind().dialect.name == "sqlite" else postgres.tenant_table
    )
    for table in TABLES:
        isolate(table)


def downgrade() -> None:
    for table in reversed(TABLES):
        op.drop_table(table)


def _unique(table: str, *columns: str) -> sa.UniqueConstraint:
    return sa.UniqueConstraint(*columns, name=f"uq_{table}_{'_'.join(columns)}")


def _of_projects(table: str, *rest: sa.schema.SchemaItem) -> None:
    """A table of rows with an id that belong to a project."""
    op.create_table(
        table,
        *rest,
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "project_id"],
            ["projects.tenant_id", "projects.id"],
            name=f"fk_{table}_tenant_id_project_id",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name=f"fk_{table}_tenant_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=f"pk_{table}"),
        _unique(table, "tenant_id", "id"),
    )
    op.create_index(f"ix_{table}_tenant_id_created_at", table, ["tenant_id", "created_at"])


def _parts(
    table: str, owners: dict[str, str], *rest: sa.schema.SchemaItem, key: tuple[str, ...]
) -> None:
    """A table of rows that have no id: they are known by their owners, and go with them."""
    op.create_table(
        table,
        *(sa.Column(column, sa.Uuid(), nullable=False) for column in owners),
        *rest,
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        *(
            sa.ForeignKeyConstraint(
                ["tenant_id", column],
                [f"{owner}.tenant_id", f"{owner}.id"],
                name=f"fk_{table}_tenant_id_{column}",
                ondelete="CASCADE",
            )
            for column, owner in owners.items()
        ),
        sa.PrimaryKeyConstraint(*key, "tenant_id", name=f"pk_{table}"),
        sqlite_with_rowid=False,
    )
