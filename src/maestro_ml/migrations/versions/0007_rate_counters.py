"""Failed sign-ins and rates, counted for all processes.

Revision ID: 0007
Revises: 0006
"""

import sqlalchemy as sa
from alembic import op

from maestro_ml.migrations import postgres

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "rate_counters",
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("until", sa.Double(), nullable=False),
        sa.Column("recent", sa.Integer(), nullable=False),
        sa.Column("in_a_row", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_rate_counters"),
    )
    op.create_index("ix_rate_counters_until", "rate_counters", ["until"])
    if op.get_bind().dialect.name == "postgresql":
        postgres.above_tenants("rate_counters")


def downgrade() -> None:
    op.drop_table("rate_counters")
