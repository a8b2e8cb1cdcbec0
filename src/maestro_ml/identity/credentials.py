"""What a request proves itself with: one header, or the browser's cookie, and nothing else."""

import base64
import binascii
import hmac
from dataclasses import dataclass
from hashlib import sha256
from uuid import UUID

from starlette.requests import Request

from maestro_ml.core.errors import Unauthenticated
from maestro_ml.core.settings import Settings
from maestro_ml.http.hosts import own_origins
from maestro_ml.identity import tokens
from maestro_ml.identity.errors import CsrfRefused

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
CSRF_HEADER = "x-csrf-token"
_LONGEST = 8192


@dataclass(frozen=True, slots=True)
class AccessToken:
    text: str


@dataclass(frozen=True, slots=True)
class ApiKeySecret:
    text: str


@dataclass(frozen=True, slots=True)
class Cookie:
    text: str


Credential = AccessToken | ApiKeySecret | Cookie


def cookie_name(settings: Settings) -> str:
    return "maestro-session" if settings.auth.cookie_insecure else "__Host-session"


def credential_of(request: Request, settings: Settings) -> Credential:
    """Raises:
    Unauthenticated: there is none, more than one, or nothing that could be one.
    """
    sent = [value for name, value in request.scope["headers"] if name == b"authorization"]
    if not sent:
        cookie = request.cookies.get(cookie_name(settings), "")
        if tokens.well_formed(cookie, tokens.COOKIE):
            return Cookie(cookie)
        raise Unauthenticated
    if len(sent) > 1 or len(sent[0]) > _LONGEST or not sent[0].isascii():
        raise Unauthenticated
    scheme, _, proof = sent[0].decode("ascii").partition(" ")
    match scheme.lower():
        case "bearer" if not proof.startswith(tokens.API_KEY):
            return AccessToken(proof)
        case "bearer":
            return _api_key(proof)
        case "basic":
            return _api_key(_password_of(proof))
    raise Unauthenticated


def check_origin(request: Request, settings: Settings, expected: str) -> None:
    """Whether a change asked for with the browser's cookie comes from our own pages.

    Raises:
        CsrfRefused: it does not, or it does not say so.
    """
    if request.method in SAFE:
        return
    sent = request.headers.get(CSRF_HEADER, "")
    if not hmac.compare_digest(sent.encode(), expected.encode()):
        raise CsrfRefused
    origin = request.headers.get("origin")
    if origin is None:
        if request.headers.get("sec-fetch-site") != "same-origin":
            raise CsrfRefused
    elif origin not in own_origins(request, settings):
        raise CsrfRefused


def csrf_token(key: bytes, session: UUID) -> str:
    return hmac.new(key, session.bytes, sha256).hexdigest()


def _api_key(text: str) -> ApiKeySecret:
    if not tokens.well_formed(text, tokens.API_KEY):
        raise Unauthenticated
    return ApiKeySecret(text)


def _password_of(proof: str) -> str:
    """Of a Basic pair; the name beside an API key says nothing and is not looked at."""
    try:
        _, _, password = base64.b64decode(proof, validate=True).partition(b":")
        return password.decode("ascii")
    except (binascii.Error, UnicodeDecodeError):
        raise Unauthenticated from None
