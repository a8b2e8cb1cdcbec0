"""`maestro login --device`: signing in by a link that is opened in a browser, here or elsewhere."""

import sys
import time
from typing import TYPE_CHECKING

import typer

from maestro_ml.cli.output import Refused, harmless, say

if TYPE_CHECKING:
    from maestro_ml.client import MaestroClient
    from maestro_ml.client.views import SignIn

INTERRUPTED = 130
_SLOWER = 5


def sign_in(client: "MaestroClient", name: str) -> "SignIn":
    """Show a link and a code, and wait until somebody has approved them.

    Raises:
        Refused: it was denied, took too long, or was given up.
    """
    waiting = client.devices.start(name)
    say(
        f"Open {waiting.verification_uri_complete}\n"
        f"in a browser, compare the code {waiting.user_code} and approve it.\n"
        f"On another device: {waiting.verification_uri}"
    )
    ends = time.monotonic() + waiting.expires_in
    interval = waiting.interval
    try:
        while (left := ends - time.monotonic()) > 0:
            _wait(min(interval, left), ends)
            found = _asked(client, waiting.device_code)
            if not isinstance(found, str):
                return found
            if found == "slow-down":
                interval += _SLOWER
    except KeyboardInterrupt:
        raise Refused("Given up: nobody was signed in.", INTERRUPTED) from None
    finally:
        _show("")
    raise Refused("Nobody approved it in time: run `maestro login --device` again.")


def _asked(client: "MaestroClient", device_code: str) -> "SignIn | str":
    """The session, or why there is none yet."""
    from maestro_ml.client import MaestroApiError

    try:
        return client.devices.finish(device_code)
    except MaestroApiError as refused:
        if refused.code in {"authorization-pending", "slow-down"}:
            return refused.code
        if refused.code == "access-denied":
            raise Refused("It was denied in the browser: nobody was signed in.") from None
        raise


def _wait(seconds: float, ends: float) -> None:
    """Second by second, so that a person sees that something goes on."""
    until = time.monotonic() + seconds
    while (now := time.monotonic()) < until:
        left = max(0, int(ends - now))
        _show(f"Waiting for your approval, {left // 60}:{left % 60:02} left (Ctrl-C gives up)")
        time.sleep(min(1.0, until - now))


def _show(words: str) -> None:
    if sys.stderr.isatty():
        typer.echo(f"\r\x1b[2K{harmless(words)}", err=True, nl=False)
