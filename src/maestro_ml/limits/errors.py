"""What is said to whoever comes too often."""

from math import ceil

from maestro_ml.core.errors import TooMany


def whole_seconds(wait: float) -> int:
    return max(1, ceil(wait))


class TooManyAttempts(TooMany):
    """Too many wrong attempts from one address, for one account or on the whole server, or too many
    registrations from one address. During the wait nothing is tried, so right and wrong ones read
    the same."""

    code = "too-many-attempts"

    def __init__(self, wait: float) -> None:
        seconds = whole_seconds(wait)
        super().__init__(
            f"There were too many attempts. Wait {seconds} s before the next one.",
            retry_after=seconds,
        )


class AttemptsExhausted(TooMany):
    """100 wrong attempts in a row: a password works again when it has been reset. Sessions and API
    keys go on working."""

    code = "attempts-exhausted"

    def __init__(self, wait: float) -> None:
        super().__init__(
            "There were too many wrong attempts in a row, so this way to sign in is closed. "
            "Reset the password to open it again.",
            retry_after=whole_seconds(wait),
        )


class RequestsExceeded(TooMany):
    """The tenant has sent as many requests in a minute as it may."""

    code = "requests-exceeded"

    def __init__(self, allowed: int, wait: float) -> None:
        super().__init__(
            f"Your tenant may send {allowed} requests per minute, and has sent them.",
            retry_after=whole_seconds(wait),
            limit="max_requests_per_minute",
            allowed=allowed,
        )


class TooManyStreams(TooMany):
    """Event streams stay open, so a caller, a tenant and a server may have only so many."""

    code = "too-many-streams"

    def __init__(self, detail: str) -> None:
        super().__init__(detail, retry_after=5)
