"""What the code offers is in the docs, word for word as the code says it."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_reference_says_what_the_code_says(generate: ModuleType) -> None:
    stale = [page for page, text in generate.pages().items() if page.read_text() != text]
    assert not stale, "run `make docs`"


def test_every_error_code_has_one_meaning_and_a_sentence(generate: ModuleType) -> None:
    for code, kind in generate.errors().items():
        assert kind.__doc__, f"{kind.__name__} ({code}) has no docstring for its page"


def test_every_command_explains_itself(generate: ModuleType) -> None:
    group = generate.typer.main.get_command(generate.cli)
    for name, command in generate.commands(group):
        assert command.help, name


def test_every_link_inside_the_docs_leads_somewhere() -> None:
    pages = [ROOT / "README.md", *ROOT.glob("docs/**/*.md")]
    for page in pages:
        for part in page.read_text().split("](")[1:]:
            target = part.split(")")[0].split("#")[0]
            if target and not target.startswith(("http:", "https:", "mailto:")):
                assert (page.parent / target).exists(), f"{page.name} links to {target}"
