"""The client under test, signed in by the variables that it documents and nothing else."""

import importlib
import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from packaging.version import Version

mlflow: Any = importlib.import_module("mlflow")
SECRETS = ("MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_PASSWORD")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "since(version): the first client that has the calls")
    config.addinivalue_line("markers", "differs: on purpose, from what MLflow's own server does")
    wanted = os.environ["CONFORMANCE_VERSION"]
    if mlflow.__version__ != wanted:
        raise pytest.UsageError(f"this is mlflow {mlflow.__version__} and not {wanted}")


@pytest.fixture(autouse=True)
def _known(request: pytest.FixtureRequest) -> None:
    mark = request.node.get_closest_marker("since")
    if mark and Version(mlflow.__version__) < Version(mark.args[0]):
        pytest.skip(f"MLflow {mlflow.__version__} lacks the call, which came with {mark.args[0]}")


@pytest.fixture
def client() -> Iterator[Any]:
    yield mlflow.MlflowClient()
    while mlflow.active_run():
        mlflow.end_run()
    if hasattr(mlflow, "clear_active_model"):
        mlflow.clear_active_model()


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """That nothing else has."""
    return f"{request.node.name} {uuid.uuid4().hex[:8]}"


@pytest.fixture
def experiment(client: Any, name: str) -> Any:
    return mlflow.set_experiment(name)


@pytest.fixture
def become(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Go on with the key of somebody else: a `reader`, a `stranger`, or anything that is no key."""

    def with_key(who: str) -> None:
        for secret in SECRETS:
            if secret in os.environ:
                monkeypatch.setenv(secret, os.environ.get(f"CONFORMANCE_{who.upper()}", who))

    return with_key


@pytest.fixture
def refusal() -> Callable[..., str]:
    """Call something that is refused: it gives MLflow's code of the refusal."""

    def refused(call: Callable[..., Any], *args: Any, **options: Any) -> str:
        with pytest.raises(mlflow.MlflowException) as error:
            call(*args, **options)
        return str(error.value.error_code)

    return refused


@pytest.fixture
def run(experiment: Any) -> Any:
    """With a model among its files."""
    assert experiment
    with mlflow.start_run() as run:
        mlflow.log_text("w", "model/weights.txt")
        mlflow.log_text("flavors: {weights: {data: weights.txt}}", "model/MLmodel")
    return run


@pytest.fixture
def versions(client: Any, name: str, run: Any) -> list[Any]:
    """Three, of a model that has the test's name."""
    client.create_registered_model(name)
    source = f"runs:/{run.info.run_id}/model"
    return [client.create_model_version(name, source, run.info.run_id) for _ in range(3)]


@pytest.fixture
def weights_of() -> Callable[[str], str]:
    """Load a model: it gives what is in the file that each model here has."""

    def loaded(uri: str) -> str:
        return (Path(mlflow.artifacts.download_artifacts(uri)) / "weights.txt").read_text()

    return loaded
