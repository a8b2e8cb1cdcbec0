"""The chain of seals goes on whoever is killed, and nothing is sealed by half or twice."""

import asyncio

import pytest

from maestro_ml.audit import chain
from maestro_ml.db.work import Sessions
from support.proof import scale
from support.sealer import Sealer
from support.trail import Trail
from support.world import ACME

KILLS = scale(5, 50)
PATIENCE = 60


@pytest.mark.timeout(scale(300, 1800))
@pytest.mark.rows(77)
async def test_sealers_that_are_killed_leave_a_whole_chain(
    database: str, sessions: Sessions
) -> None:
    trail = Trail(sessions, database)
    written = 0
    sealer = Sealer(database, ACME)
    for _ in range(KILLS):
        rival = Sealer(database, ACME)
        before = len(await trail.seals())
        async with asyncio.timeout(PATIENCE):
            while len(await trail.seals()) < before + 3:
                await trail.write(2)
                written += 2
        sealer.kill()
        sealer = rival
        verdict = await trail.verify()
        assert verdict.broken is None
        assert verdict.events + verdict.unsealed == written
    sealer.kill()
    await trail.seal()
    sealed = [id for seal in await trail.seals() for id, _ in chain.unpack(seal.entries)]
    assert len(sealed) == len(set(sealed)) == written
    facts = (await trail.verify()).facts
    assert (facts["sound"], facts["events"], facts["unsealed"]) == (True, written, 0)
