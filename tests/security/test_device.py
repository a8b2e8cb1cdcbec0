"""A terminal that signs in by a link: through the command line, the SDK and the page."""

import os
import pty
import re
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from maestro_ml.client import MaestroApiError, MaestroClient, NotFound
from support.live import Cast, LiveServer

CODE = re.compile(r"code ([B-Z]{4}-[B-Z]{4})")


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("MAESTRO_")}
    return clean | {"MAESTRO_CONFIG_DIR": str(tmp_path / "config"), "NO_COLOR": "1"}


def begun(cast: Cast, env: dict[str, str], **options: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "maestro_ml.cli.main", "login", "--device", "--url", cast.url]
    return subprocess.Popen(command, env=env, text=True, stdout=subprocess.PIPE, **options)


def code_shown(words: Any) -> str:
    said = ""
    for line in words:
        said += line
        if found := CODE.search(said):
            return found[1]
    raise AssertionError(said)


def test_the_command_line_signs_in(cast: Cast, env: dict[str, str]) -> None:
    login = begun(cast, env, stderr=subprocess.PIPE)
    assert login.stderr is not None
    code = code_shown(login.stderr)
    with MaestroClient(cast.url, cast["memberA"].token) as member:
        waiting = member.devices.pending(code)
        assert (waiting.client or "").startswith("maestro login on ")
        assert waiting.ip == "127.0.0.1"
        member.devices.approve(code)
        with pytest.raises(NotFound):
            member.devices.deny(code)
    out, err = login.communicate(timeout=60)
    assert (login.returncode, out) == (0, "")
    assert f"as {cast['memberA'].email}" in err
    assert "Waiting" not in err  # nothing that moves in a file
    whoami = [sys.executable, "-m", "maestro_ml.cli.main", "whoami"]
    told = subprocess.run(whoami, env=env, text=True, capture_output=True, check=True)
    assert "member in Tenant A" in told.stdout


def test_denied_it_says_so_and_keeps_nothing(cast: Cast, env: dict[str, str]) -> None:
    login = begun(cast, env, stderr=subprocess.PIPE)
    assert login.stderr is not None
    with MaestroClient(cast.url, cast["memberA"].token) as member:
        member.devices.deny(code_shown(login.stderr))
    _, err = login.communicate(timeout=60)
    assert login.returncode == 1
    assert "denied" in err
    assert not Path(env["MAESTRO_CONFIG_DIR"]).exists()


def test_given_up_at_a_terminal_it_leaves_a_clean_line(cast: Cast, env: dict[str, str]) -> None:
    ours, theirs = pty.openpty()
    login = begun(cast, env, stderr=theirs)
    os.close(theirs)
    said = ""
    while "Waiting for your approval" not in said:
        said += os.read(ours, 4096).decode()
    login.send_signal(signal.SIGINT)
    assert login.wait(30) == 130
    with suppress(OSError):  # how a pseudo terminal says that it has ended
        while more := os.read(ours, 4096):
            said += more.decode()
    os.close(ours)
    login.communicate()
    assert "Given up: nobody was signed in." in said
    assert "Traceback" not in said


def test_a_key_may_not_approve(cast: Cast, live: LiveServer) -> None:
    with MaestroClient(cast.url, cast["memberA"].token) as member:
        key = member.api_keys.create("approver", scopes=["read", "write"])
        code = member.devices.start().user_code
        with MaestroClient(cast.url, key.token) as machine:
            for verb in (machine.devices.approve, machine.devices.deny, machine.devices.pending):
                with pytest.raises(MaestroApiError) as refused:
                    verb(code)
                assert refused.value.status == 403
        member.devices.deny(code)
        member.api_keys.revoke(key.id)
    log = live.logged.read_text()
    assert code not in log
    assert code.replace("-", "") not in log


@pytest.mark.rows(75)
def test_another_site_approves_nothing_with_the_browsers_cookie(cast: Cast) -> None:
    person = cast["memberA"]
    with cast.client() as browser:
        login = {"email": person.email, "password": person.password}
        entered = browser.post("/auth/login", json=login, headers={"X-Client": "web"})
        cookie = {"Cookie": entered.headers["set-cookie"].partition(";")[0]}
        proof = {"X-CSRF-Token": entered.json()["csrf_token"]}
        code = browser.post("/auth/device", json={}).json()["user_code"]
        for headers in (
            {"Origin": cast.url},
            proof | {"Origin": "https://evil.test"},
            proof | {"Origin": "null"},
            proof,
        ):
            answer = browser.post(
                "/auth/device/approve", json={"user_code": code}, headers=cookie | headers
            )
            assert answer.status_code == 403
        right = cookie | proof | {"Origin": cast.url}
        answer = browser.post("/auth/device/approve", json={"user_code": code}, headers=right)
        assert answer.status_code == 204
