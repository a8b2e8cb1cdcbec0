"""MLflow's filter grammar, read into our filter tree.

filter     = [comparison {AND comparison}]
comparison = name operator value | name [NOT] IN (value {, value} [,]) | name IS [NOT] NULL
name       = [kind "."] key        a key may be quoted, by backticks or double quotes
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NoReturn

from maestro_ml.mlflow.millis import from_millis
from maestro_ml.tracking.errors import FilterInvalid
from maestro_ml.tracking.search.limits import check_comparisons, check_listed, check_orders
from maestro_ml.tracking.search.tree import Comparison, Field, Kind, Op, Operand, Order

_TOKEN = re.compile(
    r"""[ \t\r\n]*(?:
      (?P<quoted>'(?:[^']|'')*'|"(?:[^"]|"")*"|`(?:[^`]|``)*`)
    | (?P<number>[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?(?![\w.]))
    | (?P<word>\w[\w\-/:.]*)
    | (?P<sign>!=|>=|<=|=|>|<|\(|\)|,|\.)
    | (?P<end>\Z)
    )""",
    re.VERBOSE,
)


class Holds(StrEnum):
    """What an attribute's values are."""

    TEXT = "text"
    TIME = "time"
    NUMBER = "number"


@dataclass(frozen=True, slots=True)
class Grammar:
    """The kinds of names of a search, and what it knows of the kinds whose names are fixed:
    name -> (ours, what it holds)"""

    kinds: Mapping[str, Kind]
    attributes: Mapping[str, tuple[str, Holds]]
    datasets: frozenset[str] = frozenset()


_ATTRIBUTE = dict.fromkeys(("attribute", "attributes", "attr", "run"), Kind.ATTRIBUTE)
_TAG = dict.fromkeys(("tag", "tags"), Kind.TAG)
_START, _NAME = ("start_time", Holds.TIME), ("name", Holds.TEXT)

RUNS = Grammar(
    kinds={
        **_ATTRIBUTE,
        **_TAG,
        **dict.fromkeys(("metric", "metrics"), Kind.METRIC),
        **dict.fromkeys(("param", "params", "parameter", "parameters"), Kind.PARAM),
        **dict.fromkeys(("dataset", "datasets"), Kind.DATASET),
    },
    attributes={
        "run_id": ("id", Holds.TEXT),
        **dict.fromkeys(("run_name", "run name", "Run name", "Run Name"), _NAME),
        "status": ("status", Holds.TEXT),
        "user_id": ("user_name", Holds.TEXT),
        "artifact_uri": ("artifact_uri", Holds.TEXT),
        **dict.fromkeys(("start_time", "created", "Created"), _START),
        "end_time": ("end_time", Holds.TIME),
    },
    datasets=frozenset({"name", "digest", "context"}),
)
EXPERIMENTS = Grammar(
    kinds={**_ATTRIBUTE, **_TAG},
    attributes={
        "experiment_id": ("id", Holds.TEXT),
        "name": ("name", Holds.TEXT),
        "creation_time": ("created_at", Holds.TIME),
        "last_update_time": ("updated_at", Holds.TIME),
    },
)

_LARGEST = 2**31 - 1
_NUMERIC = frozenset({Op.EQ, Op.NE, Op.GT, Op.GE, Op.LT, Op.LE})
_TEXTUAL = frozenset({Op.EQ, Op.NE, Op.LIKE, Op.ILIKE, Op.IN, Op.NOT_IN})
_NULLABLE = frozenset({Op.IS_NULL, Op.IS_NOT_NULL})


def parse_filter(text: str, grammar: Grammar) -> list[Comparison]:
    """Raises:
    FilterInvalid: the filter cannot be read, or is too long; it says why and where.
    """
    reader = _Reader(text, grammar)
    found: list[Comparison] = []
    if reader.at_end():
        return found
    while True:
        found.append(reader.comparison())
        check_comparisons(len(found))
        if reader.at_end():
            return found
        if not reader.takes("AND"):
            reader.refuse("Expected AND or the end; only AND joins comparisons")


def parse_order(texts: Sequence[str], grammar: Grammar) -> list[Order]:
    """Raises:
    FilterInvalid: a part of the order cannot be read.
    """
    check_orders(len(texts))
    orders: list[Order] = []
    for text in texts:
        reader = _Reader(text, grammar)
        field, _ = reader.name()
        if field.kind is Kind.DATASET:
            raise FilterInvalid("A run may have many datasets: it is not ordered by them")
        descending = reader.takes("DESC")
        if not descending:
            reader.takes("ASC")
        if not reader.at_end():
            reader.refuse("Expected ASC, DESC or the end of the order")
        orders.append(Order(field, descending))
    return orders


@dataclass(frozen=True, slots=True)
class _Token:
    sort: str
    text: str
    at: int


