"""A search, understood: what every grammar is parsed to and `tracking.search` turns into SQL."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Kind(StrEnum):
    """Where a name is looked up."""

    ATTRIBUTE = "attribute"
    METRIC = "metric"
    PARAM = "param"
    TAG = "tag"
    DATASET = "dataset"


class Op(StrEnum):
    EQ = "="
    NE = "!="
    GT = ">"
    GE = ">="
    LT = "<"
    LE = "<="
    LIKE = "LIKE"
    ILIKE = "ILIKE"
    IN = "IN"
    NOT_IN = "NOT IN"
    IS_NULL = "IS NULL"
    IS_NOT_NULL = "IS NOT NULL"


class View(StrEnum):
    """Which rows of those that can be deleted."""

    ACTIVE = "active"
    DELETED = "deleted"
    ALL = "all"


Operand = str | int | float | datetime | tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Field:
    kind: Kind
    key: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """What lacks the name matches no comparison but `IS NULL`."""

    field: Field
    op: Op
    value: Operand = None


@dataclass(frozen=True, slots=True)
class Dataset:
    """Every dataset of a name, or one of them."""

    name: str
    digest: str | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """Rows that lack the name come last, and NaN after the numbers, in either direction."""

    field: Field
    descending: bool = False
    dataset: Dataset | None = None  # whose points count, where a logged model's metric orders


@dataclass(frozen=True, slots=True)
class Search:
    """Comparisons that all hold, an order, and which page."""

    where: Sequence[Comparison] = ()
    order: Sequence[Order] = ()
    view: View = View.ACTIVE
    limit: int = 1000
    cursor: str | None = None
    datasets: Sequence[Dataset] = ()  # whose points count, where logged models are searched
