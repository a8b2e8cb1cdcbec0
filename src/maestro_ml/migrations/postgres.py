"""Roles and row-level security, for revisions to call.

A released revision keeps doing what it did: what one of them calls here is never changed, a later
need gets a function of its own.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from alembic import op
from sqlalchemy import Connection

from maestro_ml.migrations.errors import DatabaseInUse, DatabaseLocked

APP, SYSTEM = "maestro_app", "maestro_system"
ROLES = (APP, SYSTEM)
PRESENCE = 0x6D6165737472_7075  # the advisory lock of servers and workers, which they share
# An ended transaction leaves '' behind, not NULL: cast bare, it would be an error, not "none".
MINE = "nullif(current_setting('app.tenant_id', true), '')::uuid"


def login_without_roles(connection: Connection) -> str | None:
    """The login's name, if it neither is a member of the roles nor may see to it."""
    row = connection.exec_driver_sql(
        "SELECT current_user, rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = current_user"
    ).one()
    member = connection.exec_driver_sql(
        "SELECT count(*) FROM pg_roles WHERE rolname IN ('maestro_app', 'maestro_system')"
        " AND pg_has_role(current_user, oid, 'MEMBER')"
    ).scalar_one()
    return None if row[1] or member == len(ROLES) else str(row[0])


def come_in(connection: Connection) -> None:
    """Say that somebody works with this schema, for as long as the connection lives.

    Raises:
        DatabaseLocked: it is being taken back right now.
    """
    if not connection.exec_driver_sql(f"SELECT pg_try_advisory_lock_shared({PRESENCE})").scalar():
        raise DatabaseLocked


def keep_others_out(connection: Connection) -> None:
    """Nobody works with this schema until the transaction ends.

    Raises:
        DatabaseInUse: somebody does.
    """
    if connection.dialect.name != "postgresql":
        return  # SQLite has one server, and it holds the data folder
    if not connection.exec_driver_sql(f"SELECT pg_try_advisory_xact_lock({PRESENCE})").scalar():
        raise DatabaseInUse


@contextmanager
def seeing_all(connection: Connection) -> Iterator[None]:
    """Rows of every tenant, which even the tables' owner does not see by itself."""
    isolated = (
        connection.dialect.name == "postgresql"
        and connection.exec_driver_sql(
            "SELECT EXISTS (SELECT FROM pg_class WHERE relforcerowsecurity"
            " AND relnamespace = 'public'::regnamespace)"
        ).scalar()
    )
    if isolated:
        connection.exec_driver_sql(f"SET LOCAL ROLE {SYSTEM}")
    yield
    if isolated:
        connection.exec_driver_sql("RESET ROLE")


def create_roles(connection: Connection) -> None:
    """Both roles, and the login a member of both. They belong to the whole server: another
    database may be making them at this very moment, and they are never dropped."""
    for role in ROLES:
        connection.exec_driver_sql(_create(role))
        connection.exec_driver_sql(
            f"DO $$ BEGIN IF NOT pg_has_role(current_user, '{role}', 'MEMBER') THEN"
            f" EXECUTE format('GRANT {role} TO %I', current_user); END IF;"
            " EXCEPTION WHEN unique_violation OR duplicate_object THEN NULL; END $$"
        )


def grants_sql(login: str) -> str:
    quoted = '"' + login.replace('"', '""') + '"'
    return "\n".join(
        [
            *(f"{_create(role)};" for role in ROLES),
            f"ALTER ROLE {quoted} NOINHERIT;",
            *(f"GRANT {role} TO {quoted};" for role in ROLES),
            # Even the database's owner needs it: what it has by that, it does not inherit.
            f"GRANT USAGE, CREATE ON SCHEMA public TO {quoted};",
            "",
        ]
    )


def tenant_table(table: str, rights: str = "SELECT, INSERT, UPDATE, DELETE") -> None:
    """A table whose rows belong to a tenant: its role reaches the rows of the tenant it names."""
    above_tenants(table, rights)
    op.execute(f"GRANT {rights} ON {table} TO {APP}")
    op.execute(
        f"CREATE POLICY {table}_app ON {table} TO {APP}"
        f" USING (tenant_id = {MINE}) WITH CHECK (tenant_id = {MINE})"
    )


def above_tenants(table: str, rights: str = "SELECT, INSERT, UPDATE, DELETE") -> None:
    """A table that the tenants' role has no rights on."""
    op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
    op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
    op.execute(f"GRANT {rights} ON {table} TO {SYSTEM}")
    op.execute(
        f"CREATE POLICY {table}_system ON {table} TO {SYSTEM} USING (true) WITH CHECK (true)"
    )


def seen_by_tenants(table: str, rows: str, *, columns: tuple[str, ...] = ()) -> None:
    """Lets the tenants' role read some rows of a table above it, and change the listed columns."""
    op.execute(f"GRANT SELECT ON {table} TO {APP}")
    op.execute(f"CREATE POLICY {table}_app ON {table} FOR SELECT TO {APP} USING ({rows})")
    if columns:
        op.execute(f"GRANT UPDATE ({', '.join(columns)}) ON {table} TO {APP}")
        op.execute(
            f"CREATE POLICY {table}_app_count ON {table} FOR UPDATE TO {APP}"
            f" USING ({rows}) WITH CHECK ({rows})"
        )


def added_by_tenants(table: str) -> None:
    """A table whose rows a tenant reads and adds, and nobody changes; they go with what they belong
    to, or with the tenant."""
    above_tenants(table, "SELECT, INSERT, DELETE")
    op.execute(f"GRANT SELECT, INSERT ON {table} TO {APP}")
    op.execute(
        f"CREATE POLICY {table}_app ON {table} TO {APP}"
        f" USING (tenant_id = {MINE}) WITH CHECK (tenant_id = {MINE})"
    )


def open_table(table: str) -> None:
    """Takes back what the functions above did to a table that stays."""
    for policy in ("system", "app", "app_count"):
        op.execute(f"DROP POLICY IF EXISTS {table}_{policy} ON {table}")
    op.execute(f"REVOKE ALL ON {table} FROM {APP}, {SYSTEM}")
    op.execute(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY")
    op.execute(f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY")


def _create(role: str) -> str:
    return (
        f"DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}') THEN"  # nosec B608
        f" CREATE ROLE {role} NOLOGIN NOINHERIT; END IF;"
        " EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$"
    )
