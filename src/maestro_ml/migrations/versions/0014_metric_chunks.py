"""Points of metrics many to a row, and the newest ones where search finds them by value.

Revision ID: 0014
Revises: 0013
"""

import math
import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import accumulate, groupby, pairwise
from typing import Any

import sqlalchemy as sa
from alembic import op

from maestro_ml.migrations import postgres, sqlite

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
RECORD = struct.Struct("<qqd")
SMALL, LARGE = 64, 1024  # points of a chunk; as the program takes them
Point = tuple[int, int, float]

ID, WHOLE = sa.Uuid(), sa.BigInteger()


def _rows(name: str, **more: Any) -> Any:
    kinds = {"tenant_id": ID, "run_id": ID, "key": sa.String(), "created_at": MOMENT} | more
    return sa.table(name, *(sa.column(column, kind) for column, kind in kinds.items()))


RUNS = sa.table(
    "runs", sa.column("tenant_id", ID), sa.column("id", ID), sa.column("experiment_id", ID)
)
VALUE = {"step": WHOLE, "value": sa.Double(), "is_nan": sa.Boolean()}
POINTS = _rows("metric_points", at=MOMENT, **VALUE)
LATEST_BEFORE = _rows("latest_metrics", at=MOMENT, **VALUE)
LATEST = _rows("latest_metrics", at=WHOLE, n_points=WHOLE, experiment_id=ID, **VALUE)
CHUNKS = _rows(
    "metric_chunks",
    number=WHOLE,
    points=sa.LargeBinary(),
    sealed=sa.Boolean(),
    first_at=WHOLE,
    last_at=WHOLE,
)


def upgrade() -> None:
    op.drop_table("latest_metrics")
    _of_a_run(
        "metric_chunks",
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("points", sa.LargeBinary(), nullable=False),
        sa.Column("sealed", sa.Boolean(), nullable=False),
        sa.Column("first_at", sa.BigInteger(), nullable=False),
        sa.Column("last_at", sa.BigInteger(), nullable=False),
        key=("run_id", "key", "number", "tenant_id"),
        rowid=True,
    )
    _latest(
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("n_points", sa.BigInteger(), nullable=False),
        sa.Column("experiment_id", sa.Uuid(), nullable=False),
    )
    op.create_index(
        "ix_latest_metrics_ranked",
        "latest_metrics",
        ["experiment_id", "key", "value", "run_id"],
    )
    connection = op.get_bind()
    with postgres.seeing_all(connection):
        for run, experiment, rows in _by_run(connection, POINTS):
            _fold(connection, run, experiment, rows)
    op.drop_table("metric_points")


def downgrade() -> None:
    op.drop_table("latest_metrics")
    _of_a_run(
        "metric_points",
        sa.Column("step", sa.BigInteger(), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.Column("is_nan", sa.Boolean(), nullable=False),
        key=("run_id", "key", "step", "at", "value", "is_nan", "tenant_id"),
    )
    _latest(sa.Column("at", MOMENT, nullable=False))
    connection = op.get_bind()
    with postgres.seeing_all(connection):
        for run, _, rows in _by_run(connection, CHUNKS):
            _unfold(connection, run, rows)
    op.drop_table("metric_chunks")


def _of_a_run(name: str, *columns: sa.Column[Any], key: Sequence[str], rowid: bool = False) -> None:
    op.create_table(
        name,
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        *columns,
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "run_id"],
            ["runs.tenant_id", "runs.id"],
            name=f"fk_{name}_tenant_id_run_id",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint(*key, name=f"pk_{name}"),
        sqlite_with_rowid=rowid,
    )
    if op.get_bind().dialect.name == "sqlite":
        sqlite.keep_tenant(name)
    else:
        postgres.tenant_table(name)


