"""The demo's model goes into production: not by whoever made it."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from maestro_ml.cli.demo.server import DemoServer
from maestro_ml.client import Forbidden, MaestroClient

if TYPE_CHECKING:
    from maestro_ml.cli.demo.story import Story

MODEL = "tumours"
Script = Callable[..., Any]


def play(
    story: "Story",
    script: Script,
    server: DemoServer,
    key: str,
    admin: MaestroClient,
    scientist: MaestroClient,
    run: dict[str, Any],
) -> None:
    """Register the best run's model, ask for approval, and load what is in production.

    Raises:
        Refused: a step is not as it should be.
    """
    story.step("She registers the model of the good run; its files are kept as they are now")
    made = script(server, key, "register", run["run_id"], MODEL)
    story.check(made == {"version": 1, "status": "READY"}, f"it came out as {made}")
    files = list(scientist.models.files(MODEL, 1))
    version = scientist.models.version(MODEL, 1)
    story.fact(
        f"{MODEL} version 1: {len(files)} files, fingerprint {(version.fingerprint or '')[:12]}"
    )

    story.step("Putting it into production is refused, with MLflow's client as everywhere")
    refused = script(server, key, "promote", MODEL, "1")
    story.check(refused.startswith("RESOURCE_CONFLICT"), f"the client was told {refused!r}")
    story.fact(refused.partition(": RESOURCE_CONFLICT: ")[2] or refused)

    story.step("She asks for approval, and may not give it herself")
    model = scientist.models.get(MODEL)
    asked = scientist.approvals.request(
        model.id, "production", "1", reason=f"{run['accuracy']:.1%} of unseen tumours right"
    )
    story.fact(f"asked for: {asked.name} as {asked.alias!r}. {' '.join(asked.missing)}")
    try:
        scientist.approvals.approve(asked.id)
    except Forbidden as no:
        story.fact(f"her own vote: {no.status} {no.detail}")
    else:
        story.check(False, "she approved her own model")

    story.step("Ada looks at it and says yes; the alias has moved when her answer arrives")
    granted = admin.approvals.approve(asked.id, comment="Good enough, and small.")
    story.check(granted.state == "granted", f"it is {granted.state}")
    meant = scientist.models.by_alias(MODEL, "production").version
    story.check(meant == 1, f"production means version {meant}")
    story.fact(f"models:/{MODEL}@production is version {meant} now")

    story.step("Whoever needs it loads what is in production with the MLflow client")
    used = script(server, key, "use", MODEL)
    story.check(used["accuracy"] == run["accuracy"], f"it gets {used['accuracy']:.1%} right")
    story.fact(f"a {used['kind']}: {used['accuracy']:.1%} of the unseen tumours right, as logged")
