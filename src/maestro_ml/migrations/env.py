"""What alembic runs: `run.py` hands it a connection whose transaction has begun."""

from typing import Any, Literal

from alembic import context
from alembic.autogenerate.api import AutogenContext
from sqlalchemy import Enum

from maestro_ml.db.base import UtcDateTime
from maestro_ml.migrations.schema import whole_schema


def render_item(kind: str, item: Any, _: AutogenContext) -> str | Literal[False]:
    """Types as the database knows them: a revision imports nothing of the application."""
    if kind == "type" and isinstance(item, UtcDateTime):
        return "sa.DateTime(timezone=True)"
    if kind == "type" and isinstance(item, Enum):
        return f"sa.String({item.length})"
    return False


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=whole_schema(),
    render_as_batch=True,
    render_item=render_item,
)
context.run_migrations()
