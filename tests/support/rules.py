"""What holds for every answer there is, whoever asked for what (rules G2 to G5 of the attacks)."""

import re

import httpx2

LEAKS = (
    *("Traceback", "sqlalchemy", "asyncpg", "psycopg", "aiosqlite", "site-packages", "/usr/"),
    *("$argon2", "BEGIN PRIVATE KEY"),
)
VERSIONED = re.compile(r"(?i)\b(python|uvicorn|fastapi|starlette|pydantic|h11)/\d")
SECRET = re.compile(r"eyJ[\w-]{8,}\.|ml[a-z]_[0-9A-Za-z]{46,}")
# Where somebody gets a token, a key or a link of their own, or an admin reads what was mailed.
_GIVING = re.compile(
    r"/api/v1/("
    r"auth/(register|login|login/mfa|login/mfa/confirm|refresh|setup|switch|invitations/accept"
    r"|password/change|device|device/token|oidc/.*)"
    r"|api-keys|webhooks(/[^/]+/secret)?|service-accounts/[^/]+/keys"
    r"|users/invitations(/[^/]+/resend)?|tenants|outbox/[^/]+)"
)
_PUBLISHED = "/.well-known/jwks.json"  # which may be kept for a while
_SENT_TO = "/api/v1/auth/oidc/"
_ELSEWHERE = "/problems/identity-provider-unavailable"


def _faults_elsewhere(answer: httpx2.Response) -> bool:
    """Somebody else's server did not answer us as it should, and we say so."""
    return answer.status_code == 503 and answer.json()["type"] == _ELSEWHERE


def _seen_by_a_person(request: httpx2.Request) -> bool:
    """Where another site sends browsers to, one of them asks."""
    asked = request.headers.get("accept", "")
    return request.url.path.startswith(_SENT_TO) and "text/html" in asked


def is_stream(answer: httpx2.Response) -> bool:
    """Whether it ends when the server wants it to."""
    return str(answer.headers.get("content-type", "")).startswith("text/event-stream")


def keeps_the_rules(answer: httpx2.Response) -> None:
    """Of an answer that was read, unless it is a stream."""
    request, headers = answer.request, answer.headers
    what = f"{request.method} {request.url} -> {answer.status_code}"
    assert answer.status_code < 500 or _faults_elsewhere(answer), what
    kind = headers.get("content-type", "")
    assert headers["x-content-type-options"] == "nosniff", what
    assert headers["x-request-id"], what
    if request.url.path != _PUBLISHED:
        assert headers["cache-control"] == "no-store", what
    if answer.is_error:
        mlflow = "mlflow" in request.url.path
        shapes = {"application/problem+json", "application/json" if mlflow else ""}
        if _seen_by_a_person(request):
            shapes = {"text/html; charset=utf-8"}
        assert kind in shapes, what
    if answer.status_code == 401:
        assert headers["www-authenticate"].startswith("Bearer"), what
    if answer.status_code == 429:
        assert int(headers["retry-after"]) > 0, what
    for text in (str(headers), "" if is_stream(answer) else answer.text):
        assert not any(leak in text for leak in LEAKS), what
        assert not VERSIONED.search(text), what
        gives = not answer.is_error and _GIVING.fullmatch(request.url.path)
        assert gives or not SECRET.search(text), f"{what} holds {SECRET.search(text)}"
