"""Forget rows that nobody needs any more, a little at a time."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from sqlalchemy import ColumnElement, delete, inspect, select

from maestro_ml.db.base import Base
from maestro_ml.db.work import SystemWork

BATCH = 2000  # rows of one transaction: SQLite's other writers wait for no more than that


async def prune(
    open_work: Callable[[], AbstractAsyncContextManager[SystemWork]],
    kind: type[Base],
    *which: ColumnElement[bool],
) -> int:
    """Delete the rows that fit, each batch in a unit of work of its own. Gives how many. A row that
    somebody holds is left for the next time, so that this waits for nobody."""
    (key,) = inspect(kind).primary_key
    some = select(key).where(*which).limit(BATCH).with_for_update(skip_locked=True)
    count = 0
    while True:
        async with open_work() as work:
            gone = await work.session.scalars(
                delete(kind)
                .where(key.in_(some))
                .returning(key)
                .execution_options(synchronize_session=False)
            )
            batch = len(gone.all())
        count += batch
        if batch < BATCH:
            return count