class _Reader:
    """Takes one token after the other."""

    def __init__(self, text: str, grammar: Grammar) -> None:
        self._grammar = grammar
        self._tokens = _tokens(text)
        self._next = next(self._tokens)
        self._listed = 0

    def at_end(self) -> bool:
        return self._next.sort == "end"

    def takes(self, word: str) -> bool:
        """Whether the next token is this word or sign; then it is taken."""
        if self._next.sort not in ("word", "sign") or self._next.text.upper() != word:
            return False
        self._take()
        return True

    def comparison(self) -> Comparison:
        field, holds = self.name()
        at = self._next.at
        op = self._operator()
        allowed = _TEXTUAL if holds is Holds.TEXT else _NUMERIC
        if field.kind in (Kind.PARAM, Kind.TAG):
            allowed |= _NULLABLE
        if op not in allowed:
            known = ", ".join(sorted(allowed))
            raise FilterInvalid(f"{op} cannot compare this name; use one of {known}", position=at)
        if op in _NULLABLE:
            return Comparison(field, op)
        if op in (Op.IN, Op.NOT_IN):
            return Comparison(field, op, self._list())
        return Comparison(field, op, self._value(field, holds))

    def name(self) -> tuple[Field, Holds | None]:
        """A name and what it holds; a metric holds numbers."""
        token = self._take()
        kind, key = self._split(token)
        if kind is None:
            raise FilterInvalid(
                f"{token.text!r} is not a kind of name here; use one of "
                f"{', '.join(sorted(set(self._grammar.kinds.values())))}",
                position=token.at,
            )
        if kind is Kind.DATASET and key not in self._grammar.datasets:
            self._unknown("an attribute of a dataset", key, self._grammar.datasets, token)
        if kind is not Kind.ATTRIBUTE:
            return Field(kind, key), None if kind is Kind.METRIC else Holds.TEXT
        if key not in self._grammar.attributes:
            self._unknown("an attribute", key, self._grammar.attributes, token)
        ours, holds = self._grammar.attributes[key]
        return Field(kind, ours), holds

    def refuse(self, why: str) -> NoReturn:
        raise FilterInvalid(why, position=self._next.at)

    def _unknown(self, what: str, key: str, known: Iterable[str], token: _Token) -> NoReturn:
        words = ", ".join(sorted(known))
        raise FilterInvalid(f"{key!r} is not {what} here; use one of {words}", position=token.at)

    def _split(self, token: _Token) -> tuple[Kind | None, str]:
        if token.sort not in ("word", "quoted") or token.text[0] == "'":
            raise FilterInvalid("Expected a name, such as metrics.accuracy", position=token.at)
        word, dot, key = token.text.partition(".") if token.sort == "word" else ("", "", "")
        if token.sort == "quoted":
            word = _unquoted(token.text)
        if dot or self.takes("."):
            return self._grammar.kinds.get(word), key or self._key()
        return Kind.ATTRIBUTE, word

    def _key(self) -> str:
        token = self._take()
        if token.sort == "quoted":
            return _unquoted(token.text)
        if token.sort in ("word", "number"):
            return token.text
        raise FilterInvalid("Expected a key after the point", position=token.at)

    def _operator(self) -> Op:
        if self.takes("NOT"):
            if self.takes("IN"):
                return Op.NOT_IN
            self.refuse("Expected IN after NOT")
        if self.takes("IS"):
            negative = self.takes("NOT")
            if self.takes("NULL"):
                return Op.IS_NOT_NULL if negative else Op.IS_NULL
            self.refuse("Expected NULL")
        token = self._take()
        if token.sort not in ("word", "sign") or token.text.upper() not in set(Op):
            raise FilterInvalid("Expected a comparison, such as = or LIKE", position=token.at)
        return Op(token.text.upper())

    def _value(self, field: Field, holds: Holds | None) -> Operand:
        if holds is Holds.TEXT:
            return self._text()
        token = self._take()
        if holds is Holds.NUMBER:
            return _whole(token)
        if token.sort != "number":
            raise FilterInvalid("Expected a number without quotes", position=token.at)
        return float(token.text) if field.kind is Kind.METRIC else _moment(token)

    def _text(self) -> str:
        token = self._take()
        if token.sort != "quoted" or token.text[0] == "`":
            raise FilterInvalid("Expected a text in quotes, such as 'this'", position=token.at)
        return _unquoted(token.text)

    def _list(self) -> tuple[str, ...]:
        if not self.takes("("):
            self.refuse("Expected a list, such as ('this', 'that')")
        values = [self._text()]
        while self.takes(","):
            if self._next.text == ")":  # how Python writes a tuple of one
                break
            values.append(self._text())
            check_listed(self._listed + len(values))
        if not self.takes(")"):
            self.refuse("Expected , or )")
        self._listed += len(values)
        return tuple(values)

    def _take(self) -> _Token:
        token = self._next
        if token.sort == "bad":
            raise FilterInvalid("This cannot be read; is a quote open?", position=token.at)
        if token.sort != "end":
            self._next = next(self._tokens)
        return token


def _tokens(text: str) -> Iterator[_Token]:
    at = 0
    while True:
        match = _TOKEN.match(text, at)
        if match is None or match.lastgroup is None:
            yield _Token("bad", "", at)
            return
        yield _Token(match.lastgroup, match[match.lastgroup], match.start(match.lastgroup))
        at = match.end()


def _unquoted(text: str) -> str:
    quote = text[0]
    return text[1:-1].replace(quote * 2, quote)


def _whole(token: _Token) -> int:
    """With quotes or without. One larger than any there is stands for all of those."""
    text = _unquoted(token.text) if token.sort == "quoted" else token.text
    if not re.fullmatch("[+-]?[0-9]{1,20}", text):
        raise FilterInvalid("Expected a whole number", position=token.at)
    return max(-_LARGEST, min(int(text), _LARGEST))


def _moment(token: _Token) -> datetime:
    try:
        whole = token.text.lstrip("+-").isdecimal()
        return from_millis(int(token.text) if whole else float(token.text))
    except ValueError:
        raise FilterInvalid("No time has that many milliseconds", position=token.at) from None
