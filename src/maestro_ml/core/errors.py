"""Everything that can go wrong and be told to the caller.

Families, no HTTP in sight. Each protocol adapter keeps one small table from family to its own
status. A feature subclasses a family and names a `code`.
"""


class MaestroError(Exception):
    """An expected failure. `code` is stable and documented; `detail` is for people."""

    code = "internal"

    def __init__(self, detail: str, **facts: object) -> None:
        super().__init__(detail)
        self.detail = detail
        self.facts = facts


class Invalid(MaestroError):
    """What was sent breaks a rule; `faults` or the sentence names the field."""

    code = "invalid"


class Unauthenticated(MaestroError):
    """Says nothing of the reason: a caller we do not know is told nothing."""

    code = "unauthenticated"

    def __init__(self, detail: str = "Not authenticated") -> None:
        super().__init__(detail)


class Forbidden(MaestroError):
    """You are known, and your role or your key's scope is too low for this."""

    code = "forbidden"


class NotFound(MaestroError):
    """Not there, or not yours: the two must read the same, so it takes no id and no fact."""

    code = "not-found"

    def __init__(self, detail: str) -> None:
        super().__init__(detail)


class AlreadyExists(MaestroError):
    """Something with that name or key is there already."""

    code = "already-exists"


class Conflict(MaestroError):
    """The state of things does not allow it now."""

    code = "conflict"


class QuotaExceeded(Conflict):
    """A tenant's limit is reached; `limit`, `allowed` and `used` are among the facts."""

    code = "quota-exceeded"


class TooMany(MaestroError):
    """Slow down; `retry_after` is in seconds."""

    code = "too-many-requests"

    def __init__(self, detail: str, *, retry_after: int, **facts: object) -> None:
        super().__init__(detail, retry_after=retry_after, **facts)
        self.retry_after = retry_after


class Unavailable(MaestroError):
    """Something the server needs does not answer right now: try again in a moment."""

    code = "unavailable"
