"""Triggers that hold on SQLite what rights and policies hold on PostgreSQL, for revisions to call.

Rebuilding a table drops its triggers: a revision that does so takes them off first and makes them
anew at its end. What a released revision calls here is never changed.
"""

from alembic import op


def keep_tenant(table: str) -> None:
    """A row never changes its tenant."""
    op.execute(
        f"CREATE TRIGGER {table}_keeps_its_tenant BEFORE UPDATE OF tenant_id ON {table}"
        " WHEN NEW.tenant_id IS NOT OLD.tenant_id"
        " BEGIN SELECT RAISE(ABORT, 'a row never changes its tenant'); END"
    )


def only_add(table: str) -> None:
    """Rows are neither changed nor removed; they go with their tenant."""
    refuse = f"BEGIN SELECT RAISE(ABORT, 'rows of {table} are only ever added'); END"
    op.execute(f"CREATE TRIGGER {table}_unchanged BEFORE UPDATE ON {table} {refuse}")
    alive = "EXISTS (SELECT 1 FROM tenants WHERE id = OLD.tenant_id)"
    op.execute(f"CREATE TRIGGER {table}_kept BEFORE DELETE ON {table} WHEN {alive} {refuse}")


def drop_triggers(*tables: str) -> None:
    for table in tables:
        for what in ("keeps_its_tenant", "unchanged", "kept"):
            op.execute(f"DROP TRIGGER IF EXISTS {table}_{what}")


def never_change(table: str) -> None:
    """Rows are not changed; they go with what they belong to."""
    op.execute(
        f"CREATE TRIGGER {table}_unchanged BEFORE UPDATE ON {table}"
        f" BEGIN SELECT RAISE(ABORT, 'rows of {table} are never changed'); END"
    )
