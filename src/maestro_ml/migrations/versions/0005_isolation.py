"""What keeps tenants apart in the database itself: row-level security, or triggers on SQLite.

Revision ID: 0005
Revises: 0004
"""

from alembic import op

from maestro_ml.migrations import postgres, sqlite

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

ONLY_ADDED = "audit_events"
OWNED = (
    "experiment_tags",
    "experiments",
    "invitations",
    "jobs",
    "latest_metrics",
    "memberships",
    "metric_points",
    "params",
    "project_members",
    "projects",
    "run_tags",
    "runs",
)
ABOVE = (
    "api_keys",
    "installation",
    "refresh_tokens",
    "schedules",
    "sessions",
    "setup_secrets",
    "signing_keys",
    "tenants",
    "users",
)
HERE = f"m.user_id = users.id AND m.tenant_id = {postgres.MINE}"


def upgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        for table in OWNED:
            sqlite.keep_tenant(table)
        sqlite.only_add(ONLY_ADDED)
        return
    for table in OWNED:
        postgres.tenant_table(table)
    postgres.tenant_table(ONLY_ADDED, "SELECT, INSERT")
    for table in ABOVE:
        postgres.above_tenants(table)
    postgres.seen_by_tenants("tenants", f"id = {postgres.MINE}", columns=("n_users", "n_projects"))
    postgres.seen_by_tenants("users", f"EXISTS (SELECT FROM memberships m WHERE {HERE})")  # nosec B608


def downgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        sqlite.drop_triggers(*OWNED, ONLY_ADDED)
        return
    for table in (*OWNED, ONLY_ADDED, *ABOVE):
        postgres.open_table(table)
