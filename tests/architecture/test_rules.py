"""House rules a linter does not know, read from the syntax tree and not from the text."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.source import MODULES, SERVICES, SOURCE, name_of, tree_of

TESTS = Path(__file__).parents[1]
TEST_MODULES = sorted(TESTS.rglob("*.py"))
RAW_SQL = {"text", "literal_column", "TextClause", "create_engine", "create_async_engine"}
RAW_CALLS = {"text", "literal_column", "exec_driver_sql"}
# Modules that may build statements, beside `db`.
SQL_ROOMS = {
    *("models", "service", "search", "handlers", "lookup", "worker", "schedules", "context"),
    "counters",
}
# Part of a verb that has asked, or no verb of a caller's.
NOT_VERBS: dict[str, str] = {
    "jobs.enqueue": "part of a verb that has asked",
    "jobs.enqueue_internal": "part of a verb that has asked",
    "mail.send": "part of a verb that has asked",
    "jobs.publish": "announces what a verb did that has asked",
}
# Above tenants, with a caller: only these packages may have such a unit of work.
ABOVE_TENANTS = {"db", "http", "identity", "tenancy", "audit", "mail"}
# Heavy modules that one command needs and every other would wait for.
LAZY: dict[str, set[str]] = {
    "cli/admin.py": {f"maestro_ml.cli.process.{name}" for name in ("keys", "second_factor")},
    "cli/audit.py": {"maestro_ml.cli.process"},
    "cli/config.py": {"maestro_ml.cli.process.settings"},
    "cli/db.py": {"maestro_ml.cli.process"},
    "cli/demo/__init__.py": {"maestro_ml.cli.demo.story"},
    "cli/device.py": {"maestro_ml.client"},
    "cli/gc.py": {"maestro_ml.cli.process"},
    "cli/remote.py": {"maestro_ml.client"},
    "cli/second_factor.py": {"segno"},
    "cli/serve.py": {
        f"maestro_ml.cli.process.{name}" for name in ("reload", "serve", "settings", "work")
    },
}


def public_verbs(tree: ast.Module) -> list[ast.AsyncFunctionDef]:
    return [n for n in tree.body if isinstance(n, ast.AsyncFunctionDef) and n.name[0] != "_"]


def asks(verb: ast.AsyncFunctionDef) -> bool:
    """It calls `work.require` or `work.allows`, or it takes a SystemWork and has no caller."""
    if not verb.args.args:
        return False
    first = verb.args.args[0]
    if isinstance(first.annotation, ast.Name) and first.annotation.id == "SystemWork":
        return True
    calls = [n.func for n in ast.walk(verb) if isinstance(n, ast.Call)]
    return any(
        isinstance(c, ast.Attribute)
        and c.attr in {"require", "allows"}
        and isinstance(c.value, ast.Name)
        and c.value.id == first.arg
        for c in calls
    )


def escapes(tree: ast.Module) -> Iterator[str]:
    """Ways to reach the database behind the back of the tenant's session."""
    for node in ast.walk(tree):
        match node:
            case ast.ImportFrom(module=str(module), names=names) if module.startswith("sqlalchemy"):
                yield from (n.name for n in names if n.name in RAW_SQL | {"*"})
            case ast.ImportFrom(module="sqlite3" | "aiosqlite" | "asyncpg"):
                yield "a driver"
            case ast.Import(names=names) if {n.name for n in names} & {
                "sqlite3",
                "aiosqlite",
                "asyncpg",
            }:
                yield "a driver"
            case ast.Call(func=ast.Attribute(attr=name)) if name in RAW_CALLS:
                yield name
            case ast.Attribute(attr="__table__") | ast.Constant(value="__table__"):
                yield "__table__"


