"""Seals over the audit trail, and the order in which its filters read it.

Revision ID: 0012
Revises: 0011
"""

import sqlalchemy as sa
from alembic import op

from maestro_ml.migrations import postgres, sqlite

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
FILTERS = (
    *("actor_id", "action", "target_type", "target_id"),
    *("api_key_id", "request_id", "ip"),
)


def upgrade() -> None:
    for column in FILTERS:
        op.create_index(_index(column), "audit_events", ["tenant_id", column, "created_at"])
    op.create_table(
        "audit_seals",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("until", MOMENT, nullable=False),
        sa.Column("n_events", sa.Integer(), nullable=False),
        sa.Column("entries", sa.LargeBinary(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("signature", sa.LargeBinary(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name="fk_audit_seals_tenant_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_audit_seals"),
        sa.UniqueConstraint("tenant_id", "id", name="uq_audit_seals_tenant_id_id"),
        sa.UniqueConstraint("tenant_id", "number", name="uq_audit_seals_tenant_id_number"),
    )
    op.create_index(
        "ix_audit_seals_tenant_id_created_at", "audit_seals", ["tenant_id", "created_at"]
    )
    if op.get_bind().dialect.name == "sqlite":
        sqlite.only_add("audit_seals")
    else:  # tenants read theirs; only the platform adds any, and nobody changes one
        postgres.above_tenants("audit_seals", "SELECT, INSERT")
        postgres.seen_by_tenants("audit_seals", f"tenant_id = {postgres.MINE}")


def downgrade() -> None:
    op.drop_table("audit_seals")
    for column in FILTERS:
        op.drop_index(_index(column), "audit_events")


def _index(column: str) -> str:
    return f"ix_audit_events_tenant_id_{column}_created_at"
