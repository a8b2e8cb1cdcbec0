"""Everything that a caller can put into a call, as the routes themselves describe it."""

import re
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from maestro_ml.api.main import create_app
from maestro_ml.core.settings import Settings
from maestro_ml.mlflow import (
    artifacts,
    experiments,
    inputs,
    logged_models,
    metrics,
    model_versions,
    registered_models,
    runs,
    server,
    webhooks,
    workspaces,
)
from support.calls import Call
from support.policy import Operation, operations

Schema = Mapping[str, Any]
ITEM = "[]"  # the way into a list
_SECRETS = re.compile(r"password|token|secret|code$")


@dataclass(frozen=True)
class Field:
    """A place for a value: in the query, or that deep in the body."""

    place: str
    at: tuple[str, ...]
    kinds: frozenset[str]  # of JSON's schema; `uuid` beside `string`
    words: frozenset[str] = frozenset()  # the only ones it takes, if it says so

    @property
    def name(self) -> str:
        return next(part for part in reversed(self.at) if part != ITEM)

    @property
    def text(self) -> bool:
        return "string" in self.kinds

    @property
    def secret(self) -> bool:
        return self.place == "body" and self.text and bool(_SECRETS.search(self.name))

    def put(self, call: Call, value: Any) -> Call:
        """The same call with that value there."""
        sent = call.query if self.place == "query" else call.body
        body = deepcopy(sent) if isinstance(sent, dict) else {}
        if self.name == "run_uuid":  # it counts only without the other name
            body.pop("run_id", None)
        if self.place == "query":
            return replace(call, query=body | {self.name: value}, used_up=False)
        return replace(call, body=_put(body, self.at, value), used_up=False)

    def __str__(self) -> str:
        return f"{self.place} {'.'.join(self.at)}"


def _put(into: Any, at: tuple[str, ...], value: Any) -> Any:
    if not at:
        return value
    first, rest = at[0], at[1:]
    if first == ITEM:
        inner = into[0] if isinstance(into, list) and into else {"key": "k", "value": "1"}
        return [_put(inner if rest else None, rest, value)]
    known = dict(into) if isinstance(into, dict) else {}
    return known | {first: _put(known.get(first), rest, value)}


@cache
def contract() -> Schema:
    """Of the native API and of MLflow's calls, which our own description leaves out."""
    ours = create_app(Settings(data=Path("never-opened"))).openapi()
    wire = FastAPI(generate_unique_id_function=lambda route: f"{route.methods} {route.path}")
    for router, prefix in (
        (experiments.router, "/api/2.0/mlflow"),
        (runs.router, "/api/2.0/mlflow"),
        (metrics.router, "/api/2.0/mlflow"),
        (inputs.router, "/api/2.0/mlflow"),
        (logged_models.router, "/api/2.0/mlflow"),
        (registered_models.router, "/api/2.0/mlflow"),
        (model_versions.router, "/api/2.0/mlflow"),
        (artifacts.tracking, "/api/2.0/mlflow"),
        (webhooks.router, "/api/2.0/mlflow"),
        (artifacts.router, "/api/2.0/mlflow-artifacts"),
        (server.router, "/api/3.0/mlflow"),
        (workspaces.router, "/api/3.0/mlflow"),
    ):
        wire.include_router(router, prefix=prefix)
    theirs = wire.openapi()
    return {
        "paths": ours["paths"] | theirs["paths"],
        "schemas": ours["components"]["schemas"] | theirs["components"]["schemas"],
    }


def described() -> list[Operation]:
    """What there is to put something into; MLflow's calls under one of their addresses."""
    paths = contract()["paths"]
    found = [o for o in operations() if o.method.lower() in paths.get(o.path, {})]
    left = {o.path for o in operations() if o not in found and not o.path.startswith("/ajax-api")}
    pages = {"/", "/device", "/reset-password", "/verify-email", "/invitation", "/pages/{file}"}
    assert left == pages | {"/openapi.json", "/docs"}, left
    return found


def fields(operation: Operation) -> list[Field]:
    """Beside those of its path."""
    about = contract()["paths"][operation.path][operation.method.lower()]
    found = [
        Field("query", (one["name"],), *_leaf(one["schema"]))
        for one in about.get("parameters", [])
        if one["in"] == "query"
    ]
    body = about.get("requestBody", {}).get("content", {}).get("application/json")
    return found + (list(_within(body["schema"], ())) if body else [])


def _resolved(schema: Schema) -> Iterator[Schema]:
    """It, or each of what it may be."""
    if "$ref" in schema:
        yield from _resolved(contract()["schemas"][schema["$ref"].rpartition("/")[2]])
    elif choices := [*schema.get("anyOf", ()), *schema.get("oneOf", ()), *schema.get("allOf", ())]:
        for choice in choices:
            yield from _resolved(choice)
    else:
        yield schema


def _within(schema: Schema, at: tuple[str, ...]) -> Iterator[Field]:
    plain = []
    for one in _resolved(schema):
        if "properties" in one:
            for name, inner in one["properties"].items():
                yield from _within(inner, (*at, name))
        elif one.get("type") == "array":
            yield from _within(one["items"], (*at, ITEM))
        else:
            plain.append(one)
    if any(one.get("type") != "null" for one in plain):
        yield Field("body", at, *_leaf({"anyOf": plain}))


def _leaf(schema: Schema) -> tuple[frozenset[str], frozenset[str]]:
    kinds: set[str] = set()
    words: set[str] = set()
    for one in _resolved(schema):
        kinds |= {str(one[key]) for key in ("type", "format") if key in one}
        words |= {str(word) for word in one.get("enum", ())}
        words |= {str(one["const"])} if "const" in one else set()
        if one.get("type") == "array":
            kinds |= _leaf(one["items"])[0]
    return frozenset(kinds or {"string"}), frozenset(words)
