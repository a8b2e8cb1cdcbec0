"""The SDK and the command line against a live server: a second factor, sessions, tenants."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyotp
import pytest
from sqlalchemy import update

from maestro_ml.client import Forbidden, MaestroClient, MfaRequired, NotFound, Unauthenticated
from maestro_ml.client.views import Enrolment
from maestro_ml.core.clock import utc_now
from maestro_ml.core.ids import new_id
from maestro_ml.db.engine import make_engines
from maestro_ml.db.tenants import SYSTEM
from maestro_ml.db.work import Sessions
from maestro_ml.tenancy.models import Tenant
from support.live import LiveServer, a_password

ROOT, PASSWORD = "root@maestro.test", a_password()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    data = tmp_path_factory.mktemp("mfa") / "data"
    env = {"MAESTRO_DATABASE__URL": f"sqlite+aiosqlite:///{data.with_suffix('.db')}"}
    with LiveServer(data, env) as server:
        with MaestroClient(server.url) as client:
            client.auth.setup(
                token=server.setup_token(), email=ROOT, password=PASSWORD, name="Root"
            )
        yield server


class Person:
    """Somebody with an app, at a terminal that this test types into."""

    def __init__(self, server: LiveServer, folder: Path) -> None:
        self.server, self.folder = server, folder
        self.email, self.password = f"{new_id().hex}@maestro.test", a_password()
        self.codes: list[str] = []
        with MaestroClient(server.url) as client:
            client.auth.register(email=self.email, password=self.password, name="Ada")
            begun = client.mfa.begin(password=self.password)
            self.codes = client.mfa.confirm(first_code(begun))

    def types(self, *args: str, lines: int = 1) -> subprocess.CompletedProcess[str]:
        """A command, with the password and then recovery codes on its standard input."""
        sent = [self.password, *(self.codes.pop() for _ in range(lines))]
        return subprocess.run(
            [sys.executable, "-m", "maestro_ml.cli.main", *args, "--password-stdin"],
            env={"MAESTRO_CONFIG_DIR": str(self.folder), "PATH": ""},
            input="\n".join(sent) + "\n",
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )


def first_code(enrolment: Enrolment) -> str:
    return pyotp.TOTP(enrolment.secret).at(utc_now())


@pytest.fixture
def ada(server: LiveServer, tmp_path: Path) -> Person:
    return Person(server, tmp_path / "config")


async def asks_for_two(server: LiveServer, slug: str, *, wish: bool) -> None:
    engines = make_engines(server.database)
    async with Sessions(engines).begin(SYSTEM) as session:
        await session.execute(update(Tenant).where(Tenant.slug == slug).values(mfa_required=wish))
    await engines.dispose()


def test_a_sign_in_asks_for_the_code(server: LiveServer, ada: Person) -> None:
    with MaestroClient(server.url) as client:
        with pytest.raises(MfaRequired) as asked:
            client.auth.login(email=ada.email, password=ada.password)
        assert asked.value.challenge.methods == ["totp", "recovery_code"]
        assert asked.value.challenge.mfa_token not in repr(asked.value.challenge)
        client.auth.finish(asked.value.challenge, code=lambda _: ada.codes.pop())
        assert client.auth.me().email == ada.email
        with pytest.raises(Forbidden, match="code is wrong"):
            client.auth.login(email=ada.email, password=ada.password, code=lambda _: "000 000")


def test_a_factor_is_seen_renewed_and_taken_away(server: LiveServer, ada: Person) -> None:
    with MaestroClient(server.url) as client:
        client.auth.login(email=ada.email, password=ada.password, code=lambda _: ada.codes.pop())
        state = client.mfa.state()
        assert (state.enabled, state.recovery_codes_left, state.required_by) == (True, 9, [])
        codes = client.mfa.renew_recovery_codes(ada.codes.pop())
        begun = client.mfa.begin(password=ada.password, code=codes[0])
        assert begun.secret not in repr(begun)
        codes = client.mfa.confirm(first_code(begun))
        client.mfa.disable(password=ada.password, code=codes[0])
        assert not client.mfa.state().enabled


async def test_who_needs_a_factor_sets_one_up_on_the_way_in(server: LiveServer) -> None:
    email, password = f"{new_id().hex}@maestro.test", a_password()
    await asks_for_two(server, "default", wish=True)
    try:
        with MaestroClient(server.url) as client:
            with pytest.raises(MfaRequired):
                client.auth.register(email=email, password=password, name="Bob")
            signed_in = client.auth.login(email=email, password=password, enrol=first_code)
            assert len(signed_in.recovery_codes) == 10
            assert signed_in.recovery_codes[0] not in repr(signed_in)
            assert client.mfa.state().required_by == ["default"]
    finally:
        await asks_for_two(server, "default", wish=False)


def test_sessions_are_listed_and_ended(server: LiveServer) -> None:
    with MaestroClient(server.url) as here, MaestroClient(server.url) as there:
        for client in (here, there):
            client.auth.login(email=ROOT, password=PASSWORD)
        other = next(one for one in here.sessions.list() if not one.current)
        assert other.device == "Maestro's command line or SDK"
        here.sessions.end(other.id)
        with pytest.raises(Unauthenticated):
            there.auth.me()
        with pytest.raises(NotFound):
            here.sessions.end(other.id)


def test_a_client_goes_on_in_another_tenant(server: LiveServer) -> None:
    with MaestroClient(server.url) as root:
        root.auth.login(email=ROOT, password=PASSWORD)
        made = root.tenants.create(name="Lab", slug="lab", admin_email=ROOT)
        token = made.invitation.token or ""
        root.auth.accept_invitation(token=token, password=PASSWORD, name="Root")
        assert [tenant.slug for tenant in root.auth.tenants()] == ["default", "lab"]
        there = root.auth.switch("default").user.tenant
        assert there is not None
        assert there.slug == "default"
        with pytest.raises(NotFound):
            root.auth.switch("nowhere")


def test_commands_ask_for_the_code_on_the_line_after_the_password(ada: Person) -> None:
    login = ada.types("login", "--url", ada.server.url, "--email", ada.email)
    assert login.returncode == 0, login.stderr
    status = ada.types("mfa", "status")
    assert "recovery codes left  8" in status.stdout
    listed = ada.types("sessions", "list", "--json")
    assert '"current": true' in listed.stdout
    mine = ada.types("tenants", "mine")
    assert "default" in mine.stdout
    switched = ada.types("switch", "default")
    assert switched.returncode == 0, switched.stderr
    ended = ada.types("sessions", "end-all", "--yes")
    assert ended.returncode == 0, ended.stderr
    gone = ada.types("sessions", "end", str(new_id()), "--yes")
    assert (gone.returncode, gone.stderr.splitlines()[-1]) == (1, "You have no such session.")
    script = ada.types("mfa", "enable", lines=0)
    assert (script.returncode, "at a terminal, without --password-stdin" in script.stderr) == (
        1,
        True,
    )
    off = ada.types("mfa", "disable", "--yes", lines=2)
    assert off.returncode == 0, off.stderr
    assert "enabled              no" in ada.types("mfa", "status", lines=0).stdout


def test_who_runs_the_server_helps_who_has_lost_everything(ada: Person) -> None:
    def reset(email: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "maestro_ml.cli.main", "admin", "reset-mfa", email, "--yes"],
            env={"MAESTRO_DATABASE__URL": ada.server.database, "PATH": ""},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    with MaestroClient(ada.server.url) as client:
        client.auth.login(email=ada.email, password=ada.password, code=lambda _: ada.codes.pop())
        done = reset(ada.email)
        assert done.returncode == 0, done.stderr
        with pytest.raises(Unauthenticated):
            client.auth.me()
        client.auth.login(email=ada.email, password=ada.password)
    assert "has a second factor" in reset(ada.email).stderr
    assert reset("nobody@maestro.test").returncode == 1


def test_a_command_that_cannot_ask_says_what_to_do(ada: Person) -> None:
    wrong = ada.types("login", "--url", ada.server.url, "--email", ada.email, lines=0)
    assert wrong.returncode == 1
    assert "Traceback" not in wrong.stderr
    asked = ada.types("mfa", "disable", lines=2)
    assert (asked.returncode, "give --yes" in asked.stderr) == (1, True)
