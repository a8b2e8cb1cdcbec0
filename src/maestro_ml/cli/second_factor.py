"""Asking a person for their second factor, and showing what they have to keep of it."""

import io
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from maestro_ml.cli.output import Refused, give, say

if TYPE_CHECKING:
    from maestro_ml.client.views import Challenge, Enrolment


class Asking:
    """How a sign-in asks: at the terminal, or of the line behind the password's."""

    def __init__(self, *, stdin: bool) -> None:
        self._stdin = stdin

    def code(self, challenge: "Challenge") -> str:
        recovery = ", or a recovery code" if "recovery_code" in challenge.methods else ""
        return self.one_code(f"Code of your authenticator app{recovery}")

    def one_code(self, question: str) -> str:
        """Raises:
        Refused: there is nobody to ask.
        """
        if self._stdin:
            return sys.stdin.readline().strip()
        if not sys.stdin.isatty():
            raise Refused(
                "This asks for a code of your authenticator app, and there is no terminal: give "
                "--password-stdin, and the code on the line after the password."
            )
        answer: str = typer.prompt(question, err=True)
        return answer.strip()

    def first_code(self, enrolment: "Enrolment") -> str:
        """Raises:
        Refused: there is nobody to show the secret to.
        """
        if self._stdin or not sys.stdin.isatty():
            raise Refused(
                "A second factor has to be set up first: do this once at a terminal, without "
                "--password-stdin."
            )
        say("A second factor is needed. Scan this with an authenticator app:")
        say(qr(enrolment.otpauth_uri))
        say(f"Or type this secret into it: {enrolment.secret}")
        return self.one_code("The code that it shows now")


def qr(text: str) -> str:
    """As blocks that a terminal can show."""
    import segno  # nobody else waits for it

    picture = io.StringIO()
    segno.make(text, error="l").terminal(picture, compact=True, border=2)
    return picture.getvalue()


def show_codes(codes: Sequence[str]) -> None:
    """Recovery codes, which are seen this once."""
    if codes:
        say("Recovery codes. Each stands in for the app once; keep them where the app is not:")
    for code in codes:
        give(code)
