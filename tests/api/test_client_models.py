"""Registered models by the SDK and the command line, against a live server."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest

from maestro_ml.client import Conflict, Invalid, MaestroClient, NotFound
from support.live import LiveServer, a_password, ok

Command = Callable[..., str]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    with LiveServer(tmp_path_factory.mktemp("models") / "data") as server:
        yield server


@pytest.fixture(scope="module")
def root(server: LiveServer) -> Iterator[MaestroClient]:
    with MaestroClient(server.url) as client:
        token = server.setup_token()
        client.auth.setup(token=token, email="r@maestro.test", password=a_password(), name="R")
        client.projects.create("Churn")
        yield client


@pytest.fixture(scope="module")
def key(root: MaestroClient) -> str:
    return root.api_keys.create("cli", scopes=["read", "write"]).token


@pytest.fixture(scope="module")
def runs(server: LiveServer, key: str) -> list[str]:
    """Two with a param and a metric each."""
    made = []
    headers = {"Authorization": f"Bearer {key}"}
    with httpx2.Client(base_url=f"{server.url}/api/2.0/mlflow", headers=headers) as http:
        for depth in (3, 4):
            begun = ok(http.post("/runs/create", json={"experiment_id": "0"}))
            run = begun["run"]["info"]["run_id"]
            told = {
                "run_id": run,
                "params": [{"key": "depth", "value": str(depth)}],
                "metrics": [{"key": "auc", "value": depth / 10, "timestamp": 1}],
            }
            ok(http.post("/runs/log-batch", json=told))
            made.append(run)
    return made


@pytest.fixture
def maestro(server: LiveServer, key: str, tmp_path: Path) -> Command:
    env = {k: v for k, v in os.environ.items() if not k.startswith("MAESTRO_")}
    env |= {"MAESTRO_URL": server.url, "MAESTRO_TOKEN": key, "MAESTRO_CONFIG_DIR": str(tmp_path)}

    def run(*args: str, code: int = 0) -> str:
        line = [sys.executable, "-m", "maestro_ml.cli.main", "models", *args]
        done = subprocess.run(line, capture_output=True, text=True, check=False, env=env)
        assert done.returncode == code, done.stderr
        return done.stdout if code == 0 and done.stdout else done.stderr

    return run


def test_a_model_goes_through_its_life_by_the_sdk(root: MaestroClient, runs: list[str]) -> None:
    made = root.models.create("by/../sdk".replace("/", "-"), tags={"team": "a"})
    assert made.latest_version is None
    first, second = (root.models.create_version(made.name, run_id=run) for run in runs)
    assert (first.version, second.version) == (1, 2)
    assert [one.version for one in root.models.versions(made.name)] == [2, 1]
    assert root.models.set_alias(made.name, "champion", 1).aliases == ["champion"]
    assert root.models.by_alias(made.name, "latest").version == 2
    assert root.models.get(made.name).aliases == {"champion": 1}
    with pytest.raises(Conflict, match="approv"):
        root.models.set_alias(made.name, "production", 1)
    found = root.models.compare(made.name, [1, 2])
    assert found.params == {"depth": {1: "3", 2: "4"}}
    assert found.metrics == {"auc": {1: 0.3, 2: 0.4}}
    lineage = root.models.lineage(made.name, 1)
    assert lineage.run is not None
    assert lineage.run.id.hex == runs[0]
    assert list(root.models.files(made.name, 1)) == []
    changed = root.models.update_version(made.name, 1, description="old", tags={"k": "v"})
    assert (changed.description, changed.tags) == ("old", {"k": "v"})
    renamed = root.models.update(made.name, new_name="ünïcode name", tags={"team": None})
    assert renamed.tags == {}
    assert root.models.version(renamed.name, 1).name == renamed.name
    root.models.delete_alias(renamed.name, "champion")
    root.models.delete_version(renamed.name, 2)
    with pytest.raises(Invalid):
        root.models.delete(renamed.name, confirm="no")
    root.models.delete(renamed.name, confirm=renamed.name)
    with pytest.raises(NotFound):
        root.models.get(renamed.name)


def test_a_model_goes_through_its_life_on_the_command_line(
    maestro: Command, runs: list[str]
) -> None:
    assert "mlflow.register_model" in maestro("list", "--search", "nothing")
    maestro("create", "churn", "--description", "who leaves")
    assert "--run RUN" in maestro("versions", "list", "churn")
    for run in runs:
        maestro("versions", "create", "churn", "--run", run)
    maestro("aliases", "set", "churn", "champion", "1")
    assert json.loads(maestro("show", "churn", "--json"))["aliases"] == {"champion": 1}
    assert "depth  1: 3  2: 4" in maestro("compare", "churn", "1", "2")
    assert "(champion)" in maestro("versions", "lineage", "churn", "1")
    assert "approv" in maestro("aliases", "set", "churn", "production", "1", code=1)
    assert "give --yes" in maestro("delete", "churn", code=1)
    maestro("delete", "churn", "--yes")
    assert "no registered model" in maestro("show", "churn", code=1)
