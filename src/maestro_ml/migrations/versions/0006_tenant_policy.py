"""What a tenant asks of its people: a second factor, shorter sessions, certain mail domains.

Revision ID: 0006
Revises: 0005
"""

import sqlalchemy as sa
from alembic import op

from maestro_ml.migrations.postgres import APP

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

COLUMNS = ("mfa_required", "session_profile", "allowed_domains")


def upgrade() -> None:
    op.add_column(
        "tenants",
        sa.Column("mfa_required", sa.Boolean(), nullable=False, server_default=sa.false()),
    )
    op.add_column(
        "tenants",
        sa.Column("session_profile", sa.String(40), nullable=False, server_default="standard"),
    )
    op.add_column(
        "tenants",
        sa.Column(
            "allowed_domains", sa.JSON(none_as_null=True), nullable=False, server_default="[]"
        ),
    )
    if op.get_bind().dialect.name == "postgresql":
        op.execute(f"GRANT UPDATE ({', '.join(COLUMNS)}) ON tenants TO {APP}")


def downgrade() -> None:
    for column in COLUMNS:
        op.drop_column("tenants", column)
