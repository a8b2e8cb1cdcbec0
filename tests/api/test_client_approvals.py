"""Approvals through the SDK and the command line, against a server that has things to approve."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

from maestro_ml.api.main import create_app
from maestro_ml.client import Conflict, Forbidden, Invalid, MaestroClient, NotFound
from maestro_ml.core.ids import new_id
from maestro_ml.core.settings import Settings
from maestro_ml.core.settings_groups import Jobs
from support.live import a_password, ok
from support.served import served
from support.things import KINDS

PASSWORD = a_password()
MLFLOW = "/api/2.0/mlflow"


@dataclass
class Ground:
    """An admin of a tenant, another one, and the command line as each of them."""

    url: str
    ada: MaestroClient
    bob: MaestroClient
    keys: dict[str, str]
    home: Path

    def maestro(self, who: str, *args: str, typed: str = "") -> subprocess.CompletedProcess[str]:
        clean = {k: v for k, v in os.environ.items() if not k.startswith("MAESTRO_")}
        env = clean | {
            "MAESTRO_URL": self.url,
            "MAESTRO_TOKEN": self.keys[who],
            "MAESTRO_CONFIG_DIR": str(self.home),
        }
        command = [sys.executable, "-m", "maestro_ml.cli.main", *args]
        return subprocess.run(
            command, env=env, input=typed, text=True, capture_output=True, check=False, timeout=60
        )

    def a_thing(self) -> str:
        """With the targets 1 and 2."""
        with httpx2.Client(
            base_url=f"{self.url}{MLFLOW}",
            headers={"Authorization": f"Bearer {self.keys['ada']}"},
        ) as http:
            name = {"name": f"churn {new_id().hex[-6:]}"}
            id = ok(http.post("/experiments/create", json=name))["experiment_id"]
            for number in "12":
                tag = {"experiment_id": id, "key": f"files:{number}", "value": f"sha-{number}"}
                ok(http.post("/experiments/set-experiment-tag", json=tag))
        return str(id)


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    folder = tmp_path_factory.mktemp("approvals")
    app = create_app(Settings(data=folder / "data", jobs=Jobs(worker=False)), greet=False)
    app.state.subjects = KINDS
    with served(app) as url, MaestroClient(url) as ada, MaestroClient(url) as bob:
        token = app.state.setup_secret
        ada.auth.setup(token=token, email="ada@maestro.test", password=PASSWORD, name="Ada")
        offer = ada.users.invite(email="bob@maestro.test", role="admin")
        bob.auth.accept_invitation(token=offer.token or "", password=PASSWORD, name="Bob")
        ada.projects.create("Lab")
        keys = {
            name: one.api_keys.create("cli", scopes=["read", "write", "admin"]).token
            for name, one in (("ada", ada), ("bob", bob))
        }
        yield Ground(url, ada, bob, keys, folder / "home")


def test_the_sdk_asks_and_decides(ground: Ground) -> None:
    thing = ground.a_thing()
    asked = ground.ada.approvals.request(
        thing, "production", "1", reason="Better.", subject_kind="thing"
    )
    assert asked.open
    assert (asked.requested_by.name, asked.reason) == ("Ada", "Better.")
    assert asked.id in {one.id for one in ground.bob.approvals.list(awaiting_me=True)}
    assert asked.id not in {one.id for one in ground.ada.approvals.list(awaiting_me=True)}
    assert asked.id in {one.id for one in ground.ada.approvals.list(mine=True, open=True)}
    with pytest.raises(Forbidden, match="asked for this yourself"):
        ground.ada.approvals.approve(asked.id)
    with pytest.raises(Conflict):
        ground.bob.approvals.override(asked.id, reason="now")
    granted = ground.bob.approvals.approve(asked.id, comment="Looks right.")
    assert not granted.open
    assert (str(granted.votes[0].voter), granted.missing) == ("Bob", [])
    assert ground.ada.approvals.get(asked.id) == granted
    again = ground.ada.approvals.request(thing, "production", "2", subject_kind="thing")
    assert ground.bob.approvals.reject(again.id, reason="No.").state == "rejected"
    last = ground.ada.approvals.request(thing, "production", "2", subject_kind="thing")
    assert ground.ada.approvals.withdraw(last.id).state == "withdrawn"
    with pytest.raises(Conflict, match="withdrawn already"):
        ground.ada.approvals.retry(last.id, new_id())
    with pytest.raises(NotFound):
        ground.ada.approvals.get(new_id())
    with pytest.raises(Invalid, match="unicorn"):
        ground.ada.approvals.request(thing, "production", "1", subject_kind="unicorn")


def test_the_sdk_writes_policies(ground: Ground) -> None:
    thing = ground.a_thing()
    of = {"subject_id": thing, "subject_kind": "thing"}
    assert ground.ada.approval_policies.current().number == 0
    made = ground.ada.approval_policies.write({"people": {"votes": 2}}, reason="Care.", **of)
    assert made.policy
    assert made.policy["people"] == {"votes": 2, "role": "maintainer"}
    assert ground.ada.approval_policies.current(thing, subject_kind="thing") == made
    assert list(ground.ada.approval_policies.history(thing, subject_kind="thing")) == [made]
    assert ground.ada.approval_policies.write(None, **of).policy is None
    found = ground.ada.approval_policies.dry_run({"people": {"votes": 9}})
    assert found.looked_at >= len(found.stopped)


def test_the_command_line_asks_and_decides(ground: Ground, tmp_path: Path) -> None:
    thing, typed = ground.a_thing(), f"{PASSWORD}\n"
    asking = ("approvals", "request", thing, "production", "1", "--kind", "thing", "--json")
    asked = json.loads(ground.maestro("ada", *asking).stdout)
    shown = ground.maestro("bob", "approvals", "list", "--awaiting-me")
    assert asked["id"] in shown.stdout
    shown = ground.maestro("ada", "approvals", "show", asked["id"])
    assert "in_review" in shown.stdout
    assert "It takes an approval by a maintainer" in shown.stderr
    own = ground.maestro(
        "ada", "approvals", "approve", asked["id"], "--password-stdin", typed=typed
    )
    assert own.returncode != 0
    assert "asked for this yourself" in own.stderr
    done = ground.maestro(
        "bob", "approvals", "approve", asked["id"], "--password-stdin", typed=typed
    )
    assert "granted" in done.stdout, done.stderr
    assert "Bob (admin): approve" in done.stderr
    asked = json.loads(ground.maestro("ada", *asking[:4], "2", *asking[5:]).stdout)
    no = ("approvals", "reject", asked["id"], "--reason", "No.", "--password-stdin")
    assert "rejected" in ground.maestro("bob", *no, typed=typed).stdout
    asked = json.loads(ground.maestro("ada", *asking[:4], "2", *asking[5:]).stdout)
    refused = ground.maestro(
        "bob",
        *("approvals", "override", asked["id"], "--reason", "x", "--password-stdin"),
        typed=typed,
    )
    assert "allows no override" in refused.stderr
    refused = ground.maestro("bob", "approvals", "retry", asked["id"], str(new_id()))
    assert "no such evidence" in refused.stderr
    taken = ground.maestro("ada", "approvals", "withdraw", asked["id"])
    assert "is withdrawn" in taken.stderr
    empty = ground.maestro("ada", "approvals", "list", "--mine")
    assert "Nothing is asked for" in empty.stderr


def test_the_command_line_writes_policies(ground: Ground, tmp_path: Path) -> None:
    file, typed = tmp_path / "policy.json", f"{PASSWORD}\n"
    file.write_text(json.dumps({"people": {"votes": 7}}))
    of = ("--of", ground.a_thing(), "--kind", "thing")
    tried = ground.maestro("bob", "approval-policies", "try", str(file))
    assert tried.returncode == 0
    assert "would not have had to ask" in tried.stderr
    writing = ("approval-policies", "set", str(file), *of, "--reason", "Care.", "--password-stdin")
    written = ground.maestro("bob", *writing, typed=typed)
    assert '"votes": 7' in written.stdout, written.stderr
    assert '"votes": 7' in ground.maestro("ada", "approval-policies", "show", *of).stdout
    assert "Care." in ground.maestro("ada", "approval-policies", "history", *of).stdout
    file.write_text("[]")
    refused = ground.maestro("bob", *writing, typed=typed)
    assert (refused.returncode, "JSON object" in refused.stderr) == (2, True)
    refused = ground.maestro("bob", "approval-policies", "try", str(tmp_path / "nothing"))
    assert "cannot be read" in refused.stderr
