"""What mail needs of packages that stand above it."""

from typing import Protocol


class Box(Protocol):
    """Opens what a sender has sealed: `maestro_ml.identity.secret.Secret`."""

    def unseal(self, sealed: bytes, name: str, /) -> bytes:
        """Raises:
        MaestroError: it was sealed with another key.
        """
