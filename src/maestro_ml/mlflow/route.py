"""Errors as MLflow clients expect them: `{"error_code": ..., "message": ...}`.

The client retries 408, 429, 500, 502, 503 and 504, so what it did wrong is none of these.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import Request, Response
from fastapi.responses import JSONResponse

from maestro_ml.core import errors
from maestro_ml.mlflow.errors import MultipartDownloadUnsupported
from maestro_ml.registry.errors import ModelAliasNotFound

# The client of prompts asks for aliases that are not there, and knows this answer.
CODES: dict[type[errors.MaestroError], tuple[int, str]] = {
    # The client takes this status, and 501, for a word to fetch the file in one piece.
    MultipartDownloadUnsupported: (404, "ENDPOINT_NOT_FOUND"),
    ModelAliasNotFound: (400, "INVALID_PARAMETER_VALUE"),
    errors.Invalid: (400, "INVALID_PARAMETER_VALUE"),
    errors.Unauthenticated: (401, "UNAUTHENTICATED"),
    errors.Forbidden: (403, "PERMISSION_DENIED"),
    errors.NotFound: (404, "RESOURCE_DOES_NOT_EXIST"),
    errors.AlreadyExists: (400, "RESOURCE_ALREADY_EXISTS"),
    errors.Conflict: (409, "RESOURCE_CONFLICT"),
    errors.TooMany: (429, "REQUEST_LIMIT_EXCEEDED"),
    errors.Unavailable: (503, "TEMPORARILY_UNAVAILABLE"),
}
PREFIXES = ("/api/2.0/mlflow", "/ajax-api/2.0/mlflow", "/api/3.0/mlflow", "/ajax-api/3.0/mlflow")
_MISSING = "Field required"  # pydantic's words
_NO_OBJECT = "Input should be a valid dictionary"
_AGENTS = "Maestro tracks the training of models, not the calls of language models and agents"
_JUDGING = "Maestro has no reviews of language models' answers"
# What is left out on purpose, by the first word of its address, and why.
REFUSED: Mapping[str, str] = {
    **dict.fromkeys(("traces", "unified-traces", "get-online-trace-details"), _AGENTS),
    **dict.fromkeys(("datasets", "issues", "label-schemas", "review-queues", "scorers"), _JUDGING),
    "gateway": "Maestro passes no calls on to providers of language models",
    "prompt-optimization": "Maestro asks no language model to rewrite prompts",
}


def failure(request: Request, status: int, error: errors.MaestroError) -> Response:
    """MLflow's shape and MLflow's status, which is not always ours."""
    family = next((family for family in type(error).__mro__ if family in CODES), None)
    if family is not None:
        status, code = CODES[family]
    elif status in (404, 405):
        if why := refusal(request.url.path):
            return _told(400, "FEATURE_DISABLED", f"This call is refused on purpose: {why}.")
        # A call that is not there yet; clients try its older spelling.
        status, code = 404, "ENDPOINT_NOT_FOUND"
    else:
        code = "BAD_REQUEST" if status < 500 else "INTERNAL_ERROR"
    return _told(status, code, _message(error))


def refusal(path: str) -> str | None:
    """Why a call is left out on purpose, if it is."""
    prefix = next((prefix for prefix in PREFIXES if path.startswith(f"{prefix}/")), path)
    return REFUSED.get(path.removeprefix(f"{prefix}/").partition("/")[0])


def _told(status: int, code: str, message: str) -> Response:
    return JSONResponse({"error_code": code, "message": message}, status)


def _message(error: errors.MaestroError) -> str:
    """The sentence, and which fields it is about."""
    faults = error.facts.get("faults")
    if not isinstance(faults, list):
        return error.detail
    return "; ".join(_fault(fault["at"][1:], fault["why"]) for fault in faults) or error.detail


def _fault(at: Sequence[Any], why: str) -> str:
    if not at and why.startswith(_NO_OBJECT):
        why = "it must be a JSON object, sent with `Content-Type: application/json`"
    if not at:
        return f"The message cannot be read: {why}"
    if isinstance(at[0], int):  # where in the bytes, of what is no JSON
        return f"The message cannot be read: {why} at character {at[0]}"
    place = ".".join(str(part) for part in at)
    if why == _MISSING:
        return f"Missing value for required parameter '{place}'"
    return f"Invalid value for parameter '{place}': {why.removeprefix('Value error, ')}"
