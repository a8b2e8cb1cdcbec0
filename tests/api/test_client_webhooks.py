"""Webhooks by the SDK and the command line, against a live server; and the guide's own check."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from maestro_ml.client import Invalid, MaestroClient, NotFound
from maestro_ml.client.views_webhooks import Delivery
from support.hooks import Receiver, a_receiver
from support.issuer import HOST
from support.leaks import secret
from support.live import LiveServer, a_password

Command = Callable[..., subprocess.CompletedProcess[str]]
GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "webhooks.md"
MINE = secret("wh-74d0b2c91e6a3f")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    folder = tmp_path_factory.mktemp("webhooks") / "data"
    with LiveServer(folder, {"MAESTRO_OUTBOUND__ALLOW": HOST}) as server:
        yield server


@pytest.fixture(scope="module")
def root(server: LiveServer) -> Iterator[MaestroClient]:
    with MaestroClient(server.url) as client:
        token = server.setup_token()
        client.auth.setup(token=token, email="r@maestro.test", password=a_password(), name="R")
        client.projects.create("Churn")
        yield client


@pytest.fixture(scope="module")
def key(root: MaestroClient) -> str:
    return root.api_keys.create("cli", scopes=["read", "write", "admin"]).token


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with a_receiver() as receiver:
        yield receiver


@pytest.fixture
def maestro(server: LiveServer, key: str, tmp_path: Path) -> Command:
    env = {k: v for k, v in os.environ.items() if not k.startswith("MAESTRO_")}
    env |= {"MAESTRO_URL": server.url, "MAESTRO_TOKEN": key, "MAESTRO_CONFIG_DIR": str(tmp_path)}

    def run(*args: str, typed: str = "", code: int = 0) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, "-m", "maestro_ml.cli.main", "webhooks", *args]
        done = subprocess.run(
            line, input=typed, capture_output=True, text=True, check=False, env=env, timeout=60
        )
        assert done.returncode == code, done.stderr
        return done

    return run


def ended(root: MaestroClient, id: Any, count: int) -> list[Delivery]:
    """So many deliveries, once nobody tries them any more."""
    for _ in range(600):
        found = list(root.webhooks.deliveries(id))
        if len(found) == count and all(one.state != "waiting" for one in found):
            return found
        time.sleep(0.1)
    raise AssertionError(found)


def test_the_sdk_keeps_them(root: MaestroClient, receiver: Receiver) -> None:
    project = root.projects.get("churn").id
    made = root.webhooks.create(
        "Chat",
        url=receiver.url,
        events=["project.changed"],
        project_id=project,
        filters={"project.changed": {"slug": ["churn"]}},
    )
    assert made.secret
    assert receiver.url not in repr(made)
    assert root.webhooks.get(made.id).secret is None
    assert made.id in {one.id for one in root.webhooks.list(project_id=project)}
    assert root.webhooks.test(made.id).works
    root.projects.update("churn", description="New")
    new, _ = ended(root, made.id, 2)
    assert (new.event, new.attempts, new.last_status) == ("project.changed", 1, 200)
    again = root.webhooks.replay(made.id, new.id)
    assert (again.event_id, again.replay_of) == (new.event_id, new.id)
    assert len(ended(root, made.id, 3)) == 3
    assert list(root.webhooks.deliveries(made.id, state="dead")) == []
    rotated = root.webhooks.rotate_secret(made.id, MINE)
    assert (rotated.secret, rotated.previous_key_id) == (None, made.key_id)
    root.webhooks.test(made.id)
    assert receiver.got[-1].is_signed_by(MINE)
    assert receiver.got[-1].is_signed_by(made.secret)
    off = root.webhooks.update(made.id, status="disabled", filters={})
    assert (off.status, off.filters) == ("disabled", {})
    with pytest.raises(Invalid, match=r"run\.finished"):
        root.webhooks.update(made.id, events=["run.finishd"])
    root.webhooks.delete(made.id)
    with pytest.raises(NotFound):
        root.webhooks.get(made.id)


def test_a_sign_in_is_told(server: LiveServer, root: MaestroClient, receiver: Receiver) -> None:
    """Of the tenant, from outside of its own sessions."""
    made = root.webhooks.create("Guard", url=receiver.url, events=["session.started"])
    password = a_password()
    offer = root.users.invite(email="ada@maestro.test", role="viewer")
    with MaestroClient(server.url) as ada:
        ada.auth.accept_invitation(token=offer.token or "", password=password, name="Ada")
        ended(root, made.id, 1)
        ada.auth.login(email="ada@maestro.test", password=password)
        new, _ = ended(root, made.id, 2)
        assert new.payload["data"]["user_id"] == str(ada.auth.me().id)
    assert password not in str(new)
    root.webhooks.delete(made.id)


def test_the_command_line_keeps_them(maestro: Command, receiver: Receiver) -> None:
    place = ("--project", "churn")
    made = maestro(
        *("create", "chat", receiver.url, *place, "--on", "run.finished"),
        *("--only", "run.finished:status=FAILED", "--only", "run.finished:status=KILLED"),
    )
    assert made.stdout.startswith("mlw_")
    shown = maestro("show", "chat").stdout
    assert '"status": ["FAILED", "KILLED"]' in shown
    assert made.stdout.strip() not in shown
    assert "chat" in maestro("list", *place).stdout
    assert "answered 200" in maestro("test", "chat").stderr
    assert receiver.got[0].is_signed_by(made.stdout.strip())
    receiver.status = 500
    assert "answered 500" in maestro("test", "chat", code=1).stderr
    log = maestro("deliveries", "chat", "--state", "dead").stdout
    assert "The receiver answered 500." in log
    receiver.status = 200
    dead = log.splitlines()[1].split()[0]
    again = maestro("replay", "chat", dead).stdout.strip()
    assert again in maestro("deliveries", "chat").stdout
    rotated = maestro("rotate-secret", "chat", "--secret-stdin", typed=f"{MINE}\n")
    assert "The old secret signs as well until" in rotated.stderr
    assert MINE not in rotated.stdout + rotated.stderr
    changed = maestro("change", "chat", "--on", "project.changed", "--disable").stdout
    assert "disabled" in changed
    assert "project.changed" in changed
    assert "give --yes" in maestro("delete", "chat", code=1).stderr
    assert "is deleted" in maestro("delete", "chat", "--yes").stderr
    assert "There is no webhook" in maestro("show", "chat", code=1).stderr
    assert "There are none" in maestro("list", *place).stderr


def test_the_command_line_says_what_is_missing(maestro: Command, receiver: Receiver) -> None:
    on = ("--on", "session.started")
    assert "--project NAME, or --tenant" in maestro("create", "x", receiver.url, *on, code=2).stderr
    assert "--on EVENT" in maestro("create", "x", receiver.url, "--tenant", code=2).stderr
    wrong = maestro("create", "x", receiver.url, "--tenant", *on, "--only", "status", code=2)
    assert "EVENT:FIELD=VALUE" in wrong.stderr
    assert "say what to change" in maestro("change", "x", code=2).stderr
    for _ in range(2):
        maestro("create", "twin", receiver.url, "--tenant", *on)
    twins = maestro("show", "twin", code=1).stderr
    assert "name one by its id" in twins
    for id in re.findall(r"[0-9a-f-]{36}", twins):
        maestro("delete", id, "--yes")


def test_the_check_in_the_guide_checks(root: MaestroClient, receiver: Receiver) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    told: dict[str, Any] = {}
    exec(code, told)
    is_from_maestro = told["is_from_maestro"]
    made = root.webhooks.create("Guide", url=receiver.url, events=["session.started"])
    assert made.secret
    root.webhooks.test(made.id)
    root.webhooks.rotate_secret(made.id, MINE)
    root.webhooks.test(made.id)
    first, second = receiver.got
    signature = first.headers["X-Maestro-Signature"]
    assert is_from_maestro(first.body, signature, made.secret)
    assert not is_from_maestro(first.body + b" ", signature, made.secret)
    assert not is_from_maestro(first.body, signature, MINE)
    assert not is_from_maestro(first.body, signature, made.secret, tolerance=-1)
    for wrong in ("", "t=,v1=", "v1=" + "0" * 64, signature.replace("t=", "t=1")):
        assert not is_from_maestro(first.body, wrong, made.secret)
    both = second.headers["X-Maestro-Signature"]
    assert is_from_maestro(second.body, both, made.secret)
    assert is_from_maestro(second.body, both, MINE)
    root.webhooks.delete(made.id)
