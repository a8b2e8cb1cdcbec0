"""Errors on the wire: RFC 9457 problem details, unless a protocol brings a shape of its own."""

from collections.abc import Callable, Mapping
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from maestro_ml.core import errors

Shape = Callable[[Request, int, errors.MaestroError], Response]

STATUS: dict[type[errors.MaestroError], int] = {
    errors.Invalid: 422,
    errors.Unauthenticated: 401,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.AlreadyExists: 409,
    errors.Conflict: 409,
    errors.TooMany: 429,
    errors.Unavailable: 503,
}
_UNREADABLE = 400
_MOST_FAULTS = 50
_LONGEST_WORD = 200


class BadRequest(errors.MaestroError):
    """The web framework refuses the request before any use case sees it."""

    code = "bad-request"
    status = 400

    def __init__(self, detail: str = "The request cannot be read: check how it is built.") -> None:
        super().__init__(detail)


class UnknownAddress(BadRequest):
    """Nothing is served at this address."""

    code = "unknown-address"
    status = 404

    def __init__(self) -> None:
        super().__init__("There is nothing at this address: /docs lists what there is.")


class MethodNotAllowed(BadRequest):
    """The address exists, and takes another method than this one."""

    code = "method-not-allowed"
    status = 405

    def __init__(self) -> None:
        super().__init__("This address does not take this method.")


class HeadTooLarge(BadRequest):
    """The request's address and headers are longer, or more, than any honest client's."""

    code = "head-too-large"
    status = 431

    def __init__(self, most_bytes: int, most_headers: int) -> None:
        super().__init__(
            f"The request's head is larger than {most_bytes} bytes or has more than "
            f"{most_headers} headers: send less before the body."
        )


class Misdirected(BadRequest):
    """The request is for another host than this server, going by its Host header."""

    code = "misdirected-request"
    status = 421

    def __init__(self, host: str) -> None:
        super().__init__(
            f"This server listens on this machine only and does not go by the name {host[:100]!r}. "
            "Ask for localhost, or set MAESTRO_SERVER__PUBLIC_URL to the address that people use."
        )


class BodyTooSlow(BadRequest):
    """The body did not arrive in time."""

    code = "body-too-slow"
    status = 408


class BodyTooLarge(BadRequest):
    """The body has more bytes than this address takes."""

    code = "body-too-large"
    status = 413


class BodyEncoded(BadRequest):
    """The body is compressed, and compressed bodies are not taken."""

    code = "body-encoded"
    status = 415


def status_of(error: errors.MaestroError) -> int:
    if isinstance(error, BadRequest):
        return error.status
    return next((STATUS[family] for family in type(error).__mro__ if family in STATUS), 500)


def document(status: int, error: errors.MaestroError, request_id: str) -> dict[str, object]:
    """What an answer says of an error."""
    return {
        **error.facts,
        "type": f"/problems/{error.code}",
        "title": error.code.replace("-", " ").capitalize(),
        "status": status,
        "detail": error.detail,
        "request_id": request_id,
    }


def problem(request: Request, status: int, error: errors.MaestroError) -> Response:
    body = document(status, error, request.state.request_id)
    return JSONResponse(body, status, media_type="application/problem+json")


def answer(request: Request, error: errors.MaestroError) -> Response:
    """The error, in the shape of the protocol that the address belongs to."""
    shapes: Mapping[str, Shape] = request.app.state.shapes
    path = request.url.path
    shape = next((s for prefix, s in shapes.items() if path.startswith(prefix)), problem)
    response = shape(request, status_of(error), error)
    if isinstance(error, errors.Unauthenticated):
        response.headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, errors.TooMany):
        response.headers["Retry-After"] = str(error.retry_after)
    return response


def declared(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What a route says in OpenAPI of the refusals that its form does not show."""
    return {status: {"$ref": f"#/components/responses/Refused{status}"} for status in statuses}


def broken() -> errors.MaestroError:
    """What is said of a bug: nothing but where to look."""
    return errors.MaestroError("Something broke here. Report the request id.")


def install(app: FastAPI, shapes: Mapping[str, Shape]) -> None:
    app.state.shapes = shapes

    @app.exception_handler(errors.MaestroError)
    async def expected(request: Request, error: errors.MaestroError) -> Response:
        return answer(request, error)

    @app.exception_handler(RequestValidationError)
    async def malformed(request: Request, error: RequestValidationError) -> Response:
        # Without `input` and `ctx`: they hold what was sent, passwords included.
        faults = [
            {
                "at": [_word(part) for part in e["loc"]],
                "why": _word(e["msg"].removeprefix("Value error, ")),
            }
            for e in error.errors()[:_MOST_FAULTS]
        ]
        invalid = errors.Invalid("The request does not fit the schema.", faults=faults)
        return answer(request, invalid)

    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> Response:
        if error.status_code == _UNREADABLE:
            return answer(request, errors.Invalid("The body cannot be read as JSON."))
        response = answer(request, _REFUSALS.get(error.status_code, BadRequest)())
        response.headers.update(error.headers or {})
        return response


_REFUSALS: Mapping[int, Callable[[], BadRequest]] = {404: UnknownAddress, 405: MethodNotAllowed}


def _word(part: object) -> object:
    """A name that was sent comes back only as far as an answer can carry it."""
    if not isinstance(part, str):
        return part
    return part[:_LONGEST_WORD].encode("utf-8", "replace").decode()
