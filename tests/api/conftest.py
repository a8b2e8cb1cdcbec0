"""The API of projects and MLflow's wire, over a test's own database."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from maestro_ml.db.work import Sessions
from maestro_ml.projects.routes import router
from support.native import Api, native_api
from support.wire import Wire, mlflow_app


@pytest.fixture
async def api(sessions: Sessions, tmp_path: Path) -> AsyncIterator[Api]:
    async with native_api(sessions, tmp_path, router) as api:
        yield api


@pytest.fixture
async def wire(sessions: Sessions, tmp_path: Path) -> AsyncIterator[Wire]:
    transport = httpx2.ASGITransport(mlflow_app(sessions, tmp_path), raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://maestro") as http:
        yield Wire(http)
