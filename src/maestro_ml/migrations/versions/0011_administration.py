"""Members that are put on hold, and service accounts.

Revision ID: 0011
Revises: 0010
"""

import sqlalchemy as sa
from alembic import op

from maestro_ml.migrations import postgres, sqlite

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

SERVICE_ACCOUNTS = "service_accounts"


def upgrade() -> None:
    op.add_column(
        "memberships",
        sa.Column("active", sa.Boolean(), nullable=False, server_default=sa.true()),
    )
    op.create_table(
        SERVICE_ACCOUNTS,
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("description", sa.String(), nullable=False),
        sa.Column("created_by", sa.Uuid(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_service_accounts")),
        sa.ForeignKeyConstraint(
            ["tenant_id"],
            ["tenants.id"],
            name=op.f("fk_service_accounts_tenant_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "id"],
            ["memberships.tenant_id", "memberships.user_id"],
            name=op.f("fk_service_accounts_tenant_id_id"),
            ondelete="CASCADE",
        ),
        sa.UniqueConstraint("tenant_id", "id", name=op.f("uq_service_accounts_tenant_id_id")),
        sa.UniqueConstraint("tenant_id", "name", name=op.f("uq_service_accounts_tenant_id_name")),
    )
    op.create_index(
        op.f("ix_service_accounts_tenant_id_created_at"),
        SERVICE_ACCOUNTS,
        ["tenant_id", "created_at"],
    )
    if op.get_bind().dialect.name == "sqlite":
        sqlite.keep_tenant(SERVICE_ACCOUNTS)
    else:
        postgres.tenant_table(SERVICE_ACCOUNTS)


def downgrade() -> None:
    op.drop_table(SERVICE_ACCOUNTS)
    with postgres.seeing_all(op.get_bind()):
        _remove_inactive()
    op.drop_column("memberships", "active")


def _remove_inactive() -> None:
    """The older schema lets every member in: whoever is on hold loses their place instead."""
    places = sa.table("memberships", *map(sa.column, ("tenant_id", "user_id", "active")))
    tenants = sa.table("tenants", *map(sa.column, ("id", "n_users")))
    on_hold = places.c.active == sa.false()
    for name in ("project_members", "api_keys"):  # keys, or a new invitation would wake them
        rows = sa.table(name, *map(sa.column, ("tenant_id", "user_id")))
        theirs = (places.c.tenant_id == rows.c.tenant_id) & (places.c.user_id == rows.c.user_id)
        op.execute(sa.delete(rows).where(sa.exists().where(theirs, on_hold)))
    seats = sa.select(sa.func.count()).select_from(places)
    seats = seats.where(places.c.tenant_id == tenants.c.id, on_hold)
    op.execute(sa.update(tenants).values(n_users=tenants.c.n_users - seats.scalar_subquery()))
    op.execute(sa.delete(places).where(on_hold))
