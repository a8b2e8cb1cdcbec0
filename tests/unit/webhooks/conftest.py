"""A receiver, and webhooks that can reach it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from maestro_ml.db.work import Sessions
from support.hooks import Hooks, Receiver, a_receiver


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with a_receiver() as receiver:
        yield receiver


@pytest.fixture
def hooks(sessions: Sessions, tmp_path: Path) -> Hooks:
    return Hooks(sessions, tmp_path)
