"""What the worker runs of this package."""

from maestro_ml.audit.handlers.sealing import seal
from maestro_ml.audit.handlers.verifying import verify

__all__ = ["seal", "verify"]
