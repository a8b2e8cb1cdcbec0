"""Who hears of what: nobody of another tenant, of a private project, or of what is not told."""

import ast
from dataclasses import replace
from uuid import UUID

import pytest
from pydantic import ValidationError
from sqlalchemy import update

from maestro_ml.approvals.models import ApprovalState
from maestro_ml.core.access import Role
from maestro_ml.db.tenants import SYSTEM
from maestro_ml.db.work import open_system_work, open_work
from maestro_ml.jobs.context import Handler
from maestro_ml.jobs.worker import Worker
from maestro_ml.projects.models import Project, Visibility
from maestro_ml.projects.schemas import ProjectChange, ProjectCreate
from maestro_ml.projects.service import projects
from maestro_ml.tenancy.models import Tenant
from maestro_ml.tenancy.service import storage
from maestro_ml.tracking.models import RunStatus
from maestro_ml.tracking.schemas import RunChange
from maestro_ml.tracking.service import runs
from maestro_ml.webhooks.catalogue import EVENTS, PROMPTS, Event
from maestro_ml.webhooks.errors import TooManyWebhooks, WebhookInvalid
from maestro_ml.webhooks.models import WebhookFormat, WebhookStatus
from maestro_ml.webhooks.service import webhooks
from support.hooks import Hooks, a_webhook
from support.jobs import KIND, failing, nothing, queued
from support.source import MODULES, tree_of
from support.tracking import a_run
from support.world import ACME, LAB, OTHER, SHOP, caller

# Published by names that are put together.
MADE_UP = {f"approval.{state}" for state in (*ApprovalState, "requested")}
MADE_UP -= {"approval.collecting"}  # how a request begins


async def heard(hooks: Hooks, id: UUID | None = None) -> list[str]:
    return [delivery.event for delivery in await hooks.log(id)]


async def test_each_webhook_that_hears_an_event_has_a_delivery_of_it(hooks: Hooks) -> None:
    first = await hooks.add(a_webhook(events=["run.finished", "experiment.created"]))
    second = await hooks.add(a_webhook(name="Second"))
    deaf = await hooks.add(a_webhook(events=["project.changed"]))
    off = await hooks.add(a_webhook(status=WebhookStatus.DISABLED))
    await hooks.run_finished()
    assert [await heard(hooks, id) for id in (first, second, deaf, off)] == [
        ["run.finished"],
        ["run.finished"],
        [],
        [],
    ]
    assert len({delivery.event_id for delivery in await hooks.log()}) == 1


async def test_no_event_of_another_tenant_is_heard(hooks: Hooks) -> None:
    await hooks.add(a_webhook())
    await hooks.add(a_webhook(project_id=None))
    await hooks.publish(
        "run.finished", access=caller(tenant=OTHER), project_id=str(SHOP), status="FAILED"
    )
    assert await heard(hooks) == []


async def test_no_event_of_another_project_is_heard(hooks: Hooks) -> None:
    await hooks.add(a_webhook())
    async with open_work(hooks.sessions, caller()) as work:
        other = await projects.create(work, ProjectCreate(name="Other"))
    await hooks.run_finished(project_id=str(other.id))
    assert await heard(hooks) == []


async def test_a_tenants_webhook_hears_what_everybody_sees_and_a_private_projects_own_alone(
    hooks: Hooks,
) -> None:
    own = await hooks.add(a_webhook())
    tenants = await hooks.add(a_webhook(project_id=None))
    await hooks.run_finished()
    assert await heard(hooks, own) == await heard(hooks, tenants) == ["run.finished"]
    await see(hooks, Visibility.PRIVATE)
    await hooks.run_finished()
    assert await heard(hooks, own) == ["run.finished"] * 2
    assert await heard(hooks, tenants) == ["run.finished"]


async def test_a_private_project_is_not_told_of_from_its_first_event_to_its_last(
    hooks: Hooks,
) -> None:
    names = [name for name in EVENTS if name.startswith("project.")]
    tenants = await hooks.add(a_webhook(project_id=None, events=names))
    async with open_work(hooks.sessions, caller()) as work:
        command = ProjectCreate(name="Hidden", visibility=Visibility.PRIVATE)
        hidden = (await projects.create(work, command)).id
    team = replace(caller(), project_roles={hidden: Role.MAINTAINER})
    async with open_work(hooks.sessions, team) as work:
        await projects.change(work, hidden, ProjectChange(description="x"))
        await projects.archive(work, hidden)
        await projects.delete(work, hidden, confirm="hidden")
    assert await heard(hooks, tenants) == []
    async with open_work(hooks.sessions, caller()) as work:
        shown = await projects.create(work, ProjectCreate(name="Shown"))
        await projects.change(work, shown.id, ProjectChange(visibility=Visibility.PRIVATE))
    assert await heard(hooks, tenants) == ["project.created"]


