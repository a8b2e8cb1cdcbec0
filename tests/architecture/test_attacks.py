"""Every attack of the list has a test, or a reason why there is nothing to attack."""

import ast
from collections import Counter
from pathlib import Path

from support.attacks import ABSENT, GROUPS, ROWS

TESTS = Path(__file__).parents[1]


def rows_of(module: Path) -> list[int]:
    """The numbers in its `pytest.mark.rows(...)`."""
    return [
        argument.value
        for node in ast.walk(ast.parse(module.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "rows"
        for argument in node.args
        if isinstance(argument, ast.Constant) and isinstance(argument.value, int)
    ]


def test_every_attack_has_a_test_or_nothing_to_attack() -> None:
    held = Counter(row for module in TESTS.rglob("test_*.py") for row in rows_of(module))
    assert set(held) <= set(ROWS), "a test names a row that there is not"
    assert set(held) | set(ABSENT) == set(ROWS)
    assert not set(held) & set(ABSENT), "there is a test for what is said to be absent"
    assert {group for group, _ in ROWS.values()} == set(GROUPS)
