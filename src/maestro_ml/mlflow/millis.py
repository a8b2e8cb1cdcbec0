"""MLflow's clock counts milliseconds since 1970; ours knows its zone."""

from datetime import datetime, timedelta

from maestro_ml.core.clock import EPOCH


def from_millis(millis: float) -> datetime:
    """Raises:
    ValueError: no calendar reaches that far.
    """
    try:
        return EPOCH + timedelta(milliseconds=millis)
    except OverflowError:
        raise ValueError("milliseconds out of range") from None
