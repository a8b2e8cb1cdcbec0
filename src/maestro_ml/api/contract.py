"""The OpenAPI document: what each operation takes and gives, and how it may refuse."""

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI

from maestro_ml.http.entry import is_public
from maestro_ml.http.problems import declared

PROBLEM = "application/problem+json"
_REFUSALS = {
    400: "Not now, or not any more: the code says which.",
    401: "Nobody that the server knows, or not with this.",
    403: "Your role, or your key's scope, is too low.",
    404: "Not there, or not yours.",
    408: "The body took too long to arrive.",
    409: "The state of things does not allow it.",
    413: "The body is too large.",
    415: "The body is compressed.",
    421: "This server does not go by that name.",
    422: "What was sent breaks a rule.",
    429: "Too often: `Retry-After` says when.",
    431: "The address and the headers are too large.",
    503: "Something that the server needs does not answer.",
}
_SHAPE = {
    "title": "Problem",
    "description": "RFC 9457. Some have further facts.",
    "type": "object",
    "required": ["type", "title", "status", "detail", "request_id"],
    "properties": {
        "type": {"type": "string", "description": "Ends with the error's code."},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "A sentence for people."},
        "request_id": {"type": "string"},
        "faults": {
            "type": "array",
            "description": "What does not fit the schema, and where.",
            "items": {
                "type": "object",
                "required": ["at", "why"],
                "properties": {
                    "at": {"type": "array", "items": {"type": ["string", "integer"]}},
                    "why": {"type": "string"},
                },
            },
        },
    },
}


class Application(FastAPI):
    """Its contract names the refusals, which FastAPI knows nothing of, and who must be known."""

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is not None:
            return self.openapi_schema
        document = super().openapi()
        for path, operations in document["paths"].items():
            for method, operation in operations.items():
                _complete(operation, method, path, public=is_public(path))
        components = document["components"]
        components["schemas"] = {"Problem": _SHAPE} | {
            name: shape
            for name, shape in components["schemas"].items()
            if name not in {"HTTPValidationError", "ValidationError"}
        }
        components["responses"] = {f"Refused{s}": _response(s) for s in _REFUSALS}
        components["securitySchemes"] = {
            "bearer": {
                "type": "http",
                "scheme": "bearer",
                "description": "An access token or an API key.",
            }
        }
        return document


def _complete(operation: dict[str, Any], method: str, path: str, *, public: bool) -> None:
    responses = operation["responses"]
    responses.pop("422", None)
    if not public:
        operation["security"] = [{"bearer": []}]
    for status, refusal in declared(*_refusals(operation, method, path, public=public)).items():
        responses.setdefault(str(status), refusal)


def _refusals(operation: dict[str, Any], method: str, path: str, *, public: bool) -> Iterator[int]:
    """By its form: which things may go wrong before, or in, an operation like this."""
    yield from (421, 431, 503)
    if path.startswith("/api/") or not public:
        yield from (401, 403, 429)
    if method != "get" or any(one["required"] for one in operation.get("parameters", ())):
        yield 404
    if method != "get":
        yield 409
    if "requestBody" in operation:
        yield from (408, 413, 415)
    if "requestBody" in operation or operation.get("parameters") or path.startswith("/api/"):
        yield 422


def _response(status: int) -> dict[str, Any]:
    found: dict[str, Any] = {
        "description": _REFUSALS[status],
        "content": {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    if status == 429:
        found["headers"] = {
            "Retry-After": {
                "description": "Seconds until it is worth asking again.",
                "required": True,
                "schema": {"type": "integer", "minimum": 1},
            }
        }
    return found
