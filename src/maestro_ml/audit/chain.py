"""What a seal is made of.

    event's digest  SHA-256 of its fields, as one JSON list
    entries         id and digest of each event covered, by time
    seal's hash     SHA-256 of its own fields, its entries and the hash of the seal before
    signature       HMAC of the hash, under a key derived from the installation's secret

The entries name events, so that nothing depends on the order in which transactions commit: an
event is in exactly one seal, and which one of many was changed can be said. Whoever has the
database, but not the secret, can sign no other chain; whoever cuts its end off is found out by
the head that was kept elsewhere.
"""

import hmac
import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID

from maestro_ml.audit.models import AuditSeal
from maestro_ml.core.clock import EPOCH

PURPOSE = "audit"  # what the key is derived for
FIRST = b""  # the hash before the first seal
# Of an event, in this order. Another list would be another format, with seals of its own.
FIELDS = (
    *("id", "tenant_id", "created_at", "actor_id", "actor_kind", "action", "target_type"),
    *("target_id", "facts", "api_key_id", "ip", "user_agent", "request_id"),
)
# Events are sealed when they are this old: by then nearly every transaction has ended.
MARGIN = timedelta(seconds=30)
# An event whose transaction took longer is still taken into a later seal, if it is not older than
# this. An older one was put there by no transaction of ours.
GRACE = timedelta(minutes=10)
ENTRY = 48
_ID = 16
_FORMAT = "maestro-ml audit seal 1"


def digest_of(event: Sequence[Any]) -> bytes:
    """Of the event whose `FIELDS` these are."""
    return sha256(_canonical([_plain(value) for value in event])).digest()


def pack(entries: Iterable[tuple[UUID, bytes]]) -> bytes:
    return b"".join(id.bytes + digest for id, digest in entries)


def unpack(entries: bytes) -> Iterator[tuple[UUID, bytes]]:
    for at in range(0, len(entries) - ENTRY + 1, ENTRY):
        yield UUID(bytes=entries[at : at + _ID]), entries[at + _ID : at + ENTRY]


def hash_of(seal: AuditSeal, before: bytes) -> bytes:
    fields = [
        *(_FORMAT, str(seal.tenant_id), seal.number, before.hex(), seal.n_events),
        *(_plain(seal.until), _plain(seal.created_at), sha256(seal.entries).hexdigest()),
    ]
    return sha256(_canonical(fields)).digest()


def signature_of(hash: bytes, key: bytes) -> bytes:
    return hmac.digest(key, hash, "sha256")


def open_since(last: AuditSeal | None, now: datetime) -> datetime:
    """From when on an event may be in none of the seals up to the last one.

    If the clock was set back in between, what it says now is what new events are stamped with.
    """
    if last is None:
        return EPOCH
    return min(last.until, now - MARGIN) - GRACE


def _canonical(fields: list[Any]) -> bytes:
    return json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    return str(value) if isinstance(value, UUID | str) else value
