"""Errors as MLflow clients expect them: `{"error_code": ..., "message": ...}`.

The client retries 408, 429, 500, 502, 503 and 504, so what it did wrong is none of these.
"""

from fastapi import Request, Response
from fastapi.responses import JSONResponse

from maestro_ml.core import errors

CODES: dict[type[errors.MaestroError], tuple[int, str]] = {
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


def failure(_: Request, status: int, error: errors.MaestroError) -> Response:
    """MLflow's shape and MLflow's status, which is not always ours."""
    family = next((family for family in type(error).__mro__ if family in CODES), None)
    if family is not None:
        status, code = CODES[family]
    elif status in (404, 405):  # a call that is not there yet; clients try its older spelling
        status, code = 404, "ENDPOINT_NOT_FOUND"
    else:
        code = "BAD_REQUEST" if status < 500 else "INTERNAL_ERROR"
    return JSONResponse({"error_code": code, "message": _message(error)}, status)


def _message(error: errors.MaestroError) -> str:
    """The sentence, and which fields it is about."""
    faults = error.facts.get("faults")
    if not isinstance(faults, list):
        return error.detail
    places = [
        f"Invalid value for parameter '{'.'.join(str(part) for part in fault['at'][1:])}': "
        f"{fault['why']}"
        for fault in faults
    ]
    return "; ".join(places) or error.detail
