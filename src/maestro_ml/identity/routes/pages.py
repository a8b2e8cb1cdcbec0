"""The pages that people open by a link: files that call the API, and hold nothing of anybody."""

from functools import cache
from html import escape
from pathlib import Path

from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse, HTMLResponse

from maestro_ml.core.errors import MaestroError
from maestro_ml.http.problems import UnknownAddress, problem
from maestro_ml.identity.letters import EMAIL_PAGE, INVITATION_PAGE, PASSWORD_PAGE
from maestro_ml.identity.runtime import Identity, TheIdentity

router = APIRouter(include_in_schema=False)
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
_FOLDER = Path(__file__).parents[1] / "pages"
_FILES = frozenset(path.name for path in _FOLDER.iterdir() if path.suffix in {".css", ".js"})


@router.get("/device")
async def show_device_page(identity: TheIdentity) -> HTMLResponse:
    """Where a person approves a terminal."""
    return _page("device", identity)


@router.get(f"/{PASSWORD_PAGE}")
async def show_password_page(identity: TheIdentity) -> HTMLResponse:
    """Where somebody who has forgotten their password asks for a link, and uses it."""
    return _page(PASSWORD_PAGE, identity)


@router.get(f"/{EMAIL_PAGE}")
async def show_email_page(identity: TheIdentity) -> HTMLResponse:
    """Where a mailed link proves an address."""
    return _page(EMAIL_PAGE, identity)


@router.get(f"/{INVITATION_PAGE}")
async def show_invitation_page(identity: TheIdentity) -> HTMLResponse:
    """Where an invitation is taken up."""
    return _page(INVITATION_PAGE, identity)


@router.get("/pages/{file}")
async def show_page_file(file: str) -> FileResponse:
    """How the pages look, and what they do."""
    if file not in _FILES:
        raise UnknownAddress
    return FileResponse(_FOLDER / file)


def refusal(request: Request, status: int, error: MaestroError) -> Response:
    """An error where a browser was sent by a link or by another site: a page for who looks at it,
    and problem details for everybody else."""
    if "text/html" not in request.headers.get("accept", ""):
        return problem(request, status, error)
    text = _text("refused").format(
        detail=escape(error.detail), request_id=escape(request.state.request_id)
    )
    return HTMLResponse(text, status, headers={"Content-Security-Policy": CSP})


def _page(name: str, identity: Identity) -> HTMLResponse:
    text = _text(name).replace("{least}", str(identity.passwords.min_length))
    return HTMLResponse(text, headers={"Content-Security-Policy": CSP})


@cache
def _text(name: str) -> str:
    return (_FOLDER / f"{name}.html").read_text(encoding="utf-8")
