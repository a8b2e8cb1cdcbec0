"""Approvals: policies, requests, who had a part in what is asked for, evidence and votes.

Revision ID: 0020
Revises: 0019
"""

import sqlalchemy as sa
from alembic import op

from maestro_ml.migrations import postgres, sqlite

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
OF_REQUESTS = ("approval_parties", "approval_evidence", "approval_votes")
TABLES = ("approval_requests", *OF_REQUESTS)


def upgrade() -> None:
    _table(
        "approval_policies",
        sa.Column("chain", sa.String(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("content", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=True),
        sa.Column("subject_kind", sa.String(), nullable=True),
        sa.Column("subject_id", sa.Uuid(), nullable=True),
        sa.Column("created_by", sa.Uuid(), nullable=True),
        sa.UniqueConstraint(
            "tenant_id", "chain", "number", name="uq_approval_policies_tenant_id_chain_number"
        ),
    )
    _table(
        "approval_requests",
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("subject_kind", sa.String(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("alias", sa.String(), nullable=False),
        sa.Column("target", sa.String(), nullable=True),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("fingerprint", sa.String(), nullable=False),
        sa.Column("policy_chain", sa.String(), nullable=False),
        sa.Column("policy_number", sa.Integer(), nullable=False),
        sa.Column("votes_needed", sa.Integer(), nullable=False),
        sa.Column("role_needed", sa.String(40), nullable=False),
        sa.Column("requested_by", sa.Uuid(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("state", sa.String(40), nullable=False),
        sa.Column("expires_at", MOMENT, nullable=False),
        sa.Column("slot", sa.String(), nullable=True),
        sa.Column("ended_at", MOMENT, nullable=True),
        sa.Column("ended_by", sa.Uuid(), nullable=True),
        sa.Column("ended_because", sa.String(), nullable=True),
        sa.UniqueConstraint("tenant_id", "slot", name="uq_approval_requests_tenant_id_slot"),
    )
    for column in ("state", "subject_id", "requested_by"):
        op.create_index(
            f"ix_approval_requests_tenant_id_{column}", "approval_requests", ["tenant_id", column]
        )
    _of_requests(
        "approval_parties",
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("part", sa.String(40), nullable=False),
        key=("user_id",),
    )
    _of_requests(
        "approval_evidence",
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("parameters", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("timeout_seconds", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(40), nullable=False),
        sa.Column("summary", sa.String(), nullable=False),
        sa.Column("details", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("inputs", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=True),
        sa.Column("started_at", MOMENT, nullable=True),
        sa.Column("finished_at", MOMENT, nullable=True),
        key=("position", "attempt"),
    )
    _of_requests(
        "approval_votes",
        sa.Column("voter_id", sa.Uuid(), nullable=False),
        sa.Column("verdict", sa.String(40), nullable=False),
        sa.Column("comment", sa.String(), nullable=False),
        sa.Column("role", sa.String(40), nullable=False),
        sa.Column("voted_at", MOMENT, nullable=False),
        key=("voter_id",),
    )
    if op.get_bind().dialect.name == "sqlite":
        sqlite.never_change("approval_policies")
        for table in TABLES:
            sqlite.keep_tenant(table)
    else:
        postgres.added_by_tenants("approval_policies")
        for table in TABLES:
            postgres.tenant_table(table)


def downgrade() -> None:
    for table in (*reversed(OF_REQUESTS), "approval_requests", "approval_policies"):
        op.drop_table(table)


def _table(table: str, *rest: sa.schema.SchemaItem) -> None:
    """A table of rows with an id that belong to a project, or to the tenant."""
    op.create_table(
        table,
        *rest,
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
        sa.UniqueConstraint("tenant_id", "id", name=f"uq_{table}_tenant_id_id"),
    )
    op.create_index(f"ix_{table}_tenant_id_created_at", table, ["tenant_id", "created_at"])


def _of_requests(table: str, *rest: sa.schema.SchemaItem, key: tuple[str, ...]) -> None:
    """A table of what belongs to a request, and goes with it."""
    unique = ("tenant_id", "request_id", *key)
    _table(
        table,
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("request_id", sa.Uuid(), nullable=False),
        *rest,
        sa.ForeignKeyConstraint(
            ["tenant_id", "request_id"],
            ["approval_requests.tenant_id", "approval_requests.id"],
            name=f"fk_{table}_tenant_id_request_id",
            ondelete="CASCADE",
        ),
        sa.UniqueConstraint(*unique, name=f"uq_{table}_{'_'.join(unique)}"),
    )