def _latest(*columns: sa.Column[Any]) -> None:
    _of_a_run(
        "latest_metrics",
        sa.Column("step", sa.BigInteger(), nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.Column("is_nan", sa.Boolean(), nullable=False),
        *columns,
        key=("run_id", "key", "tenant_id"),
    )


def _by_run(connection: sa.Connection, table: sa.TableClause) -> Iterator[tuple[Any, Any, Any]]:
    """A run at a time, so that memory holds no more than one's points."""
    held = sa.exists().where(table.c.tenant_id == RUNS.c.tenant_id, table.c.run_id == RUNS.c.id)
    runs = connection.execute(sa.select(RUNS).where(held)).all()
    for tenant, id, experiment in runs:
        mine = sa.select(table).where(table.c.tenant_id == tenant, table.c.run_id == id)
        yield {"tenant_id": tenant, "run_id": id}, experiment, connection.execute(mine).all()


def _fold(connection: sa.Connection, run: Any, experiment: Any, rows: Sequence[Any]) -> None:
    chunks, latest = [], []
    for key, group in groupby(sorted(rows, key=_arrival), key=lambda row: row.key):
        held = list(group)
        of = {**run, "key": key, "created_at": held[0].created_at}
        points = [(r.step, _micros(r.at), math.nan if r.is_nan else r.value) for r in held]
        newest = max(points, key=_age)
        value = {
            "value": 0.0 if math.isnan(newest[2]) else newest[2],
            "is_nan": newest[2] != newest[2],
        }
        at = {"step": newest[0], "at": newest[1], "experiment_id": experiment}
        latest.append(of | at | value | {"n_points": len(points)})
        for first in range(0, len(points), LARGE):
            some = points[first : first + LARGE]
            sealed = len(some) == LARGE
            times = [point[1] for point in some]
            chunks.append(
                of
                | {
                    "number": first // SMALL,
                    "points": _seal(some) if sealed else b"".join(RECORD.pack(*p) for p in some),
                    "sealed": sealed,
                    "first_at": min(times),
                    "last_at": max(times),
                }
            )
    connection.execute(sa.insert(CHUNKS), chunks)
    connection.execute(sa.insert(LATEST), latest)


def _unfold(connection: sa.Connection, run: Any, rows: Sequence[Any]) -> None:
    points: list[dict[str, Any]] = []
    latest: list[dict[str, Any]] = []
    for key, group in groupby(sorted(rows, key=lambda r: (r.key, r.number)), key=lambda r: r.key):
        found = [
            (p, row.created_at) for row in group for p in _unpack(row.points, sealed=row.sealed)
        ]
        newest = max((p for p, _ in found), key=_age)
        # Before, 0 and -0 were the same point.
        points += {p: _row(run, key, p, since) for p, since in found}.values()
        latest.append(_row(run, key, newest, found[0][1]))
    connection.execute(sa.insert(POINTS), points)
    connection.execute(sa.insert(LATEST_BEFORE), latest)


def _row(run: Any, key: str, point: Point, since: datetime) -> dict[str, Any]:
    step, time, value = point
    nan = math.isnan(value)
    at = EPOCH + timedelta(microseconds=time)
    kept = {"step": step, "at": at, "value": 0.0 if nan else value, "is_nan": nan}
    return {**run, "key": key, "created_at": since, **kept}


def _arrival(row: Any) -> Any:
    return row.key, row.created_at, row.at, row.step, row.value


def _age(point: Point) -> tuple[Any, ...]:
    step, time, value = point
    nan = math.isnan(value)
    return step, time, 0.0 if nan else value, nan


def _micros(at: datetime) -> int:
    return (at.replace(tzinfo=at.tzinfo or UTC) - EPOCH) // timedelta(microseconds=1)


def _seal(points: Sequence[Point]) -> bytes:
    steps, times, values = zip(*points, strict=True)
    try:
        plain = b"\x01" + _spread(_differences(steps), "q")
    except struct.error:
        plain = b"\x00" + _spread(steps, "q")
    return zlib.compress(plain + _spread(_differences(times), "q") + _spread(values, "d"))


def _differences(numbers: Sequence[int]) -> list[int]:
    return [numbers[0], *(after - before for before, after in pairwise(numbers))]


def _spread(numbers: Sequence[float], kind: str) -> bytes:
    plain = struct.pack(f"<{len(numbers)}{kind}", *numbers)
    return b"".join([plain[n::8] for n in range(8)])


def _unpack(data: bytes, *, sealed: bool) -> Iterable[Any]:
    if not sealed:
        return RECORD.iter_unpack(data)
    plain = zlib.decompress(data)
    size = (len(plain) - 1) // 3
    steps, times, values = (
        _gathered(plain[1 + n * size : 1 + (n + 1) * size], kind) for n, kind in enumerate("qqd")
    )
    return zip(
        accumulate(steps) if plain[:1] == b"\x01" else steps, accumulate(times), values, strict=True
    )


def _gathered(spread: bytes, kind: str) -> Any:
    n = len(spread) // 8
    plain = bytearray(len(spread))
    for i in range(8):
        plain[i::8] = spread[i * n : (i + 1) * n]
    return struct.unpack(f"<{n}{kind}", plain)
