"""`maestro serve`, done here: check what can be wrong, then listen until told to stop."""

import errno
import gc
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from types import FrameType

import uvicorn

from maestro_ml.api.main import create_app, make_sessions, setup_command
from maestro_ml.api.server import config_for
from maestro_ml.cli.codes import Exit
from maestro_ml.cli.output import FAILED, Refused, give
from maestro_ml.cli.process import folder
from maestro_ml.cli.process.failures import run, told
from maestro_ml.cli.process.settings import warn_of_plain
from maestro_ml.core.settings import Settings
from maestro_ml.db.installation import claim_mode
from maestro_ml.identity.runtime import Identity
from maestro_ml.identity.service.setup import DEV_EMAIL, DEV_PASSWORD
from maestro_ml.migrations.run import upgrade

LONGEST_STOP = 9.5
LOCK_WAIT = 5.0
INTERRUPTED = 130


def serve(settings: Settings, *, leash: bool = False) -> None:
    """Serve until Ctrl-C.

    Raises:
        Refused: something is in the way; the sentence and the exit code say what.
    """
    folder.take(settings.data)
    with closing(listen(settings)) as listening:
        warn_of_plain(settings)
        run(prepare_database(settings))
        port = listening.getsockname()[1]
        settings = settings.model_copy(
            update={"server": settings.server.model_copy(update={"port": port})}
        )
        with told():
            server = Server(settings)
        if leash:
            threading.Thread(target=_end_with_parent, daemon=True).start()
        try:
            server.run(sockets=[listening])
        except SystemExit:  # the web server's own way to give up, with a code that we do not have
            raise Refused("The server could not start; the log above says why.") from None


def listen(settings: Settings) -> socket.socket:
    """The socket that the server answers on, taken before the database is changed."""
    host, port = settings.server.host, settings.server.port
    try:
        family, kind, proto, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind, proto)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(2048)
    except OSError as failed:
        raise Refused(_in_the_way(host, port, failed), Exit.PORT) from None
    return listening


def _in_the_way(host: str, port: int, failed: OSError) -> str:
    if isinstance(failed, socket.gaierror) or failed.errno == errno.EADDRNOTAVAIL:
        return (
            f"{host!r} is no address of this machine: give one with `--host`, such as 127.0.0.1, "
            "or 0.0.0.0 for all there are."
        )
    why = {errno.EADDRINUSE: "is in use", errno.EACCES: "is for the machine's administrator only"}
    said = why.get(failed.errno or 0, f"is not to be had: {failed.strerror}")
    other = port + 1 if 1024 < port < 65535 else 8000
    return f"{host}:{port} {said}. Another port: `--port {other}`."


async def prepare_database(settings: Settings) -> None:
    """Bring it up to date, mark whose it is, and see that its secret key is here."""
    url = settings.database_url
    await upgrade(url, wait=LOCK_WAIT)
    sessions = make_sessions(settings)
    try:
        await claim_mode(sessions, dev=settings.dev)
        identity = Identity.build(settings, sessions)
        await identity.start()  # a secret key that does not fit is told before anybody is answered
        await identity.stop()
    finally:
        await sessions.engines.dispose()


class Server(uvicorn.Server):
    """Says where it answers; ends with exit code 0 when it was told to stop, and at once when told
    twice."""

    def __init__(self, settings: Settings) -> None:
        self.app = create_app(settings, greet=False)
        self.settings = settings
        super().__init__(config_for(self.app, settings))

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            url = self.settings.url
            give(f"Maestro ML answers at {url} (Ctrl-C ends it)")
            if self.settings.dev:
                give(f"Dev mode: sign in as {DEV_EMAIL} with the password {DEV_PASSWORD}")
            if self.app.state.setup_secret is not None:
                give(setup_command(url, self.app.state.setup_secret))
            sys.stdout.flush()
        gc.collect()
        gc.freeze()  # what is loaded stays: walking through it stalls requests for 0.2 s

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        before = {sig: signal.signal(sig, self.handle_exit) for sig in STOP}
        try:
            yield
        finally:
            for sig, handler in before.items():
                signal.signal(sig, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self.should_exit:
            os._exit(INTERRUPTED)
        self.should_exit = True
        last = threading.Timer(LONGEST_STOP, _give_up)
        last.daemon = True
        last.start()


STOP = (signal.SIGINT, signal.SIGTERM)


def _give_up() -> None:
    sys.stderr.write("What is under way takes too long; background jobs will be taken up again.\n")
    os._exit(FAILED)


def _end_with_parent() -> None:
    """Standard input is a pipe that nobody writes to: it ends when the process behind it does."""
    while os.read(0, 4096):  # not the buffered stream: its lock would outlive the interpreter
        continue
    os.kill(os.getpid(), signal.SIGTERM)
