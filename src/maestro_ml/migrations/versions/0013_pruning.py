"""Indexes to find by what is to be forgotten.

Revision ID: 0013
Revises: 0012
"""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

INDEXES = (
    *(("sessions", "expires_at"), ("sessions", "revoked_at"), ("refresh_tokens", "expires_at")),
    *(("mfa_challenges", "expires_at"), ("account_tokens", "expires_at")),
)
COUNTERS = "rate_counters"


def upgrade() -> None:
    for table, column in INDEXES:
        op.create_index(f"ix_{table}_{column}", table, [column])
    op.drop_index("ix_rate_counters_until", COUNTERS)
    op.create_index("ix_rate_counters_in_a_row_until", COUNTERS, ["in_a_row", "until"])


def downgrade() -> None:
    op.drop_index("ix_rate_counters_in_a_row_until", COUNTERS)
    op.create_index("ix_rate_counters_until", COUNTERS, ["until"])
    for table, column in INDEXES:
        op.drop_index(f"ix_{table}_{column}", table)
