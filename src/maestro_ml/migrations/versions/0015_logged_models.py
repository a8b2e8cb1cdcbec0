"""Datasets that runs use, and the models they log.

Revision ID: 0015
Revises: 0014
"""

import sqlalchemy as sa
from alembic import op

from maestro_ml.migrations import postgres, sqlite

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
TABLES = (
    "logged_datasets",
    "dataset_inputs",
    "logged_models",
    "logged_model_tags",
    "logged_model_params",
    "logged_model_metrics",
    "run_models",
)


def upgrade() -> None:
    _of_experiments(
        "logged_datasets",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("source_type", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("schema", sa.String(), nullable=True),
        sa.Column("profile", sa.String(), nullable=True),
        sa.UniqueConstraint(
            *("tenant_id", "experiment_id", "name", "digest"),
            name="uq_logged_datasets_tenant_id_experiment_id_name_digest",
        ),
    )
    _of_experiments(
        "logged_models",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("status", sa.String(40), nullable=False),
        sa.Column("updated_at", MOMENT, nullable=False),
        sa.Column("model_type", sa.String(), nullable=True),
        sa.Column("source_run_id", sa.Uuid(), nullable=True),
        sa.Column("created_by", sa.Uuid(), nullable=True),
        sa.Column("deleted_at", MOMENT, nullable=True),
    )
    op.create_index(
        "ix_logged_models_newest",
        "logged_models",
        ["tenant_id", "experiment_id", "deleted_at", "created_at", "id"],
    )
    _parts(
        "dataset_inputs",
        {"run_id": "runs", "dataset_id": "logged_datasets"},
        sa.Column("tags", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("context", sa.String(), nullable=True),
        key=("run_id", "dataset_id"),
        index="dataset_id",
    )
    for table in ("logged_model_tags", "logged_model_params"):
        _parts(
            table,
            {"model_id": "logged_models"},
            sa.Column("key", sa.String(), nullable=False),
            sa.Column("value", sa.String(), nullable=False),
            key=("model_id", "key"),
        )
    _parts(
        "logged_model_metrics",
        {"model_id": "logged_models", "run_id": "runs"},
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("point_id", sa.Uuid(), nullable=False),
        sa.Column("step", sa.BigInteger(), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.Column("is_nan", sa.Boolean(), nullable=False),
        sa.Column("dataset_name", sa.String(), nullable=True),
        sa.Column("dataset_digest", sa.String(), nullable=True),
        key=("model_id", "key", "point_id"),
        index="run_id",
    )
    _parts(
        "run_models",
        {"run_id": "runs", "model_id": "logged_models"},
        sa.Column("direction", sa.String(40), nullable=False),
        sa.Column("step", sa.BigInteger(), nullable=False),
        key=("run_id", "direction", "model_id"),
        index="model_id",
    )
    isolate = (
        sqlite.keep_tenant if op.get_bind().dialect.name == "sqlite" else postgres.tenant_table
    )
    for table in TABLES:
        isolate(table)


def downgrade() -> None:
    for table in reversed(TABLES):
        op.drop_table(table)


def _of_experiments(table: str, *rest: sa.schema.SchemaItem) -> None:
    """A table of rows with an id that belong to an experiment, and so to its project."""
    op.create_table(
        table,
        sa.Column("experiment_id", sa.Uuid(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        *rest,
        sa.ForeignKeyConstraint(
            ["tenant_id", "project_id", "experiment_id"],
            ["experiments.tenant_id", "experiments.project_id", "experiments.id"],
            name=f"fk_{table}_tenant_id_project_id_experiment_id",
            ondelete="CASCADE",
        ),
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
        sa.UniqueConstraint("tenant_id", "id", name=f"uq_{table}_tenant_id_id"),
    )
    op.create_index(f"ix_{table}_tenant_id_created_at", table, ["tenant_id", "created_at"])


def _parts(
    table: str,
    owners: dict[str, str],
    *rest: sa.Column[object],
    key: tuple[str, ...],
    index: str | None = None,
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
    if index is not None:
        op.create_index(f"ix_{table}_{index}", table, [index])
