"""What a comparison of a filter asks of a column, and of the parts of a row."""

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Select, and_, or_

from maestro_ml.tracking.errors import FilterInvalid
from maestro_ml.tracking.search.tree import Comparison, Kind, Op

MAX_PATTERN = 1_000


def compare(column: Any, comparison: Comparison, dialect: str) -> Any:
    return _OPERATIONS[comparison.op](column, comparison.value, dialect)


def compare_part(named: Select[Any], part: Any, comparison: Comparison, dialect: str) -> Any:
    """The same of the metric, param or tag that is called so, out of those in `named`."""
    if comparison.op is Op.IS_NULL:
        return ~named.exists()
    if comparison.op is Op.IS_NOT_NULL:
        return named.exists()
    holds = compare(part.value, comparison, dialect)
    if comparison.field.kind is Kind.METRIC:  # NaN differs from every number, compares with none
        different = comparison.op is Op.NE
        holds = or_(holds, part.is_nan) if different else and_(holds, ~part.is_nan)
    return named.where(holds).exists()


def _like(column: Any, pattern: str, dialect: str) -> Any:
    """With an eye to case on both databases, and `%` and `_` the only special characters."""
    _check_pattern(pattern)
    if dialect == "sqlite":
        glob = "".join(_GLOB.get(char, char) for char in pattern)
        return column.op("GLOB", is_comparison=True)(glob)
    return column.like(pattern, escape="")


def _ilike(column: Any, pattern: str, dialect: str) -> Any:
    _check_pattern(pattern)
    if dialect == "sqlite":  # its LIKE knows no case for A to Z, and no escape unless asked
        return column.like(pattern)
    return column.ilike(pattern, escape="")


def _check_pattern(pattern: str) -> None:
    if len(pattern) > MAX_PATTERN:
        raise FilterInvalid(f"A pattern holds at most {MAX_PATTERN} characters")


_GLOB = {"%": "*", "_": "?", "*": "[*]", "?": "[?]", "[": "[[]"}
_OPERATIONS: Mapping[Op, Callable[[Any, Any, str], Any]] = {
    Op.EQ: lambda column, value, _: column == value,
    Op.NE: lambda column, value, _: column != value,
    Op.GT: lambda column, value, _: column > value,
    Op.GE: lambda column, value, _: column >= value,
    Op.LT: lambda column, value, _: column < value,
    Op.LE: lambda column, value, _: column <= value,
    Op.LIKE: _like,
    Op.ILIKE: _ilike,
    Op.IN: lambda column, value, _: column.in_(value),
    Op.NOT_IN: lambda column, value, _: column.not_in(value),
}
