"""What kind of installation a database belongs to: dev data never opens in normal mode."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import CheckConstraint, Select, select
from sqlalchemy.orm import Mapped, mapped_column

from maestro_ml.core.clock import Clock, utc_now
from maestro_ml.core.errors import Conflict
from maestro_ml.db.base import Base
from maestro_ml.db.tenants import SYSTEM
from maestro_ml.db.work import Sessions


class Mode(StrEnum):
    NORMAL = "normal"
    DEV = "dev"


class Installation(Base, kw_only=True):
    """One row, made when the database is first opened."""

    __tablename__ = "installation"
    __table_args__ = (CheckConstraint("id = 1", "one_row"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False, default=1)
    mode: Mapped[Mode]
    created_at: Mapped[datetime]


class WrongMode(Conflict):
    """Dev data was opened in normal mode, or the other way round."""

    code = "wrong-mode"

    def __init__(self, mode: Mode) -> None:
        super().__init__(
            "This database belongs to dev mode, where passwords are weak: start it with "
            "`maestro serve --dev`, or give another data folder or database."
            if mode is Mode.DEV
            else "This database belongs to normal mode: start it without `--dev`, or give dev mode "
            "a data folder or database of its own.",
            mode=mode.value,
        )


async def claim_mode(sessions: Sessions, *, dev: bool, clock: Clock = utc_now) -> None:
    """Mark a new database with the mode it is opened in; refuse one with the other mark.

    Raises:
        WrongMode: it was marked by the other mode.
    """
    wanted = Mode.DEV if dev else Mode.NORMAL
    async with sessions.begin(SYSTEM) as session:
        found = await session.scalar(select(Installation))
        if found is None:
            session.add(Installation(mode=wanted, created_at=clock()))
        elif found.mode is not wanted:
            raise WrongMode(found.mode)


def alive() -> Select[tuple[Mode]]:
    """The cheapest question that only a database which works can answer."""
    return select(Installation.mode)
