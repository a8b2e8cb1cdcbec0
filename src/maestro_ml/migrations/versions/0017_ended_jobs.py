"""An index to find the jobs that ended long ago.

Revision ID: 0017
Revises: 0016
"""

from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

NAME = "ix_jobs_state_finished_at"


def upgrade() -> None:
    op.create_index(NAME, "jobs", ["state", "finished_at"])


def downgrade() -> None:
    op.drop_index(NAME, "jobs")
