"""Files of runs and logged models, the blobs that hold them, and what they count.

Revision ID: 0016
Revises: 0015
"""

import sqlalchemy as sa
from alembic import op

from maestro_ml.migrations import postgres, sqlite

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
BYTEWISE = sa.String().with_variant(sa.String(collation="C"), "postgresql")
TABLES = ("stored_blobs", "loose_blobs", "tracked_files", "uploads")


def upgrade() -> None:
    op.add_column(
        "tenants",
        sa.Column("storage_bytes", sa.BigInteger(), nullable=False, server_default="0"),
    )
    op.create_table(
        "stored_blobs",
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        *_owned("stored_blobs"),
    )
    op.create_table(
        "loose_blobs",
        sa.Column("reserved", sa.BigInteger(), nullable=False),
        sa.Column("until", MOMENT, nullable=False),
        sa.Column("upload_id", sa.Uuid(), nullable=True),
        sa.Column("part", sa.Integer(), nullable=True),
        sa.Column("sha256", sa.String(), nullable=True),
        *_owned("loose_blobs"),
    )
    op.create_table(
        "tracked_files",
        sa.Column("blob_id", sa.Uuid(), nullable=False),
        *_placed("tracked_files"),
        sa.ForeignKeyConstraint(
            ["tenant_id", "blob_id"],
            ["stored_blobs.tenant_id", "stored_blobs.id"],
            name="fk_tracked_files_tenant_id_blob_id",
        ),
        *(
            sa.UniqueConstraint(
                "tenant_id",
                owner,
                "folder",
                "name",
                name=f"uq_tracked_files_tenant_id_{owner}_folder_name",
            )
            for owner in ("run_id", "model_id")
        ),
        *_owned("tracked_files"),
    )
    op.create_table(
        "uploads",
        sa.Column("secret_hash", sa.LargeBinary(), nullable=False),
        sa.Column("expires_at", MOMENT, nullable=False),
        *_placed("uploads"),
        *_owned("uploads"),
    )
    for table in TABLES:
        op.create_index(f"ix_{table}_tenant_id_created_at", table, ["tenant_id", "created_at"])
    op.create_index("ix_loose_blobs_until", "loose_blobs", ["until"])
    op.create_index("ix_loose_blobs_tenant_id_upload_id", "loose_blobs", ["tenant_id", "upload_id"])
    op.create_index("ix_tracked_files_tenant_id_blob_id", "tracked_files", ["tenant_id", "blob_id"])
    op.create_index("ix_uploads_expires_at", "uploads", ["expires_at"])
    if op.get_bind().dialect.name == "sqlite":
        for table in TABLES:
            sqlite.keep_tenant(table)
    else:
        for table in TABLES:
            postgres.tenant_table(table)
        op.execute(f"GRANT UPDATE (storage_bytes) ON tenants TO {postgres.APP}")


def downgrade() -> None:
    for table in reversed(TABLES):
        op.drop_table(table)
    op.drop_column("tenants", "storage_bytes")


def _owned(table: str) -> tuple[sa.schema.SchemaItem, ...]:
    return (
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name=f"fk_{table}_tenant_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=f"pk_{table}"),
        sa.UniqueConstraint("tenant_id", "id", name=f"uq_{table}_tenant_id_id"),
    )


def _placed(table: str) -> tuple[sa.schema.SchemaItem, ...]:
    return (
        sa.Column("run_id", sa.Uuid(), nullable=True),
        sa.Column("model_id", sa.Uuid(), nullable=True),
        sa.Column("folder", BYTEWISE, nullable=False),
        sa.Column("name", BYTEWISE, nullable=False),
        sa.Column("created_by", sa.Uuid(), nullable=True),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.CheckConstraint("(run_id IS NULL) <> (model_id IS NULL)", name="one_owner"),
        sa.ForeignKeyConstraint(
            ["tenant_id", "project_id"],
            ["projects.tenant_id", "projects.id"],
            name=f"fk_{table}_tenant_id_project_id",
            ondelete="CASCADE",
        ),
        *(
            sa.ForeignKeyConstraint(
                ["tenant_id", owner],
                [f"{owners}.tenant_id", f"{owners}.id"],
                name=f"fk_{table}_tenant_id_{owner}",
                ondelete="CASCADE",
            )
            for owner, owners in (("run_id", "runs"), ("model_id", "logged_models"))
        ),
    )
