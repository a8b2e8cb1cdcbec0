"""What this package hears, and what the worker runs of it."""

from maestro_ml.webhooks.handlers.delivering import deliver, prune
from maestro_ml.webhooks.handlers.hearing import listen, listen_above

__all__ = ["deliver", "listen", "listen_above", "prune"]
