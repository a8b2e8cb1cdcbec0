"""What is remembered of attempts and rates. The rows lie above tenants."""

from sqlalchemy import Double, Index
from sqlalchemy.orm import Mapped, mapped_column

from maestro_ml.db.base import Base


class RateCounter(Base, kw_only=True):
    """One rate or one account's failures, by a key that holds no secret and no e-mail address.

    `until` is in seconds since 1970, because both databases can calculate with those: up to then a
    rate is used up, or an account has to wait. `recent` failures decide how long the wait is,
    failures `in_a_row` when it never ends; a rate has none of either.
    """

    __tablename__ = "rate_counters"
    __table_args__ = (Index(None, "in_a_row", "until"),)  # in the order that they are forgotten

    key: Mapped[str] = mapped_column(primary_key=True)
    until: Mapped[float] = mapped_column(Double)
    recent: Mapped[int] = mapped_column(default=0)
    in_a_row: Mapped[int] = mapped_column(default=0)
