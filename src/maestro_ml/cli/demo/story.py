"""The demo, step by step: what it does, what came out, and whether that is as it should be."""

import json
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from maestro_ml.cli.demo.production import play as approving
from maestro_ml.cli.demo.server import DemoServer, clean_environment, demo_server
from maestro_ml.cli.output import Refused, give
from maestro_ml.client import Forbidden, MaestroClient, MaestroClientError, NotFound

TRAINING = Path(__file__).with_name("training.py")
EXPERIMENT = "tumours"
GOOD = 0.95


@dataclass
class Person:
    """Somebody in the story. Their password is made here and kept nowhere."""

    name: str
    email: str
    password: str = field(default_factory=lambda: secrets.token_urlsafe(18), repr=False)


class Story:
    """Numbered steps on the terminal."""

    def __init__(self) -> None:
        self.steps = 0

    def step(self, words: str) -> None:
        self.steps += 1
        give(f"\n{self.steps}. {words}")

    def fact(self, words: str) -> None:
        give(f"   {words}")

    def check(self, holds: bool, words: str) -> None:
        """Raises:
        Refused: it is not so, and the demo has failed.
        """
        if not holds:
            raise Refused(f"Step {self.steps} is not as it should be: {words}")


def tell() -> None:
    """The whole story.

    Raises:
        Refused: a step is not as it should be.
    """
    story = Story()
    with _stoppable():
        try:
            story.step("A server of its own, in a temporary folder")
            with demo_server() as server:
                story.fact(f"answers at {server.url}")
                _play(story, server)
                story.step("Clean up")
            story.check(not server.folder.exists(), f"{server.folder} is still there")
            story.fact("The server has stopped and its folder is gone. Now yours: `make serve`")
        except MaestroClientError as failed:
            raise Refused(f"Step {story.steps} failed: {failed}") from None


def _play(story: Story, server: DemoServer) -> None:
    ada = Person("Ada", "ada@lab.test")
    grace = Person("Grace", "grace@lab.test")
    with MaestroClient(server.url) as admin, MaestroClient(server.url) as scientist:
        _people(story, server, (ada, admin), (grace, scientist))
        project, key = _project(story, scientist)
        runs = _training(story, server, key)
        _search(story, server, key, runs)
        approving(story, _script, server, key, admin, scientist, runs[0])
        _stranger(story, server, admin, str(project), runs[0])


def _people(
    story: Story,
    server: DemoServer,
    one: tuple[Person, MaestroClient],
    other: tuple[Person, MaestroClient],
) -> None:
    (ada, admin), (grace, scientist) = one, other
    story.step("Ada spends the one-time setup secret and runs the platform")
    me = admin.auth.setup(
        token=server.setup_secret, email=ada.email, password=ada.password, name=ada.name
    ).user
    story.check(me.platform_admin and me.role == "admin", f"Ada came out as {me.role}")
    story.fact(f"{ada.email}: {me.role} of the tenant {me.tenant.name if me.tenant else '?'!r}")

    story.step("Grace signs up by herself, and is only a viewer")
    user = scientist.auth.register(email=grace.email, password=grace.password, name=grace.name).user
    story.check(user.role == "viewer", f"Grace came out as {user.role}")
    try:
        scientist.projects.create("Tumours")
    except Forbidden as refused:
        story.fact(f"she may not create a project yet: {refused.status} {refused.detail}")
    else:
        story.check(False, "a viewer created a project")

    story.step("Ada makes Grace a member; it holds at once, in the session Grace already has")
    admin.users.set_role(user.id, "member")
    role = scientist.auth.me().role
    story.check(role == "member", f"Grace is {role}")
    story.fact(f"{grace.email}: {role}")


def _project(story: Story, scientist: MaestroClient) -> tuple[Any, str]:
    story.step("Grace creates a project and an API key for her training script")
    project = scientist.projects.create(
        "Tumours", description="Benign or malignant?", problem_class="classification"
    )
    key = scientist.api_keys.create(
        "training script", scopes=["read", "write"], default_project_id=project.id
    )
    story.fact(f"project {project.slug!r} ({project.visibility}), key mlp_...{key.last_four}")
    return project.id, key.token


