"""The caller's own second factor. All of it needs a session (`client.auth.login`)."""

from typing import Any

from maestro_ml.client.transport import Transport
from maestro_ml.client.views import Enrolment, MfaState


class Mfa:
    """A `code` is the app's, or a recovery code in its place: each works once."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def state(self) -> MfaState:
        """Whether there is one, and who asks for it."""
        return MfaState.model_validate(self._transport.ask("GET", "/auth/mfa"))

    def begin(self, *, password: str | None = None, code: str | None = None) -> Enrolment:
        """A new secret for an app. Where there is a factor, a `code` of it lets this one take its
        place."""
        body = _proof(code) | ({} if password is None else {"current_password": password})
        return Enrolment.model_validate(self._transport.ask("POST", "/auth/mfa/totp", json=body))

    def confirm(self, code: str) -> list[str]:
        """The new app's first code: it is asked for from now on. Gives ten recovery codes, which
        are in this answer and nowhere else."""
        return self._codes("/auth/mfa/totp/confirm", {"code": code})

    def renew_recovery_codes(self, code: str) -> list[str]:
        """Ten new ones; the old ones are dead."""
        return self._codes("/auth/mfa/recovery-codes", _proof(code))

    def disable(self, *, code: str, password: str | None = None) -> None:
        """Go on with a password alone, where no tenant asks for more."""
        body = _proof(code) | ({} if password is None else {"current_password": password})
        self._transport.ask("POST", "/auth/mfa/disable", json=body)

    def _codes(self, path: str, body: Any) -> list[str]:
        return [*self._transport.ask("POST", path, json=body)["recovery_codes"]]


def _proof(code: str | None) -> dict[str, str]:
    return {} if code is None else proof_of(code)


def proof_of(code: str) -> dict[str, str]:
    """What is sent of a code, be it an app's six digits or a recovery code."""
    digits = code.replace(" ", "")
    if len(digits) == 6 and digits.isascii() and digits.isdigit():
        return {"code": digits}
    return {"recovery_code": code}
