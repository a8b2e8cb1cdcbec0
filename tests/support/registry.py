"""The verbs of registered models, as somebody of a project sends them."""

import secrets
from collections.abc import Iterator
from typing import Any

MLFLOW, MODELS = "/api/2.0/mlflow", "/api/v1/models"
Sent = tuple[str, str, str, Any]  # the name in the policy, the method, the address, the body


def registry_of(run: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """What makes the model `m` with three versions of a run and two aliases, and the model `gone`
    for whoever destroys something."""
    yield f"{MLFLOW}/registered-models/create", {"name": "m"}
    for _ in range(3):
        version = {"name": "m", "source": f"runs:/{run}/", "run_id": run}
        yield f"{MLFLOW}/model-versions/create", version
    for alias in ("a", "c"):
        yield f"{MLFLOW}/registered-models/alias", {"name": "m", "alias": alias, "version": "1"}
    yield f"{MLFLOW}/registered-models/create", {"name": "gone"}
    yield f"{MLFLOW}/model-versions/create", {"name": "gone", "source": "s3://bucket/model"}


def registry_calls(project: str, run: str) -> Iterator[Sent]:
    """Every verb that names the model, what destroys at the end."""
    yield from _native(project)
    tag = {"name": "m", "key": "k"}
    one, alias = {"name": "m", "version": "1"}, {"name": "m", "alias": "a"}
    calls: list[tuple[str, dict[str, Any]]] = [
        ("POST registered-models/create", {"name": secrets.token_hex(6)}),
        ("GET registered-models/get", {"name": "m"}),
        ("GET registered-models/search", {}),
        ("PATCH registered-models/update", {"name": "m", "description": "d"}),
        ("GET registered-models/get-latest-versions", {"name": "m"}),
        ("POST registered-models/get-latest-versions", {"name": "m"}),
        ("POST registered-models/set-tag", tag),
        ("DELETE registered-models/delete-tag", tag),
        ("POST registered-models/alias", alias | {"version": "1"}),
        ("GET registered-models/alias", {"name": "m", "alias": "latest"}),
        ("DELETE registered-models/alias", alias),
        ("POST model-versions/create", {"name": "m", "source": f"runs:/{run}/", "run_id": run}),
        ("GET model-versions/get", one),
        ("GET model-versions/search", {}),
        ("PATCH model-versions/update", one | {"description": "d"}),
        ("POST model-versions/transition-stage", one | {"stage": "Archived"}),
        ("GET model-versions/get-download-uri", one),
        ("POST model-versions/set-tag", one | tag),
        ("DELETE model-versions/delete-tag", one | tag),
        ("DELETE model-versions/delete", {"name": "m", "version": "3"}),
        ("POST registered-models/rename", {"name": "m", "new_name": "m"}),
        ("DELETE registered-models/delete", {"name": "m"}),
    ]
    for name, body in calls:
        method, path = name.split(" ")
        yield name, method, f"{MLFLOW}/{path}", body


def _native(project: str) -> Iterator[Sent]:
    model, named = f"{MODELS}/m", f"?project={project}"
    version, gone = f"{model}/versions/2", f"{MODELS}/gone"
    made = {"name": secrets.token_hex(6), "project": project}
    yield "create_model", "POST", MODELS, made
    yield "read_model", "GET", f"{model}{named}", None
    yield "change_model", "PATCH", f"{model}{named}", {"description": "d"}
    yield "compare_model_versions", "GET", f"{model}/comparison{named}&versions=1&versions=2", None
    yield "set_model_alias", "PUT", f"{model}/aliases/b{named}", {"version": 2}
    yield "read_model_alias", "GET", f"{model}/aliases/latest{named}", None
    yield "create_model_version", "POST", f"{model}/versions{named}", {"copy_of": 1}
    yield "list_model_versions", "GET", f"{model}/versions{named}", None
    yield "read_model_version", "GET", f"{version}{named}", None
    yield "change_model_version", "PATCH", f"{version}{named}", {"description": "d"}
    yield "list_model_version_files", "GET", f"{version}/files{named}", None
    yield "read_model_lineage", "GET", f"{version}/lineage{named}", None
    yield "delete_model_alias", "DELETE", f"{model}/aliases/c{named}", None
    yield "delete_model_version", "DELETE", f"{gone}/versions/1{named}", None
    yield "delete_model", "DELETE", f"{gone}{named}&confirm=gone", None
