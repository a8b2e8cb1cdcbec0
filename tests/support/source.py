"""The product's own source, as syntax trees."""

import ast
from functools import cache
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src" / "maestro_ml"
MODULES = sorted(SOURCE.rglob("*.py"))
SERVICES = sorted([*SOURCE.glob("*/service.py"), *SOURCE.glob("*/service/*.py")])


def name_of(module: Path) -> str:
    return str(module.relative_to(SOURCE))


@cache
def tree_of(module: Path) -> ast.Module:
    return ast.parse(module.read_text())
