"""Tenants: what is there goes to the default tenant, and references cannot leave a tenant.

Revision ID: 0002
Revises: 0001
"""

import secrets
import time
from datetime import UTC, datetime
from uuid import UUID

import sqlalchemy as sa
from alembic import op
from alembic.operations import BatchOperations
from alembic.util import CommandError

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

DEFAULT = UUID("00000000-0000-7000-8000-000000000001")
MOMENT = sa.DateTime(timezone=True)
OWNED = ("projects", "project_members", "experiments", "runs")
IN_PROJECT = ("project_members", "experiments", "runs")

TENANTS = sa.table(
    "tenants",
    sa.column("id", sa.Uuid()),
    sa.column("name", sa.String()),
    sa.column("slug", sa.String()),
    sa.column("status", sa.String()),
    sa.column("created_at", MOMENT),
    sa.column("max_users", sa.Integer()),
    sa.column("max_projects", sa.Integer()),
    sa.column("max_artifacts", sa.Integer()),
    sa.column("max_storage_bytes", sa.BigInteger()),
    sa.column("max_concurrent_jobs", sa.Integer()),
    sa.column("n_users", sa.Integer()),
    sa.column("n_projects", sa.Integer()),
)
MEMBERSHIPS = sa.table(
    "memberships",
    sa.column("id", sa.Uuid()),
    sa.column("tenant_id", sa.Uuid()),
    sa.column("created_at", MOMENT),
    sa.column("user_id", sa.Uuid()),
    sa.column("role", sa.String()),
)
USERS = sa.table(
    "users",
    sa.column("id", sa.Uuid()),
    sa.column("role", sa.String()),
    sa.column("created_at", MOMENT),
)


def upgrade() -> None:
    _create_tenants()
    _create_memberships()
    _fill()
    for table in OWNED:
        op.add_column(table, sa.Column("tenant_id", sa.Uuid(), nullable=True))
        owned = sa.table(table, sa.column("tenant_id", sa.Uuid()))
        op.execute(owned.update().values(tenant_id=DEFAULT))
    with op.batch_alter_table("projects") as batch:
        _own(batch, "projects")
        batch.drop_constraint("uq_projects_name", type_="unique")
        batch.drop_constraint("uq_projects_slug", type_="unique")
        batch.create_unique_constraint("uq_projects_tenant_id_name", ["tenant_id", "name"])
        batch.create_unique_constraint("uq_projects_tenant_id_slug", ["tenant_id", "slug"])
    with op.batch_alter_table("project_members") as batch:
        _own(batch, "project_members")
        batch.drop_constraint("uq_project_members_project_id_user_id", type_="unique")
        batch.drop_constraint("fk_project_members_user_id", type_="foreignkey")
        batch.create_unique_constraint(
            "uq_project_members_tenant_id_project_id_user_id",
            ["tenant_id", "project_id", "user_id"],
        )
        batch.create_foreign_key(
            "fk_project_members_tenant_id_user_id",
            "memberships",
            ["tenant_id", "user_id"],
            ["tenant_id", "user_id"],
            ondelete="CASCADE",
        )
        batch.create_index("ix_project_members_tenant_id_user_id", ["tenant_id", "user_id"])
    with op.batch_alter_table("experiments") as batch:
        _own(batch, "experiments")
        batch.drop_constraint("uq_experiments_project_id_name", type_="unique")
        batch.create_unique_constraint(
            "uq_experiments_tenant_id_project_id_name", ["tenant_id", "project_id", "name"]
        )
        batch.create_unique_constraint(
            "uq_experiments_tenant_id_project_id_id", ["tenant_id", "project_id", "id"]
        )
    with op.batch_alter_table("runs") as batch:
        _own(batch, "runs")
        batch.drop_constraint("fk_runs_experiment_id", type_="foreignkey")
        batch.create_foreign_key(
            "fk_runs_tenant_id_project_id_experiment_id",
            "experiments",
            ["tenant_id", "project_id", "experiment_id"],
            ["tenant_id", "project_id", "id"],
            ondelete="CASCADE",
        )
    with op.batch_alter_table("users") as batch:
        batch.drop_column("role")