def late_imports(tree: ast.Module) -> Iterator[str]:
    """Modules imported inside a function."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            for inner in ast.walk(node):
                if isinstance(inner, ast.ImportFrom):
                    yield inner.module or "."
                elif isinstance(inner, ast.Import):
                    yield from (name.name for name in inner.names)


def length_of(module: Path) -> int:
    return len(module.read_text().splitlines())


@pytest.mark.parametrize("module", SERVICES, ids=name_of)
def test_every_public_verb_asks_for_permission(module: Path) -> None:
    package = module.relative_to(SOURCE).parts[0]
    for verb in public_verbs(tree_of(module)):
        name = f"{package}.{verb.name}"
        assert name in NOT_VERBS or asks(verb), f"{name} asks nothing"


def test_every_exempt_verb_exists() -> None:
    verbs = {
        f"{module.relative_to(SOURCE).parts[0]}.{verb.name}"
        for module in SERVICES
        for verb in public_verbs(tree_of(module))
    }
    assert set(NOT_VERBS) <= verbs


@pytest.mark.parametrize("module", MODULES, ids=name_of)
def test_modules_stay_small(module: Path) -> None:
    assert length_of(module) <= 400


@pytest.mark.parametrize("module", TEST_MODULES, ids=lambda module: str(module.relative_to(TESTS)))
def test_modules_of_tests_stay_small(module: Path) -> None:
    assert length_of(module) <= 400


@pytest.mark.parametrize("module", MODULES, ids=name_of)
def test_no_statement_escapes_the_tenant(module: Path) -> None:
    if module.relative_to(SOURCE).parts[0] not in {"db", "migrations"}:
        assert not list(escapes(tree_of(module)))


@pytest.mark.parametrize("module", MODULES, ids=name_of)
def test_sql_is_written_in_its_rooms_only(module: Path) -> None:
    parts = module.relative_to(SOURCE).with_suffix("").parts
    imported = {
        node.module.split(".")[0]
        for node in ast.walk(tree_of(module))
        if isinstance(node, ast.ImportFrom) and node.module
    }
    if "sqlalchemy" in imported and parts[0] not in {"db", "migrations"}:
        assert SQL_ROOMS & set(parts), f"{name_of(module)} builds SQL"


@pytest.mark.parametrize("module", MODULES, ids=name_of)
def test_work_above_tenants_stays_where_accounts_are(module: Path) -> None:
    if module.relative_to(SOURCE).parts[0] in ABOVE_TENANTS:
        return
    used = {
        alias.name
        for node in ast.walk(tree_of(module))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert not used & {"AccountWork", "Account", "AccountReading", "open_account_work"}


@pytest.mark.parametrize("module", MODULES, ids=name_of)
def test_imports_stand_at_the_top(module: Path) -> None:
    assert set(late_imports(tree_of(module))) <= LAZY.get(name_of(module), set())


@pytest.mark.parametrize(
    "code",
    [
        "from sqlalchemy import text as t",
        "from sqlalchemy.sql.expression import text",
        "from sqlalchemy import *",
        "import sqlalchemy as sa; sa.text('x')",
        "import sqlalchemy; sqlalchemy.sql.text('x')",
        "work.session.execute(sa.text('x'))",
        "from sqlalchemy.ext.asyncio import create_async_engine",
        "import sqlite3",
        "from asyncpg import connect",
        "Project.__table__",
        "getattr(Project, '__table__')",
    ],
)
def test_the_rule_sees_every_way_to_write_it(code: str) -> None:
    assert list(escapes(ast.parse(code)))


def test_the_rule_leaves_words_and_answers_alone() -> None:
    harmless = "# text(\nanswer.text\ncontext('x')\nfrom maestro_ml.core import text"
    assert not list(escapes(ast.parse(harmless)))


def test_a_verb_that_asks_nothing_is_seen() -> None:
    asking = ast.parse("async def get(work: Work): work.require(P)").body[0]
    silent = ast.parse("async def get(work: Work): other.require(P)").body[0]
    assert isinstance(asking, ast.AsyncFunctionDef)
    assert isinstance(silent, ast.AsyncFunctionDef)
    assert asks(asking)
    assert not asks(silent)
