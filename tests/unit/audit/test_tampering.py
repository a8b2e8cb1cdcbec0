"""Somebody with the database, and without the secret, changes what was written: it shows."""

from uuid import UUID

import pytest

from maestro_ml.audit import chain
from maestro_ml.audit.handlers.reading import Place, events
from maestro_ml.audit.handlers.verifying import Head
from maestro_ml.audit.models import AuditSeal
from maestro_ml.core.clock import EPOCH
from maestro_ml.core.ids import new_id
from maestro_ml.jobs.models import JobState
from support.trail import Trail
from support.world import ACME, OTHER

COLUMNS = "tenant_id, created_at, actor_kind, action, target_type, target_id, facts"


async def copied(trail: Trail, event: UUID) -> UUID:
    """A new event of the same time, slipped in."""
    id = new_id()
    await trail.tamper(
        f"INSERT INTO audit_events (id, {COLUMNS}) SELECT $1, {COLUMNS} FROM audit_events"
        " WHERE id = $2",
        id,
        event,
    )
    return id


@pytest.mark.parametrize(
    "change",
    [
        "action = 'thing.seen'",
        "facts = '{\"n\": 7}'",
        "target_id = NULL",
        "actor_id = NULL",
        "actor_kind = 'system'",
        "ip = '127.0.0.1'",
        "user_agent = 'x'",
        "request_id = 'x'",
        "api_key_id = actor_id",
        "target_type = 'thin'",
    ],
)
async def test_a_changed_event_is_named(trail: Trail, change: str) -> None:
    _, (event, *_), _ = await trail.sealed(2, 3, 2)
    assert (await trail.verify()).broken is None
    await trail.tamper(f"UPDATE audit_events SET {change} WHERE id = $1", event)
    assert await trail.found() == ("event-changed", str(event))


async def test_a_removed_event_is_named(trail: Trail) -> None:
    _, (_, event, _), _ = await trail.sealed(2, 3, 2)
    await trail.tamper("DELETE FROM audit_events WHERE id = $1", event)
    assert await trail.found() == ("event-removed", str(event))


async def test_an_event_moved_to_another_tenant_is_missed(trail: Trail) -> None:
    ((event, *_),) = await trail.sealed(2)
    await trail.tamper("UPDATE audit_events SET tenant_id = $1 WHERE id = $2", OTHER, event)
    assert await trail.found() == ("event-removed", str(event))


async def test_an_event_slipped_in_where_it_is_sealed_is_named(trail: Trail) -> None:
    first, *_ = await trail.sealed(2, 3)
    id = await copied(trail, first[0])
    assert await trail.found() == ("event-inserted", str(id))
    await trail.write(1)
    await trail.seal()
    assert await trail.found() == ("event-inserted", str(id)), "a later seal took it over"


async def test_events_that_change_places_are_named(trail: Trail) -> None:
    ((one, other, _),) = await trail.sealed(3)
    swap = (
        "UPDATE audit_events SET created_at = (SELECT created_at FROM audit_events e"
        " WHERE e.id = CASE WHEN audit_events.id = $1 THEN $2 ELSE $1 END) WHERE id IN ($1, $2)"
    )
    await trail.tamper(swap, one, other)
    assert await trail.found() == ("event-changed", str(one))


async def test_an_event_that_cannot_be_read_is_named(trail: Trail) -> None:
    ((_, event, _),) = await trail.sealed(3)
    await trail.tamper("UPDATE audit_events SET actor_kind = 'nobody' WHERE id = $1", event)
    wrong, what = await trail.found()
    assert (wrong, UUID(what)) == ("event-unreadable", event)


async def test_what_cannot_be_read_keeps_nobody_elses_events_from_being_sealed(
    trail: Trail,
) -> None:
    (event,) = await trail.write(1)
    await trail.tamper("UPDATE audit_events SET actor_kind = 'nobody' WHERE id = $1", event)
    await trail.write(2, OTHER)
    trail.clock.move(minutes=1)
    assert (await trail.run("audit.seal")).state is JobState.DONE
    assert await trail.seals() == []
    assert [one.n_events for one in await trail.seals(OTHER)] == [2]


@pytest.mark.parametrize("number", [1, 2])
async def test_a_removed_seal_is_named(trail: Trail, number: int) -> None:
    await trail.sealed(1, 1, 1)
    await trail.tamper("DELETE FROM audit_seals WHERE number = $1", number)
    assert await trail.found() == ("seal-removed", str(number))


async def test_seals_cut_off_at_the_end_are_missed_by_whoever_kept_the_head(trail: Trail) -> None:
    *_, last = await trail.sealed(2, 2, 2)
    head = (await trail.verify()).head
    assert head is not None
    assert head.number == 3
    await trail.tamper("DELETE FROM audit_seals WHERE number = $1", 3)
    await trail.tamper("DELETE FROM audit_events WHERE id = $1 OR id = $2", *last)
    assert (await trail.verify()).broken is None, "nothing in the database tells"
    assert await trail.found(head) == ("seal-removed", "3")
    await trail.write(1)
    await trail.seal()
    assert await trail.found(head) == ("seal-changed", "3")


async def test_a_head_that_was_kept_is_still_there_when_the_chain_has_grown(trail: Trail) -> None:
    await trail.sealed(1, 1)
    head = (await trail.verify()).head
    await trail.sealed(1, 1)
    assert (await trail.verify(kept=head)).broken is None
    assert (await trail.verify(kept=Head(2, "00" * 32))).broken is not None


@pytest.mark.parametrize(
    "change", ["n_events = 7", "entries = $1", "hash = $1", "until = created_at"]
)
async def test_a_changed_seal_is_named(trail: Trail, change: str) -> None:
    await trail.sealed(1, 1, 1)
    values = [b"x" * 48] if "$1" in change else []
    await trail.tamper(f"UPDATE audit_seals SET {change} WHERE number = 2", *values)
    assert await trail.found() == ("seal-changed", "2")


async def test_a_chain_signed_with_another_key_is_named(trail: Trail) -> None:
    """Whoever has the database can compute every hash anew, and sign none of them."""
    ((event, *_), _) = await trail.sealed(2, 1)
    await trail.tamper("UPDATE audit_events SET action = 'thing.seen' WHERE id = $1", event)
    async with trail.reading() as work:
        found = await events(work, ACME, Place(EPOCH), trail.clock())
    digests = {row[0]: chain.digest_of(row) for row in found}
    before: bytes = chain.FIRST
    for one in await trail.seals():
        before = await forged(trail, one, digests, before)
    assert await trail.found() == ("seal-forged", "1")


async def forged(trail: Trail, seal: AuditSeal, digests: dict[UUID, bytes], before: bytes) -> bytes:
    seal.entries = chain.pack((id, digests[id]) for id, _ in chain.unpack(seal.entries))
    seal.hash = chain.hash_of(seal, before)
    await trail.tamper(
        "UPDATE audit_seals SET entries = $1, hash = $2, signature = $3 WHERE id = $4",
        seal.entries,
        seal.hash,
        chain.signature_of(seal.hash, b"a key of their own"),
        seal.id,
    )
    return seal.hash


async def test_another_secret_signs_nothing_of_this_installation(trail: Trail) -> None:
    await trail.sealed(1)
    broken = (await trail.verify(key=b"other")).broken
    assert broken is not None
    assert broken.wrong == "seal-forged"
