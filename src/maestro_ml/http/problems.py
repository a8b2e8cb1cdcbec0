"""Errors on the wire: RFC 9457 problem details, unless a protocol brings a shape of its own."""

from collections.abc import Callable, Mapping
from http import HTTPStatus

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
    errors.Unavailable: 503,
}


class BadRequest(errors.MaestroError):
    """What the web framework refuses before any use case: an address, a method, a body."""

    def __init__(self, status: int) -> None:
        phrase = HTTPStatus(status).phrase
        super().__init__(f"{phrase}: check the address, the method and the body.")
        self.code = phrase.lower().replace(" ", "-")


def status_of(error: errors.MaestroError) -> int:
    return next((STATUS[family] for family in type(error).__mro__ if family in STATUS), 500)


def problem(request: Request, status: int, error: errors.MaestroError) -> Response:
    body = {
        **error.facts,
        "type": f"/problems/{error.code}",
        "title": error.code.replace("-", " ").capitalize(),
        "status": status,
        "detail": error.detail,
        "request_id": request.state.request_id,
    }
    return JSONResponse(body, status, media_type="application/problem+json")


def answer(request: Request, error: errors.MaestroError, status: int | None = None) -> Response:
    """The error, in the shape of the protocol that the address belongs to."""
    shapes: Mapping[str, Shape] = request.app.state.shapes
    path = request.url.path
    shape = next((s for prefix, s in shapes.items() if path.startswith(prefix)), problem)
    response = shape(request, status or status_of(error), error)
    if isinstance(error, errors.Unauthenticated):
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def install(app: FastAPI, shapes: Mapping[str, Shape]) -> None:
    app.state.shapes = shapes

    @app.exception_handler(errors.MaestroError)
    async def expected(request: Request, error: errors.MaestroError) -> Response:
        return answer(request, error)

    @app.exception_handler(RequestValidationError)
    async def malformed(request: Request, error: RequestValidationError) -> Response:
        faults = [{"at": list(e["loc"]), "why": e["msg"]} for e in error.errors()]
        invalid = errors.Invalid("The request does not fit the schema.", faults=faults)
        return answer(request, invalid)

    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> Response:
        response = answer(request, BadRequest(error.status_code), error.status_code)
        response.headers.update(error.headers or {})
        return response

    @app.exception_handler(Exception)
    async def broken(request: Request, _: Exception) -> Response:
        return answer(request, errors.MaestroError("Something broke here. Report the request id."))