async def test_an_internal_projects_end_is_told(hooks: Hooks) -> None:
    tenants = await hooks.add(a_webhook(project_id=None, events=["project.deleted"]))
    async with open_work(hooks.sessions, caller()) as work:
        await projects.delete(work, LAB, confirm="lab")
    (delivery,) = await hooks.log(tenants)
    assert delivery.payload["data"] == {"name": "lab", "slug": "lab"}


async def test_who_makes_something_happen_need_not_see_who_hears_of_it(hooks: Hooks) -> None:
    """As with an API key that reaches one project."""
    tenants = await hooks.add(a_webhook(project_id=None))
    confined = replace(caller(), only_projects=frozenset({LAB}))
    await hooks.publish("run.finished", access=confined, project_id=str(LAB), status="FAILED")
    assert await heard(hooks, tenants) == ["run.finished"]


async def test_filters_leave_the_rest_out(hooks: Hooks) -> None:
    wanted = {"run.finished": {"status": ["FAILED", "KILLED"]}}
    await hooks.add(a_webhook(filters=wanted, events=["run.finished", "project.changed"]))
    for status in ("FINISHED", "FAILED", "KILLED"):
        await hooks.run_finished(status=status)
    await hooks.publish("project.changed", project_id=str(LAB), name="lab")
    said = [(one.event, one.payload["data"].get("status")) for one in await hooks.log()]
    assert said == [
        ("run.finished", "FAILED"),
        ("run.finished", "KILLED"),
        ("project.changed", None),
    ]


async def test_numbers_are_filtered_by_their_text(hooks: Hooks) -> None:
    wanted = {"quota.reached": {"percent": ["100"]}}
    await hooks.add(a_webhook(project_id=None, events=["quota.reached"], filters=wanted))
    for percent in (90, 100):
        await hooks.publish("quota.reached", limit="max_projects", percent=percent)
    assert [one.payload["data"]["percent"] for one in await hooks.log()] == [100]


async def test_a_run_that_fails_is_told_once(hooks: Hooks) -> None:
    await hooks.add(a_webhook())
    async with open_work(hooks.sessions, caller()) as work:
        run = await a_run(work)
        await runs.update(work, run, RunChange(status=RunStatus.FAILED))
        await runs.update(work, run, RunChange(status=RunStatus.FINISHED))
    (delivery,) = await hooks.log()
    data = delivery.payload["data"]
    assert (data["run_id"], data["status"], data["name"]) == (str(run), "FAILED", "first")


@pytest.mark.parametrize(("handler", "state"), [(nothing, "done"), (failing(KeyError()), "failed")])
async def test_the_end_of_a_job_is_told(hooks: Hooks, handler: Handler, state: str) -> None:
    await hooks.add(a_webhook(project_id=None, events=["job.finished"]))
    id = await queued(hooks.sessions, max_attempts=1)
    assert await Worker(hooks.sessions, {KIND: handler}).run_one()
    (delivery,) = await hooks.log()
    data = delivery.payload["data"]
    assert (data["job_id"], data["kind"], data["state"]) == (str(id), KIND, state)
    assert (data["error"] is not None) == (state == "failed")


async def test_a_job_that_is_tried_again_has_not_ended(hooks: Hooks) -> None:
    await hooks.add(a_webhook(project_id=None, events=["job.finished"]))
    await queued(hooks.sessions, max_attempts=2)
    await Worker(hooks.sessions, {KIND: failing(KeyError())}).run_one()
    assert await hooks.log() == []


async def test_what_the_platform_does_for_itself_is_nobodys_business(hooks: Hooks) -> None:
    await hooks.add(a_webhook(project_id=None, events=["job.finished"]))
    async with open_system_work(hooks.sessions) as work:
        await work.tell(None, "job.finished", job_id="x")
        await work.tell(OTHER, "job.finished", job_id="x")
    await hooks.run_finished()
    assert await heard(hooks) == []


