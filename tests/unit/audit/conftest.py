"""A trail over the test's own database."""

import pytest

from maestro_ml.db.work import Sessions
from support.trail import Trail


@pytest.fixture
def trail(sessions: Sessions, database: str) -> Trail:
    return Trail(sessions, database)
