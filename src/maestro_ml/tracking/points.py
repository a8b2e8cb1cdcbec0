"""How a metric's points are kept: many of them in the bytes of one row.

New points are added as records of a fixed size, so that adding some is joining bytes. What has
grown is sealed: column by column, as differences, byte by byte of equal weight, deflated. Steps
and times that go up evenly take almost nothing then, and values what they do not have in common.
"""

import math
import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain, islice, starmap
from operator import itemgetter, lt, sub
from typing import Any, overload

# A step, microseconds since 1970, and a value. NaN is a value like any other.
Record = tuple[int, int, float]
Age = tuple[int, int, float, bool]
_RECORD = struct.Struct("<qqd")
_PLAIN, _DIFFERENCES = b"\x00", b"\x01"  # of the steps, which may be further apart than 63 bits


@dataclass(frozen=True, slots=True, eq=False)
class Series(Sequence[Record]):
    """Points by columns: so many are read, ordered and written without an object for each."""

    steps: Sequence[int] = ()
    times: Sequence[int] = ()
    values: Sequence[float] = ()

    @classmethod
    def of(cls, records: Iterable[Record]) -> "Series":
        return cls(*zip(*records, strict=True))

    @classmethod
    def joined(cls, parts: Sequence["Series"]) -> "Series":
        """One after the other."""
        if len(parts) == 1:
            return parts[0]
        return cls(
            list(chain.from_iterable(part.steps for part in parts)),
            list(chain.from_iterable(part.times for part in parts)),
            list(chain.from_iterable(part.values for part in parts)),
        )

    def __len__(self) -> int:
        return len(self.steps)

    def __iter__(self) -> Iterator[Record]:
        return zip(self.steps, self.times, self.values, strict=True)

    @overload
    def __getitem__(self, at: int) -> Record: ...

    @overload
    def __getitem__(self, at: slice) -> "Series": ...

    def __getitem__(self, at: int | slice) -> "Record | Series":
        if isinstance(at, slice):
            return Series(self.steps[at], self.times[at], self.values[at])
        return self.steps[at], self.times[at], self.values[at]

    def by_time(self) -> "Series":
        """By time, then step, then value."""
        if _rising(self.times, self.steps):
            return self
        return Series.of(sorted(self, key=place if is_odd(self.values) else itemgetter(1, 0, 2)))

    def by_step(self) -> "Series":
        """By step, then time, then value."""
        if _rising(self.steps, self.times):
            return self
        return Series.of(sorted(self, key=age if is_odd(self.values) else None))


class Sent:
    """Records that may be in rows already. Of a row no more columns are read than it takes to see
    that it holds none of them, and no object is made for each of its points."""

    def __init__(self, records: Sequence[Record]) -> None:
        self._packed = {packed(record) for record in records}
        self._steps = {step for step, _, _ in records}
        values = {value for _, _, value in records}
        # A set does not find NaN, so with one among them values tell nothing.
        self._values = None if any(map(math.isnan, values)) else values

    def among(self, data: bytes, sealed: bool) -> set[bytes]:
        """Those that the row holds, packed."""
        if not sealed:
            size = _RECORD.size
            return self._packed.intersection(
                data[at : at + size] for at in range(0, len(data), size)
            )
        columns = _Columns(data)
        steps = columns.steps()
        if self._steps.isdisjoint(steps):
            return set()
        values = columns.values()
        if self._values is not None and self._values.isdisjoint(values):
            return set()
        return self._packed.intersection(map(_RECORD.pack, steps, columns.times(), values))


def age(record: Record) -> Age:
    """What the newest has most of, as the database can keep it."""
    step, at, value = record
    return (step, at, 0.0, True) if math.isnan(value) else (step, at, value, False)


def place(record: Record) -> tuple[Any, ...]:
    """Where in a history it stands."""
    step, at, value = record
    return (at, step, 1, 0.0) if math.isnan(value) else (at, step, 0, value)