def _training(story: Story, server: DemoServer, key: str) -> list[dict[str, Any]]:
    story.step("Her script trains on scikit-learn's breast-cancer data with the MLflow client")
    story.fact(f"MLFLOW_TRACKING_URI={server.url} MLFLOW_TRACKING_TOKEN=mlp_... python train.py")
    runs: list[dict[str, Any]] = _script(server, key, "train", EXPERIMENT)
    for run in runs:
        story.fact(
            f"run {run['name']}: {run['accuracy']:.1%} of {run['tested_on']} unseen tumours right"
        )
    best = max(runs, key=lambda run: float(run["accuracy"]))
    story.check(best["accuracy"] >= GOOD, f"the best model has {best['accuracy']:.1%}")
    return sorted(runs, key=lambda run: -float(run["accuracy"]))


def _search(story: Story, server: DemoServer, key: str, runs: list[dict[str, Any]]) -> None:
    wanted = f"metrics.accuracy >= {GOOD} and params.rate = '0.01' and tags.data = 'breast-cancer'"
    story.step("She finds the good run again")
    story.fact(f"search: {wanted}")
    found = _script(server, key, "find", EXPERIMENT, wanted)
    story.check([run["run_id"] for run in found] == [runs[0]["run_id"]], f"found {found}")
    run = found[0]
    story.check(run["accuracy"] == runs[0]["accuracy"], "the accuracy is not what was logged")
    story.fact(
        f"1 of {len(runs)} runs: {run['name']}, accuracy {run['accuracy']:.4f}, "
        f"{run['steps']} steps, {len(run['params'])} params"
    )


def _stranger(
    story: Story, server: DemoServer, admin: MaestroClient, project: str, run: dict[str, Any]
) -> None:
    story.step("Ada makes a second tenant; Eve accepts its invitation and becomes its admin")
    eve = Person("Eve", "eve@rival.test")
    made = admin.tenants.create(name="Rival", slug="rival", admin_email=eve.email)
    with MaestroClient(server.url) as client:
        user = client.auth.accept_invitation(
            token=made.invitation.token or "", password=eve.password, name=eve.name
        ).user
        where = user.tenant.slug if user.tenant else None
        story.check((where, user.role) == ("rival", "admin"), f"Eve is {user.role} in {where}")
        story.fact(f"{eve.email}: {user.role} of {made.tenant.name!r}")

        story.step("Eve knows the ids, and sees nothing")
        own = client.projects.create("Mine")
        seen = [p.slug for p in client.projects.list()]
        story.check(seen == [own.slug], f"she sees {seen}")
        story.fact(f"her list of projects: {seen}")
        try:
            client.projects.get(project)
        except NotFound as missing:
            story.fact(f"Grace's project by its id: {missing.status} {missing.detail}")
        else:
            story.check(False, "she read another tenant's project")
        key = client.api_keys.create("curious", default_project_id=own.id).token
    view = _script(server, key, "peek", run["experiment_id"], run["run_id"])
    story.check(view == {"found": 0, "direct": "RESOURCE_DOES_NOT_EXIST"}, f"she sees {view}")
    story.fact(f"runs found in Grace's experiment: {view['found']}; by id: {view['direct']}")


def _script(server: DemoServer, key: str, *args: str) -> Any:
    """Run the training script, which finds the server by two variables of MLflow's own."""
    own = server.folder / "script"  # where MLflow's client leaves what it has downloaded
    own.mkdir(exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-I", str(TRAINING), *args],
        cwd=server.folder,
        env={
            **clean_environment(),
            "DO_NOT_TRACK": "true",
            "TMPDIR": str(own),
            "MLFLOW_TRACKING_URI": server.url,
            "MLFLOW_TRACKING_TOKEN": key,
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise Refused(f"The training script failed: {last}")
    return json.loads(done.stdout.splitlines()[-1])


@contextmanager
def _stoppable() -> Iterator[None]:
    """Being told to end takes the same way out as Ctrl-C, so that nothing is left behind."""

    def told(sig: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, told)
    try:
        yield
    except KeyboardInterrupt:
        raise Refused("Stopped; the server and its folder are gone.", 130) from None
    finally:
        signal.signal(signal.SIGTERM, before)
