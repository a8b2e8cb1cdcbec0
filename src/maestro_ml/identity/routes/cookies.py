"""The browser's cookie: it holds the session, and no script can read it."""

from typing import Annotated

from fastapi import Header, Response

from maestro_ml.core.settings import Settings
from maestro_ml.identity.credentials import cookie_name
from maestro_ml.identity.entering import Entered
from maestro_ml.identity.lifetimes import STANDARD
from maestro_ml.identity.schemas_mfa import Answer

Client = Annotated[
    str | None,
    Header(
        alias="X-Client",
        max_length=20,
        description="`web`: the session is put into the browser's cookie, and no tokens are sent.",
    ),
]


def answer_of(response: Response, settings: Settings, entered: Entered) -> Answer:
    """What is said to somebody who has signed in; a browser gets its cookie with it."""
    if entered.cookie is not None:
        set_cookie(response, settings, entered.cookie)
    return entered.answer


def set_cookie(response: Response, settings: Settings, value: str) -> None:
    response.set_cookie(
        cookie_name(settings),
        value,
        max_age=int(STANDARD.absolute.total_seconds()),
        path="/",
        secure=not settings.auth.cookie_insecure,
        httponly=True,
        samesite="lax",
    )


def drop_cookie(response: Response, settings: Settings) -> None:
    response.delete_cookie(
        cookie_name(settings),
        path="/",
        secure=not settings.auth.cookie_insecure,
        httponly=True,
        samesite="lax",
    )
