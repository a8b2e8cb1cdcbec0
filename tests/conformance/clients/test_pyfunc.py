"""Models as people log, register, load and serve them: each by all the names that it has."""

import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

import pytest

mlflow: Any = importlib.import_module("mlflow")
models: Any = importlib.import_module("mlflow.models")
pyfunc: Any = importlib.import_module("mlflow.pyfunc")

pytestmark = pytest.mark.usefixtures("experiment")
INVALID, MISSING = "INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST"
LOCALLY = ("--env-manager", "local")


def log_model(plus: float, **more: Any) -> Any:
    class Adder(pyfunc.PythonModel):  # type: ignore[misc]  # here, so that its code goes along
        def predict(self, context: Any, model_input: Any, params: Any = None) -> list[float]:
            return [float(one) + plus for one in model_input]

    return pyfunc.log_model("model", python_model=Adder(), pip_requirements=[], **more)


def plus(uri: str) -> float:
    """What the model that is loaded by the URI adds."""
    (answer,) = pyfunc.load_model(uri).predict([0])
    return float(answer)


@pytest.fixture
def served(client: Any, name: str) -> Iterator[str]:
    """The address where `mlflow models serve` serves a registered model."""
    with mlflow.start_run():
        log_model(1.5, registered_model_name=name)
    client.set_registered_model_alias(name, "best", "1")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    serve = [*("models", "serve", "-m", f"models:/{name}@best", "-p", str(port)), *LOCALLY]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # where uvicorn is
    server = subprocess.Popen(
        [sys.executable, "-m", "mlflow", *serve],
        env=os.environ | {"PATH": path},
        start_new_session=True,
    )
    try:
        while not _answers(f"http://127.0.0.1:{port}/ping"):
            assert server.poll() is None, "it has ended"
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        if server.poll() is None:
            os.killpg(server.pid, signal.SIGTERM)
        server.wait(30)


def test_a_model_is_registered_as_it_is_logged(client: Any, name: str, refusal: Any) -> None:
    for number in (1, 2, 3):
        with mlflow.start_run() as run:
            log_model(number, registered_model_name=name)
        version = client.get_model_version(name, str(number))
        assert (version.run_id, version.status) == (run.info.run_id, "READY")
    client.set_registered_model_alias(name, "best", "1")
    client.transition_model_version_stage(name, "2", "Staging")
    for of_the_name, number in {"/1": 1, "/2": 2, "@best": 1, "/Staging": 2, "/latest": 3}.items():
        assert plus(f"models:/{name}{of_the_name}") == number, of_the_name
    client.set_registered_model_alias(name, "best", "2")
    assert plus(f"models:/{name}@best") == 2
    assert models.get_model_info(f"models:/{name}/3").run_id == run.info.run_id
    assert refusal(plus, f"models:/{name}/4") == MISSING
    assert refusal(plus, f"models:/{name}@worst") == INVALID


def test_a_model_is_registered_after_it_was_logged(client: Any, name: str) -> None:
    with mlflow.start_run() as run:
        logged = log_model(1)
    for uri in (f"runs:/{run.info.run_id}/model", logged.model_uri):
        made = mlflow.register_model(uri, name)
        assert made.run_id == run.info.run_id
        assert plus(f"models:/{name}/{made.version}") == 1
    there = f"{name} copy"
    mlflow.register_model(f"models:/{name}/2", there)
    assert plus(f"models:/{there}/1") == 1
    runs = client.search_model_versions(f"run_id = '{run.info.run_id}'")
    assert {(one.name, int(one.version)) for one in runs} == {(name, 1), (name, 2), (there, 1)}


@pytest.mark.since("2.22.0")
def test_the_command_line_predicts_with_a_registered_model(name: str, tmp_path: Path) -> None:
    with mlflow.start_run():
        log_model(1.5, registered_model_name=name)
    asked = tmp_path / "asked.json"
    asked.write_text(json.dumps({"inputs": [1, 2]}))
    predict = ["predict", "-m", f"models:/{name}/latest", "-t", "json", "-i", str(asked), *LOCALLY]
    done = subprocess.run(
        [sys.executable, "-m", "mlflow", "models", *predict],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"predictions": [2.5, 3.5]}


@pytest.mark.since("3.0.0")  # 2.x does not serve with the FastAPI of today
def test_the_command_line_serves_a_registered_model(served: str) -> None:
    body = json.dumps({"inputs": [1, 2]}).encode()
    as_json = {"Content-Type": "application/json"}
    with urlopen(Request(f"{served}/invocations", body, as_json), timeout=30) as answer:
        assert json.load(answer) == {"predictions": [2.5, 3.5]}


def _answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except URLError:
        return False
