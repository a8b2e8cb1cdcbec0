"""What can go wrong when a server is asked, as exceptions. Their text is a sentence to a person."""

from dataclasses import dataclass
from typing import Any

from maestro_ml.client.views import Challenge


@dataclass(frozen=True, slots=True)
class Fault:
    """One field of a request that the server did not accept."""

    at: str
    why: str

    def __str__(self) -> str:
        return f"{self.at}: {self.why}" if self.at else self.why


class MaestroClientError(Exception):
    """The base of everything that this package raises."""


class NoConnection(MaestroClientError):
    """No server answered, so a reading request can be repeated; a writing one may have arrived."""


class MfaRequired(MaestroClientError):
    """The password was right, and a second factor is asked for: `client.auth.finish` goes on."""

    def __init__(self, challenge: Challenge) -> None:
        super().__init__(
            "This sign-in asks for a second factor: give `code` and `enrol` to be asked for it."
        )
        self.challenge = challenge


class MaestroApiError(MaestroClientError):
    """The server answered with an error.

    `code` is stable and documented, `detail` is for people, `request_id` finds it in the log.
    """

    def __init__(
        self,
        detail: str,
        *,
        status: int,
        code: str = "unknown",
        faults: tuple[Fault, ...] = (),
        request_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(" ".join([detail, "; ".join(map(str, faults))]).strip())
        self.detail = detail
        self.status = status
        self.code = code
        self.faults = faults
        self.request_id = request_id
        self.retry_after = retry_after


class Unauthenticated(MaestroApiError):
    """The server does not know the caller: no token, or one that is no longer good."""


class Forbidden(MaestroApiError):
    """The caller's role, or the scope of their key, is too low."""


class NotFound(MaestroApiError):
    """Not there, or not the caller's: the server says the same to both."""


class Conflict(MaestroApiError):
    """It is already there, or something else stands in the way."""


class Invalid(MaestroApiError):
    """The request does not fit; `faults` names the fields."""


class TooManyRequests(MaestroApiError):
    """Slow down; `retry_after` is in seconds."""


class Unavailable(MaestroApiError):
    """The server cannot do it now, or something broke in it."""


KINDS: dict[int, type[MaestroApiError]] = {
    401: Unauthenticated,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    422: Invalid,
    429: TooManyRequests,
}


def error_of(
    status: int, body: Any, *, request_id: str | None, retry_after: float | None
) -> MaestroApiError:
    """The exception for an answer, whoever gave it: Maestro, or something in front of it."""
    problem: dict[str, Any] = body if isinstance(body, dict) else {}
    kind = KINDS.get(status, Unavailable if status >= 500 else MaestroApiError)
    detail = problem.get("detail")
    faults = problem.get("faults")
    return kind(
        detail if isinstance(detail, str) else f"The server answered with HTTP status {status}.",
        status=status,
        code=str(problem.get("type", "")).rpartition("/")[2] or "unknown",
        faults=tuple(map(_fault, faults)) if isinstance(faults, list) else (),
        request_id=request_id,
        retry_after=retry_after,
    )


def _fault(fault: Any) -> Fault:
    if not isinstance(fault, dict):
        return Fault("", str(fault))
    at = fault.get("at", "")
    # The first part only says "body" or "query".
    path = [str(part) for part in at[1:] or at] if isinstance(at, list) else [str(at)]
    return Fault(".".join(path), str(fault.get("why", "")))
