"""What is sent to the database."""

from typing import Any

from sqlalchemy import event

from maestro_ml.db.work import Sessions


class counted:  # noqa: N801 - reads as a verb
    """The statements that are sent meanwhile, without their values."""

    def __init__(self, sessions: Sessions) -> None:
        self.engine = sessions.engines.writing.sync_engine
        self.sent: list[str] = []

    def _note(self, _: Any, __: Any, statement: str, *___: Any) -> None:
        self.sent.append(" ".join(statement.split()))

    def __enter__(self) -> list[str]:
        event.listen(self.engine, "before_cursor_execute", self._note)
        return self.sent

    def __exit__(self, *_: object) -> None:
        event.remove(self.engine, "before_cursor_execute", self._note)
