"""What is known about the request or job under way: for the audit trail and for log lines."""

from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an action came from. The client address is the socket's, or a trusted proxy's word."""

    request_id: str
    ip: str | None = None
    user_agent: str | None = None


origin: ContextVar[Origin | None] = ContextVar("origin", default=None)