async def test_limits_that_are_nearly_reached_are_told(hooks: Hooks) -> None:
    await hooks.add(a_webhook(project_id=None, events=["quota.reached"]))
    await limit(hooks, max_projects=3, max_storage_bytes=1000)
    for name in ("One", "Two"):
        async with open_work(hooks.sessions, caller()) as work:
            await projects.create(work, ProjectCreate(name=name))
    async with open_work(hooks.sessions, caller()) as work:
        for size in (899, 1, 50, 50):
            await storage.reserve(work, size)
    assert [one.payload["data"] for one in await hooks.log()] == [
        {"limit": "max_projects", "allowed": 3, "used": 3, "percent": 100},
        {"limit": "max_storage_bytes", "allowed": 1000, "used": 900, "percent": 90},
        {"limit": "max_storage_bytes", "allowed": 1000, "used": 1000, "percent": 100},
    ]


async def test_an_event_that_is_not_in_the_catalogue_stays_inside(hooks: Hooks) -> None:
    await hooks.add(a_webhook(events=list(EVENTS)))
    await hooks.publish("house.secret", project_id=str(LAB))
    assert await heard(hooks) == []


@pytest.mark.parametrize(
    ("events", "said"),
    [
        (["run.finishd"], "do you mean 'run.finished'?"),
        (["run.finished", "model_version.created"], "do you mean 'model-version.created'?"),
        (["zzz"], "there is no event 'zzz'"),
        ([], "at least 1 item"),
    ],
)
def test_an_event_that_there_is_not_is_refused_by_the_nearest_name(
    events: list[str], said: str
) -> None:
    with pytest.raises(ValidationError) as refused:
        a_webhook(events=events)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("filters", "said"),
    [
        ({"run.finished": {"stattus": ["FAILED"]}}, "Do you mean 'status'?"),
        ({"project.changed": {"fields": ["name"]}}, "not hear 'project.changed'"),
        ({"run.finished": {"project_id": ["x"]}}, "not by 'project_id'"),
    ],
)
async def test_a_filter_that_can_never_fit_is_refused(
    hooks: Hooks, filters: dict[str, dict[str, list[str]]], said: str
) -> None:
    with pytest.raises(WebhookInvalid) as refused:
        await hooks.add(a_webhook(filters=filters))
    assert said in refused.value.detail


async def test_mlflows_format_has_mlflows_events_alone(hooks: Hooks) -> None:
    with pytest.raises(WebhookInvalid) as refused:
        await hooks.add(a_webhook(), format=WebhookFormat.MLFLOW)
    assert "has no event 'run.finished'" in refused.value.detail


async def test_a_tenant_has_no_more_webhooks_than_each_event_can_ask(
    hooks: Hooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "MOST", 2)
    for _ in range(2):
        await hooks.add(a_webhook())
    with pytest.raises(TooManyWebhooks):
        await hooks.add(a_webhook(project_id=None))


def told() -> set[str]:
    """Every event that is published anywhere by its name."""
    found = set()
    for module in MODULES:
        for node in ast.walk(tree_of(module)):
            if isinstance(node, ast.Call):
                name = getattr(node.func, "id", getattr(node.func, "attr", ""))
                if name in {"publish", "tell"}:
                    words = [a.value for a in node.args[:3] if isinstance(a, ast.Constant)]
                    found |= {word for word in words if isinstance(word, str) and "." in word}
    return found


def test_the_catalogue_holds_what_is_published() -> None:
    named = told() | {"quota.reached", "api-key.created", "api-key.revoked"}  # not by a constant
    named -= {"project.deleting"}  # asked inside, before it is
    assert named | MADE_UP | set(PROMPTS.values()) == set(EVENTS)


@pytest.mark.parametrize("event", EVENTS.values(), ids=lambda event: event.name)
def test_an_example_has_every_field(event: Event) -> None:
    assert set(event.example()) == set(event.fields)
    assert set(event.filters) <= set(event.fields)


async def see(hooks: Hooks, visibility: Visibility) -> None:
    async with hooks.sessions.begin(SYSTEM) as session:
        await session.execute(
            update(Project).where(Project.id == LAB).values(visibility=visibility)
        )


async def limit(hooks: Hooks, **values: int) -> None:
    async with hooks.sessions.begin(SYSTEM) as session:
        await session.execute(update(Tenant).where(Tenant.id == ACME).values(**values))