def is_odd(values: Sequence[float]) -> bool:
    """Whether one may be NaN, which nothing is greater or less than, or infinite."""
    return not math.isfinite(sum(values))


def pack(records: Iterable[Record]) -> bytes:
    """As bytes that can be joined to those of other records."""
    return b"".join(starmap(_RECORD.pack, records))


def packed(record: Record) -> bytes:
    """Equal for the same point and no other."""
    return _RECORD.pack(*record)


def by_key(points: Iterable[tuple[str, Record]]) -> dict[str, Sequence[Record]]:
    """Points by the keys of their metrics, each once."""
    found: dict[str, list[Record]] = {}
    for key, record in points:
        found.setdefault(key, []).append(record)
    return {key: _once(records) for key, records in found.items()}


def unpack(data: bytes, sealed: bool) -> Series:
    """The points of a row, in the order in which they came."""
    if not sealed:
        return Series.of(_RECORD.iter_unpack(data))
    columns = _Columns(data)
    return Series(columns.steps(), columns.times(), columns.values())


def seal(points: Series) -> bytes:
    """As few bytes as is quick."""
    try:
        plain = _DIFFERENCES + _spread(_differences(points.steps), "q")
    except struct.error:
        plain = _PLAIN + _spread(points.steps, "q")
    times, values = _spread(_differences(points.times), "q"), _spread(points.values, "d")
    return zlib.compress(plain + times + values)


def _once(records: Sequence[Record]) -> Sequence[Record]:
    if len({step for step, _, _ in records}) == len(records):
        return records
    return list({packed(record): record for record in records}.values())


class _Columns:
    """What was sealed, each column by itself."""

    def __init__(self, data: bytes) -> None:
        self._plain = zlib.decompress(data)
        self._size = (len(self._plain) - 1) // 3

    def steps(self) -> Sequence[int]:
        spread = self._spread(0)
        return _summed(spread) if self._plain[:1] == _DIFFERENCES else _gathered(spread, "q")

    def times(self) -> Sequence[int]:
        return _summed(self._spread(1))

    def values(self) -> Sequence[float]:
        return _gathered(self._spread(2), "d")

    def _spread(self, n: int) -> bytes:
        start = 1 + n * self._size
        return self._plain[start : start + self._size]


def _summed(spread: bytes) -> Sequence[int]:
    """What numbers with those differences are; steps often have the same one throughout."""
    n = len(spread) // 8
    if n > 1 and all(
        spread[at + 2 : at + n] == spread[at + 1 : at + n - 1] for at in range(0, n * 8, n)
    ):
        first, difference = _gathered(
            b"".join([spread[at : at + 2] for at in range(0, n * 8, n)]), "q"
        )
        if difference:
            return range(first, first + n * difference, difference)
    return tuple(accumulate(_gathered(spread, "q")))


def _rising(first: Sequence[int], second: Sequence[int]) -> bool:
    """Whether each is greater than the one before, by the first or then the second."""
    return _grows(first) or _grows(list(zip(first, second, strict=True)))


def _grows(items: Sequence[Any]) -> bool:
    if isinstance(items, range):
        return items.step > 0
    return all(map(lt, items, islice(items, 1, None)))


def _differences(numbers: Sequence[int]) -> list[int]:
    return [numbers[0], *map(sub, islice(numbers, 1, None), numbers)]


def _spread(numbers: Sequence[float], kind: str) -> bytes:
    """The first byte of each, then the second of each: what is alike stands together."""
    plain = struct.pack(f"<{len(numbers)}{kind}", *numbers)
    return b"".join([plain[n::8] for n in range(8)])


def _gathered(spread: bytes, kind: str) -> tuple[Any, ...]:
    n = len(spread) // 8
    plain = bytearray(len(spread))
    for i in range(8):
        plain[i::8] = spread[i * n : (i + 1) * n]
    return struct.unpack(f"<{n}{kind}", plain)