def downgrade() -> None:
    others = sa.select(sa.func.count()).select_from(TENANTS).where(TENANTS.c.id != DEFAULT)
    n = op.get_bind().execute(others).scalar_one()
    if n:
        raise CommandError(
            f"Before tenancy there is no place for more than the default tenant, and {n} more "
            "exist: delete or export them first."
        )
    op.add_column("users", sa.Column("role", sa.String(40), nullable=True))
    held = (
        sa.select(MEMBERSHIPS.c.role).where(MEMBERSHIPS.c.user_id == USERS.c.id).scalar_subquery()
    )
    op.execute(USERS.update().values(role=sa.func.coalesce(held, "viewer")))
    with op.batch_alter_table("users") as batch:
        batch.alter_column("role", existing_type=sa.String(40), nullable=False)
    with op.batch_alter_table("runs") as batch:
        batch.drop_constraint("fk_runs_tenant_id_project_id_experiment_id", type_="foreignkey")
        _disown(batch, "runs")
        batch.create_foreign_key(
            "fk_runs_experiment_id", "experiments", ["experiment_id"], ["id"], ondelete="CASCADE"
        )
    with op.batch_alter_table("experiments") as batch:
        batch.drop_constraint("uq_experiments_tenant_id_project_id_name", type_="unique")
        batch.drop_constraint("uq_experiments_tenant_id_project_id_id", type_="unique")
        _disown(batch, "experiments")
        batch.create_unique_constraint("uq_experiments_project_id_name", ["project_id", "name"])
    with op.batch_alter_table("project_members") as batch:
        batch.drop_index("ix_project_members_tenant_id_user_id")
        batch.drop_constraint("fk_project_members_tenant_id_user_id", type_="foreignkey")
        batch.drop_constraint("uq_project_members_tenant_id_project_id_user_id", type_="unique")
        _disown(batch, "project_members")
        batch.create_unique_constraint(
            "uq_project_members_project_id_user_id", ["project_id", "user_id"]
        )
        batch.create_foreign_key(
            "fk_project_members_user_id", "users", ["user_id"], ["id"], ondelete="CASCADE"
        )
    with op.batch_alter_table("projects") as batch:
        batch.drop_constraint("uq_projects_tenant_id_name", type_="unique")
        batch.drop_constraint("uq_projects_tenant_id_slug", type_="unique")
        _disown(batch, "projects")
        batch.create_unique_constraint("uq_projects_name", ["name"])
        batch.create_unique_constraint("uq_projects_slug", ["slug"])
    # The references to (tenant_id, id) of projects are made to id alone only now.
    for table in IN_PROJECT:
        with op.batch_alter_table(table) as batch:
            batch.create_foreign_key(
                f"fk_{table}_project_id", "projects", ["project_id"], ["id"], ondelete="CASCADE"
            )
    op.drop_table("memberships")
    op.drop_table("tenants")


def _create_tenants() -> None:
    op.create_table(
        "tenants",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("slug", sa.String(), nullable=False),
        sa.Column("status", sa.String(40), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("max_users", sa.Integer(), nullable=False),
        sa.Column("max_projects", sa.Integer(), nullable=False),
        sa.Column("max_artifacts", sa.Integer(), nullable=False),
        sa.Column("max_storage_bytes", sa.BigInteger(), nullable=False),
        sa.Column("max_concurrent_jobs", sa.Integer(), nullable=False),
        sa.Column("max_requests_per_minute", sa.Integer(), nullable=True),
        sa.Column("n_users", sa.Integer(), nullable=False),
        sa.Column("n_projects", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_tenants"),
        sa.UniqueConstraint("slug", name="uq_tenants_slug"),
    )


def _create_memberships() -> None:
    op.create_table(
        "memberships",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("role", sa.String(40), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_memberships"),
        sa.UniqueConstraint("tenant_id", "id", name="uq_memberships_tenant_id_id"),
        sa.UniqueConstraint("tenant_id", "user_id", name="uq_memberships_tenant_id_user_id"),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name="fk_memberships_tenant_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name="fk_memberships_user_id", ondelete="CASCADE"
        ),
    )
    op.create_index(
        "ix_memberships_tenant_id_created_at", "memberships", ["tenant_id", "created_at"]
    )
    op.create_index("ix_memberships_user_id", "memberships", ["user_id"])


def _fill() -> None:
    """The default tenant; everybody is in it, with the role they had."""
    bind = op.get_bind()
    people = bind.execute(sa.select(USERS.c.id, USERS.c.role, USERS.c.created_at)).all()
    projects = sa.select(sa.func.count()).select_from(sa.table("projects"))
    bind.execute(
        TENANTS.insert().values(
            id=DEFAULT,
            name="Default",
            slug="default",
            status="active",
            created_at=datetime.now(UTC),
            max_users=50,
            max_projects=200,
            max_artifacts=10_000,
            max_storage_bytes=50 * 2**30,
            max_concurrent_jobs=4,
            n_users=len(people),
            n_projects=bind.execute(projects).scalar_one(),
        )
    )
    if people:
        rows = [
            {"id": _id(), "tenant_id": DEFAULT, "user_id": id, "role": role, "created_at": since}
            for id, role, since in people
        ]
        bind.execute(MEMBERSHIPS.insert(), rows)


def _id() -> UUID:
    millis = time.time_ns() // 1_000_000
    return UUID(
        int=millis << 80 | 0x7 << 76 | secrets.randbits(12) << 64 | 2 << 62 | secrets.randbits(62)
    )


def _own(batch: BatchOperations, table: str) -> None:
    """NOT NULL, gone with the tenant, (tenant_id, id) to refer to; the project is of the tenant."""
    batch.alter_column("tenant_id", existing_type=sa.Uuid(), nullable=False)
    batch.create_foreign_key(
        f"fk_{table}_tenant_id", "tenants", ["tenant_id"], ["id"], ondelete="CASCADE"
    )
    batch.create_unique_constraint(f"uq_{table}_tenant_id_id", ["tenant_id", "id"])
    batch.create_index(f"ix_{table}_tenant_id_created_at", ["tenant_id", "created_at"])
    if table in IN_PROJECT:
        batch.drop_constraint(f"fk_{table}_project_id", type_="foreignkey")
        batch.create_foreign_key(
            f"fk_{table}_tenant_id_project_id",
            "projects",
            ["tenant_id", "project_id"],
            ["tenant_id", "id"],
            ondelete="CASCADE",
        )


def _disown(batch: BatchOperations, table: str) -> None:
    if table in IN_PROJECT:
        batch.drop_constraint(f"fk_{table}_tenant_id_project_id", type_="foreignkey")
    batch.drop_index(f"ix_{table}_tenant_id_created_at")
    batch.drop_constraint(f"uq_{table}_tenant_id_id", type_="unique")
    batch.drop_constraint(f"fk_{table}_tenant_id", type_="foreignkey")
    batch.drop_column("tenant_id")
