"""How a metric's points are kept: many of them in the bytes of one row.

New points are added as records of a fixed size, so that adding some is joining bytes. What has
grown is sealed: column by column, as differences, byte by byte of equal weight, deflated. Steps
and times that go up evenly take almost nothing then, and values what they do not have in common.
"""

import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, pairwise

# A step, microseconds since 1970, and a value. NaN is a value like any other.
Record = tuple[int, int, float]
_RECORD = struct.Struct("<qqd")
_PLAIN, _DIFFERENCES = b"\x00", b"\x01"  # of the steps, which may be further apart than 63 bits


def pack(records: Iterable[Record]) -> bytes:
    """As bytes that can be joined to those of other records."""
    return b"".join([_RECORD.pack(*record) for record in records])


def packed(record: Record) -> bytes:
    """Equal for the same point and no other."""
    return _RECORD.pack(*record)


def by_key(points: Iterable[tuple[str, Record]]) -> dict[str, list[Record]]:
    """Points by the keys of their metrics, each once."""
    found: dict[str, dict[bytes, Record]] = {}
    for key, record in points:
        found.setdefault(key, {})[packed(record)] = record
    return {key: list(records.values()) for key, records in found.items()}


def unpack(data: bytes, *, sealed: bool) -> Iterator[Record]:
    """The records of a row, in the order in which they came."""
    if not sealed:
        return _RECORD.iter_unpack(data)
    plain = zlib.decompress(data)
    size = (len(plain) - 1) // 3
    steps, times, values = (
        _gathered(plain[at : at + size], kind)
        for at, kind in ((1, "q"), (1 + size, "q"), (1 + 2 * size, "d"))
    )
    if plain[:1] == _DIFFERENCES:
        steps = accumulate(steps)
    return zip(steps, accumulate(times), values, strict=True)  # type: ignore[arg-type]


def seal(records: Sequence[Record]) -> bytes:
    """As few bytes as is quick."""
    steps, times, values = zip(*records, strict=True)
    try:
        plain = _DIFFERENCES + _spread(_differences(steps), "q")
    except struct.error:
        plain = _PLAIN + _spread(steps, "q")
    return zlib.compress(plain + _spread(_differences(times), "q") + _spread(values, "d"))


def _differences(numbers: Sequence[int]) -> list[int]:
    return [numbers[0], *(after - before for before, after in pairwise(numbers))]


def _spread(numbers: Sequence[float], kind: str) -> bytes:
    """The first byte of each, then the second of each: what is alike stands together."""
    plain = struct.pack(f"<{len(numbers)}{kind}", *numbers)
    return b"".join([plain[n::8] for n in range(8)])


def _gathered(spread: bytes, kind: str) -> Iterable[float]:
    n = len(spread) // 8
    plain = bytearray(len(spread))
    for i in range(8):
        plain[i::8] = spread[i * n : (i + 1) * n]
    return struct.unpack(f"<{n}{kind}", plain)
