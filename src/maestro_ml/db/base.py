"""The declarative base, the column types every table shares, and tenant ownership."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import (
    JSON,
    ColumnElement,
    DateTime,
    Dialect,
    Enum,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    MetaData,
    String,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, MappedAsDataclass, mapped_column
from sqlalchemy.schema import SchemaItem
from sqlalchemy.types import TypeDecorator

from maestro_ml.core.ids import new_id

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


class UtcDateTime(TypeDecorator[datetime]):
    """SQLite forgets time zones; this column refuses naive times and gives UTC back."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is not None and value.tzinfo is None:
            raise ValueError("naive datetime")
        return value and value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value and (value if value.tzinfo else value.replace(tzinfo=UTC))


class Base(MappedAsDataclass, DeclarativeBase, kw_only=True):
    """Rows are dataclasses, so a forgotten column is a type error, not a runtime one."""

    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map = {
        datetime: UtcDateTime,
        list[str]: JSON(none_as_null=True),
        dict[str, Any]: JSON(none_as_null=True),
        StrEnum: Enum(
            StrEnum,
            native_enum=False,
            length=40,
            values_callable=lambda kind: [member.value for member in kind],
        ),
    }


class Row(Base, kw_only=True):
    """Every table: a UUIDv7 key set on construction, so `order_by(id)` is creation order."""

    __abstract__ = True
    id: Mapped[UUID] = mapped_column(primary_key=True, default_factory=new_id)


class TenantOwned(MappedAsDataclass, kw_only=True):
    """Mix in and the rows belong to a tenant: filtered on read, stamped on write, gone with it."""

    tenant_id: Mapped[UUID] = mapped_column(
        ForeignKey("tenants.id", ondelete="CASCADE"), init=False
    )
    created_at: Mapped[datetime]

    def __init_subclass__(cls, **options: Any) -> None:
        own = getattr(cls, "__table_args__", ())
        cls.__table_args__ = (
            *own,
            UniqueConstraint("tenant_id", "id"),
            Index(None, "tenant_id", "created_at"),
        )
        super().__init_subclass__(**options)


class ProjectOwned(TenantOwned, kw_only=True):
    """A tenant's row that belongs to a project: a private project hides it from outsiders."""

    project_id: Mapped[UUID]

    def __init_subclass__(cls, **options: Any) -> None:
        own = getattr(cls, "__table_args__", ())
        cls.__table_args__ = (*own, same_tenant("project_id", "projects", ondelete="CASCADE"))
        super().__init_subclass__(**options)


class Part(TenantOwned, kw_only=True):
    """A row that is known by its owner and a key: it has no id and no life of its own."""

    __rules__: ClassVar[tuple[SchemaItem, ...]] = ()  # beside those of its owners
    __wide__: ClassVar[bool] = False  # SQLite keeps small rows inside their key's tree

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True, init=False)

    def __init_subclass__(cls, **options: Any) -> None:
        owners = (cls.__dict__["__owner__"], *cls.__dict__.get("__others__", ()))
        cls.__table_args__ = (
            *(same_tenant(column, table, ondelete="CASCADE") for column, table in owners),
            *cls.__rules__,
            {"sqlite_with_rowid": cls.__wide__},
        )
        # TenantOwned's own keys are over `id`, and the owner's row already holds the tenant.
        super(TenantOwned, cls).__init_subclass__(**options)


class TenantSeen(MappedAsDataclass, kw_only=True):
    """A row above tenants, of which a tenant's session may read some, and change none."""

    @classmethod
    def seen_by(cls, tenant: UUID) -> ColumnElement[bool]:
        """The rows that the tenant may read."""
        raise NotImplementedError(cls)


# Compared byte by byte on both databases, so that what lies below a folder is one range.
Bytewise = String().with_variant(String(collation="C"), "postgresql")


def same_tenant(column: str, table: str, *, ondelete: str | None = None) -> ForeignKeyConstraint:
    """A reference that cannot leave the tenant: the database checks both halves."""
    return ForeignKeyConstraint(
        ["tenant_id", column], [f"{table}.tenant_id", f"{table}.id"], ondelete=ondelete
    )
