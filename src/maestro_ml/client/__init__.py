"""The Python SDK: `MaestroClient` speaks the HTTP API of a Maestro server."""

from maestro_ml.client.errors import (
    Conflict,
    Forbidden,
    Invalid,
    MaestroApiError,
    MaestroClientError,
    MfaRequired,
    NoConnection,
    NotFound,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
)
from maestro_ml.client.main import MaestroClient

__all__ = [
    "Conflict",
    "Forbidden",
    "Invalid",
    "MaestroApiError",
    "MaestroClient",
    "MaestroClientError",
    "MfaRequired",
    "NoConnection",
    "NotFound",
    "TooManyRequests",
    "Unauthenticated",
    "Unavailable",
]
