"""The rows of blobs: each is in one of two tables for as long as it may be in the store.

A row is there before a blob's first byte and goes after its last, so a server that dies leaves
nothing that nobody knows of. Files refer to `stored_blobs`, and the database lets go of none that
something refers to.
"""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, Index
from sqlalchemy.orm import Mapped, mapped_column

from maestro_ml.db.base import Row, TenantOwned


class StoredBlob(TenantOwned, Row, kw_only=True):
    """Whole, and somebody's."""

    __tablename__ = "stored_blobs"

    size: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str]


class LooseBlob(TenantOwned, Row, kw_only=True):
    """Nobody's yet, or no longer: it is deleted `until` then. `reserved` is what it counts against
    the tenant's limit. A part of a multipart upload is loose until the upload is complete."""

    __tablename__ = "loose_blobs"
    __table_args__ = (Index(None, "until"), Index(None, "tenant_id", "upload_id"))

    reserved: Mapped[int] = mapped_column(BigInteger)
    until: Mapped[datetime]
    upload_id: Mapped[UUID | None] = mapped_column(default=None)
    part: Mapped[int | None] = mapped_column(default=None)
    sha256: Mapped[str | None] = mapped_column(default=None)
