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


def whole_millis(moment: datetime) -> datetime:
    """As MLflow's clients see it, so that a filter for a time that they were told finds it."""
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)
