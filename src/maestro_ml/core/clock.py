"""Time is aware, in UTC, and passed in."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Clock = Callable[[], datetime]


def utc_now() -> datetime:
    return datetime.now(UTC)


def to_millis(moment: datetime) -> int:
    """Whole milliseconds since 1970, exact where a float would round."""
    return (moment - EPOCH) // timedelta(milliseconds=1)
