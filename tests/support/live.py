"""A server as an operator runs it: its own process, its own data folder, loopback only."""

import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from support.dump import beside
from support.leaks import STDOUT, in_files, in_process, in_rows, leaks, note, secret
from support.proof import record
from support.sources import TLS, transport_from

METRICS_TOKEN = "for Prometheus, and for no person"
STARTS = 180  # seconds at most, on a machine that is busy
SETUP = re.compile(r"mls_[0-9A-Za-z]+")


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


class LiveServer:
    """`maestro serve`, started and stopped; what it printed and logged is kept in files."""

    def __init__(self, data: Path, env: Mapping[str, str] | None = None, *args: str) -> None:
        self.data = data
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.printed = data.with_name(f"{data.name}.stdout")
        self.logged = data.with_name(f"{data.name}.stderr")
        self._env = {k: v for k, v in os.environ.items() if not k.startswith("MAESTRO_")}
        self._env |= env or {}
        self._args = args
        self.process: subprocess.Popen[bytes] | None = None
        self._leaked: list[str] = []

    @property
    def database(self) -> str:
        """Where it keeps its rows, for tests that look at, or change, what no route does."""
        own = f"sqlite+aiosqlite:///{self.data / 'maestro.db'}"
        return self._env.get("MAESTRO_DATABASE__URL", own)

    def start(self) -> "LiveServer":
        self.process = self._launched("serve", "--port", str(self.port), *self._args)
        deadline = time.monotonic() + STARTS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            try:
                if httpx2.get(f"{self.url}/health", timeout=2, verify=TLS).status_code == 200:
                    return self
            except httpx2.TransportError:
                time.sleep(0.05)
        self.kill()
        raise AssertionError(f"no answer from the server:\n{self.words()}")

    def _launched(self, *command: str) -> subprocess.Popen[bytes]:
        with self.printed.open("ab") as out, self.logged.open("ab") as err:
            return subprocess.Popen(
                [
                    *(sys.executable, "-m", "maestro_ml.cli.main"),
                    *(*command, "--data", str(self.data)),
                ],
                stdout=out,
                stderr=err,
                env=self._env,
            )

    def words(self) -> str:
        return self.printed.read_text() + self.logged.read_text()

    def setup_token(self) -> str:
        found = SETUP.findall(self.printed.read_text())
        assert found, self.words()
        return str(found[-1])

    def stop(self) -> int:
        assert self.process is not None
        if self.process.poll() is None:
            self._leaked += leaks(in_process(self.process.pid))
            self.process.send_signal(signal.SIGINT)
        return self.process.wait(15)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(15)

    def __enter__(self) -> "LiveServer":
        return self.start()

    def __exit__(self, failed: object, *_: object) -> None:
        if self.process is not None and self.process.poll() is None:
            self.stop()
        if failed is None:
            self.keeps_its_secrets()

    def keeps_its_secrets(self) -> None:
        """Neither its rows nor its files nor what it said hold any in clear, nor did its process
        while it ran."""
        said = [(STDOUT, self.printed.read_bytes()), ("the log", self.logged.read_bytes())]
        files = in_files(self.data, *beside(self.database))
        self._leaked += leaks([*said, *files, *in_rows(self.database)])
        record("servers searched for secrets in clear", 1)
        assert not self._leaked, "\n".join(self._leaked)


def a_name() -> str:
    """Not a password: those are searched for everywhere."""
    return f"N {secrets.token_hex(9)}"


def a_password() -> str:
    return secret(secrets.token_urlsafe(18))


TOKENS_LAST = 10 * 60  # seconds: five minutes less than in truth


@dataclass
class Person:
    """Somebody with an account, as they know themselves."""

    email: str
    password: str
    token: str
    refresh: str
    id: str
    role: str
    since: float = field(default_factory=time.monotonic)

    @property
    def bearer(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}


@dataclass
class Cast:
    """Tenant A with one person per role, tenant B with an admin and a viewer, and who runs it."""

    url: str
    people: dict[str, Person] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    standing: tuple[str, ...] = ()

    def __getitem__(self, name: str) -> Person:
        return self.people[name]

    def awake(self) -> None:
        """Who is always there signs in anew before their token ends: a cast plays for longer."""
        for name in self.standing:
            if time.monotonic() - self[name].since > TOKENS_LAST:
                self.sign_in(name)

    def client(self, name: str | None = None) -> httpx2.Client:
        """A client as that person, as the owner of that key, or as nobody; on its own address."""
        headers: dict[str, str] = {}
        if name in self.keys:
            headers = {"Authorization": f"Bearer {self.keys[name]}"}
        elif name is not None:
            headers = self[name].bearer
        return httpx2.Client(
            base_url=f"{self.url}/api/v1", headers=headers, timeout=30, transport=transport_from()
        )

    def somebody(self, **changes: str) -> Person:
        """New: registered just now, as a viewer of the default tenant."""
        name = secrets.token_hex(6)
        body = {"email": f"{name}@someone.test", "password": a_password(), "name": "Some One"}
        body |= changes
        with self.client() as nobody:
            return self.keep(name, body["password"], ok(nobody.post("/auth/register", json=body)))

    def sign_in(self, name: str) -> Person:
        """Anew, for instance when their sessions have ended."""
        person = self[name]
        body = {"email": person.email, "password": person.password}
        with self.client() as nobody:
            return self.keep(name, person.password, ok(nobody.post("/auth/login", json=body)))

    def keep(self, name: str, password: str, answer: dict[str, Any]) -> Person:
        user = answer["user"]
        self.people[name] = Person(
            email=user["email"],
            password=password,
            token=answer["access_token"],
            refresh=answer["refresh_token"],
            id=user["id"],
            role=user["role"],
        )
        return self.people[name]


def ok(answer: httpx2.Response) -> Any:
    assert answer.is_success, f"{answer.request.method} {answer.request.url}: {answer.text}"
    told = answer.json() if answer.content else None
    note(told)
    return told


def a_cast(server: LiveServer) -> Cast:
    """Everybody, made through the API."""
    cast = Cast(server.url)
    with cast.client() as nobody:
        password = a_password()
        body = {"email": "root@maestro.test", "password": password, "name": "Root"}
        cast.keep(
            "root",
            password,
            ok(nobody.post("/auth/setup", json=body | {"token": server.setup_token()})),
        )
        for letter in "AB":
            with cast.client("root") as root:
                tenant = {"name": f"Tenant {letter}", "slug": f"tenant-{letter.lower()}"}
                made = ok(
                    root.post("/tenants", json=tenant | {"admin_email": f"admin@{letter}.test"})
                )
            _accept(cast, f"admin{letter}", made["invitation"]["token"])
            roles = ("maintainer", "member", "viewer") if letter == "A" else ("viewer",)
            for role in roles:
                with cast.client(f"admin{letter}") as admin:
                    invitation = {"email": f"{role}@{letter}.test", "role": role}
                    made = ok(admin.post("/users/invitations", json=invitation))
                _accept(cast, f"{role}{letter}", made["token"])
    cast.standing = tuple(cast.people)
    return cast


def _accept(cast: Cast, name: str, token: str) -> None:
    password = a_password()
    body = {"token": token, "password": password, "name": name}
    with cast.client() as nobody:
        cast.keep(name, password, ok(nobody.post("/auth/invitations/accept", json=body)))
