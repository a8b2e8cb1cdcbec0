"""Whatever is sent, the server answers as its contract says, and nothing breaks in it."""

import os
import secrets
import sys
from collections.abc import AsyncIterator

import pytest

from support.databases import PostgresDatabases, SqliteDatabases
from support.fuzz import a_fuzz
from support.live import LiveServer
from support.proof import FULL, record, scale

CASES = int(os.environ.get("MAESTRO_TEST_FUZZ_CASES", scale(300, 50_000)))
SEED = int(os.environ.get("MAESTRO_TEST_FUZZ_SEED", secrets.randbelow(2**32) if FULL else 1))


@pytest.fixture
async def server(
    databases: PostgresDatabases | SqliteDatabases, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[LiveServer]:
    """One of its own: what is sent deletes as well."""
    async with databases.empty() as url:
        env = {
            "MAESTRO_DATABASE__URL": url,
            "MAESTRO_OUTBOUND__ALLOW": "localhost",
        }
        with LiveServer(tmp_path_factory.mktemp("fuzz") / "data", env) as server:
            yield server


@pytest.mark.rows(65)
@pytest.mark.timeout(scale(300, 3600))
def test_whatever_is_sent_the_answer_is_one_that_the_contract_names(server: LiveServer) -> None:
    with a_fuzz(server) as fuzz:
        fuzz.run(CASES // 2, SEED, say=lambda line: sys.stdout.write(f"{line}\n"))
    record("cases of the fuzzer", fuzz.statuses.total())
    record("seed of the fuzzer", str(SEED))
    summary = f"seed {SEED}, {fuzz.summary()}"
    sys.stdout.write(f"{summary}\n")
    assert not fuzz.findings, summary
    assert "Traceback" not in server.logged.read_text()
