"""Ways of writing that open a server, read from the syntax tree."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.source import MODULES, SOURCE, name_of, tree_of

# What turns bytes of others into code.
EXECUTES = {"eval", "exec", "compile", "__import__"}
UNPACKS = {"pickle", "cloudpickle", "dill", "marshal", "shelve", "joblib", "yaml", "jsonpickle"}
# Who may open a connection: the one door out, and what speaks to a Maestro.
CALLS_OUT = ("outbound/", "client/", "cli/")
NETWORK = {"socket", "http.client", "urllib.request", "requests", "httpx", "httpx2", "aiohttp"}
# Who may start a process: the command line, never the server.
STARTS = ("cli/",)
SECRET_WORDS = re.compile(r"(^|_)(token|secret|password|signature|mac|code)$")
WRITES_MARKUP = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|srcdoc|"
    r"localStorage|document\.cookie"
)
PAGES = sorted([*SOURCE.rglob("*.html"), *SOURCE.rglob("*.js")])


def modules_of(tree: ast.Module) -> Iterator[str]:
    """Every module that is imported, wherever."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def imports(tree: ast.Module, names: set[str]) -> set[str]:
    found = set(modules_of(tree))
    return {name for name in names for one in found if one == name or one.startswith(f"{name}.")}


def faults(tree: ast.Module) -> Iterator[str]:
    """What no module may say."""
    yield from (f"unpacks with {name}" for name in sorted(imports(tree, UNPACKS)))
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id=name)) if name in EXECUTES:
                yield f"{name}()"
            case ast.keyword(arg="verify" | "verify_ssl" | "check_hostname", value=value) if (
                isinstance(value, ast.Constant) and not value.value
            ):
                yield "certificates are not looked at"
            case ast.Attribute(attr="CERT_NONE" | "_create_unverified_context"):
                yield "certificates are not looked at"
            case ast.keyword(arg="shell", value=ast.Constant(value=True)):
                yield "a shell"
            case ast.Compare(left=left, ops=[ast.Eq() | ast.NotEq()], comparators=[right]) if (
                _is_secret(left) and _is_secret(right)
            ):
                yield f"compares {ast.unparse(node)}: hmac.compare_digest"
            case ast.ExceptHandler(type=None):
                yield "a bare except"


def _is_secret(node: ast.expr) -> bool:
    """A value, and no column of a statement."""
    match node:
        case ast.Attribute(value=ast.Name(id=owner), attr=name):
            return owner[0].islower() and bool(SECRET_WORDS.search(name))
        case ast.Name(id=name):
            return bool(SECRET_WORDS.search(name))
    return False


@pytest.mark.parametrize("module", MODULES, ids=name_of)
def test_nothing_opens_the_server(module: Path) -> None:
    assert not list(faults(tree_of(module)))


@pytest.mark.parametrize("module", MODULES, ids=name_of)
def test_no_secret_can_be_guessed_from_others(module: Path) -> None:
    if not name_of(module).startswith("client/"):  # where it spreads what is tried again
        assert not imports(tree_of(module), {"random"}), "take `secrets`"


@pytest.mark.parametrize("module", MODULES, ids=name_of)
def test_one_door_leads_out(module: Path) -> None:
    if not name_of(module).startswith(CALLS_OUT):
        assert not imports(tree_of(module), NETWORK)


@pytest.mark.parametrize("module", MODULES, ids=name_of)
def test_the_server_starts_no_process(module: Path) -> None:
    if not name_of(module).startswith(STARTS):
        assert not imports(tree_of(module), {"subprocess", "multiprocessing", "pty"})
        assert not re.search(r"\bos\.(system|popen|exec|spawn|fork)", ast.unparse(tree_of(module)))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_our_pages_write_text_and_keep_nothing(page: Path) -> None:
    text = page.read_text()
    assert not WRITES_MARKUP.findall(text)
    assert not re.search(r"<script(?![^>]*\bsrc=)|\bon\w+\s*=\s*[\"']|style\s*=\s*[\"']", text)


@pytest.mark.parametrize(
    "code",
    [
        "eval(x)",
        "import pickle",
        "from yaml import load",
        "get(url, verify=False)",
        "ssl.CERT_NONE",
        "run(command, shell=True)",
        "kept.token == sent.token",
        "try:\n    f()\nexcept:\n    g()",
    ],
)
def test_the_rule_sees_it(code: str) -> None:
    assert list(faults(ast.parse(code)))


@pytest.mark.parametrize(
    "code", ["hash is None", "token == ''", "run(command)", "a.name == b.name"]
)
def test_the_rule_leaves_the_rest_alone(code: str) -> None:
    assert not list(faults(ast.parse(code)))
