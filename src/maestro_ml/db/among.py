"""A list as one value, so that a statement with any number of ids is compiled once:
`among(Run.id, "ids")` in a prepared one, `among(Project.id, access.project_roles)` elsewhere.
"""

import json
from collections.abc import Collection
from typing import Any
from uuid import UUID

from sqlalchemy import Boolean, Dialect, String, TypeDecorator, Uuid, bindparam, func, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeEngine


class _Ids(TypeDecorator[Any]):
    """On PostgreSQL an array; on SQLite, which has none, JSON of ids as it keeps them."""

    impl = String
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        array = dialect.name == "postgresql"
        return dialect.type_descriptor(ARRAY(Uuid()) if array else String())

    def process_bind_param(self, value: list[UUID] | None, dialect: Dialect) -> Any:
        if value is None or dialect.name == "postgresql":
            return value
        return json.dumps([id.hex for id in value])


class among(FunctionElement[bool]):  # noqa: N801 - it reads as an operator
    """Whether a column of ids is one of those, or of those that are sent under that name."""

    type = Boolean()
    inherit_cache = True

    def __init__(self, column: Any, ids: str | Collection[UUID]) -> None:
        if isinstance(ids, str):
            super().__init__(column, bindparam(ids, type_=_Ids()))
        else:
            super().__init__(column, bindparam(None, list(ids), type_=_Ids(), unique=True))

    def self_group(self, against: Any = None) -> "among":
        return self  # it is a comparison already: SQLite uses no index for one that is `= 1`


@compiles(among)
def _in_array(element: among, compiler: SQLCompiler, **options: Any) -> str:
    column, ids = (compiler.process(one, **options) for one in element.clauses)
    return f"{column} = ANY ({ids})"


@compiles(among, "sqlite")
def _in_json(element: among, compiler: SQLCompiler, **options: Any) -> str:
    column, ids = element.clauses
    each = func.json_each(ids).table_valued("value")
    return str(compiler.process(column.in_(select(each.c.value)), **options))
