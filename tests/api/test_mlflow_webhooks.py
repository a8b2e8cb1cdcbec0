"""MLflow's webhook calls: another door to the same, in the shapes that its clients know."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from maestro_ml.core.ids import new_id
from maestro_ml.db.work import Sessions, open_work
from maestro_ml.projects.schemas import ProjectCreate
from maestro_ml.projects.service import projects
from support.hooks import SECRET, Hooks, Receiver, a_receiver, a_webhook
from support.leaks import secret
from support.wire import BASE, Wire, mlflow_app
from support.world import LAB, caller

CREATED = {"entity": "REGISTERED_MODEL", "action": "CREATED"}
MOVED = {"entity": "MODEL_VERSION_ALIAS", "action": "CREATED"}
HOOK = {"name": "Chat", "url": "https://hooks.test/x", "events": [CREATED]}


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with a_receiver() as receiver:
        yield receiver


@pytest.fixture
def hooks(sessions: Sessions, tmp_path: Path) -> Hooks:
    return Hooks(sessions, tmp_path)


@pytest.fixture
async def wire(hooks: Hooks, tmp_path: Path) -> AsyncIterator[Wire]:
    transport = httpx2.ASGITransport(mlflow_app(hooks.sessions, tmp_path))
    async with httpx2.AsyncClient(transport=transport, base_url="http://maestro") as http:
        yield Wire(http)


async def made(wire: Wire, **changes: Any) -> dict[str, Any]:
    webhook: dict[str, Any] = (await wire.ok("POST", "webhooks", {**HOOK, **changes}))["webhook"]
    return webhook


async def deleted(wire: Wire, path: str, message: dict[str, Any]) -> None:
    """With a body, as clients send it."""
    headers = {"Authorization": "Bearer admin"}
    answer = await wire.http.request("DELETE", f"{BASE}/{path}", json=message, headers=headers)
    assert answer.is_success, answer.text


async def test_what_is_made_is_read_listed_changed_and_deleted(wire: Wire) -> None:
    webhook = await made(wire, description="For the team", secret=SECRET)
    id = webhook["webhook_id"]
    assert webhook == {
        "webhook_id": id,
        "name": "Chat",
        "description": "For the team",
        "url": "https://hooks.test/x",
        "events": [CREATED],
        "status": "ACTIVE",
        "creation_timestamp": webhook["creation_timestamp"],
        "last_updated_timestamp": webhook["creation_timestamp"],
    }
    assert await wire.ok("GET", f"webhooks/{id}") == {"webhook": webhook}
    assert await wire.ok("GET", "webhooks") == {"webhooks": [webhook]}
    change = {"name": "Other", "events": [MOVED, CREATED], "status": "DISABLED", "description": ""}
    changed = (await wire.ok("PATCH", f"webhooks/{id}", change))["webhook"]
    assert (changed["name"], changed["status"]) == ("Other", "DISABLED")
    assert (changed["events"], "description" in changed) == ([MOVED, CREATED], False)
    assert (await wire.ok("PATCH", f"webhooks/{id}", {}))["webhook"] == changed
    assert await wire.ok("DELETE", f"webhooks/{id}") == {}
    await wire.missing("GET", f"webhooks/{id}", None)


async def test_enumerations_are_taken_by_their_numbers_as_well(wire: Wire) -> None:
    webhook = await made(wire, events=[{"entity": 4, "action": 1}], status=2)
    assert (webhook["events"], webhook["status"]) == ([MOVED], "DISABLED")


async def test_pages_follow_each_other_newest_first(wire: Wire) -> None:
    ids = [(await made(wire))["webhook_id"] for _ in range(3)]
    first = await wire.ok("GET", "webhooks", {"max_results": 2})
    rest = await wire.ok("GET", "webhooks", {"page_token": first["next_page_token"]})
    found = [one["webhook_id"] for one in first["webhooks"] + rest["webhooks"]]
    assert found == ids[::-1]
    assert "next_page_token" not in rest
    assert await wire.ok("GET", "webhooks", {"max_results": 0}) == await wire.ok("GET", "webhooks")


@pytest.mark.parametrize("query", [{"max_results": 1001}, {"max_results": -1}, {"page_token": "?"}])
async def test_pages_that_there_are_not_are_refused(wire: Wire, query: dict[str, Any]) -> None:
    await wire.invalid("webhooks", query, method="GET")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"name": ""}, "'name'"),
        ({"name": "a b"}, "start and end with a letter or digit"),
        ({"name": "a" * 64}, "at most 63 characters"),
        ({"url": ""}, "'url'"),
        ({"url": "ftp://hooks.test/x"}, "no address like https://host/path"),
        ({"url": "https://127.0.0.1/x"}, "inside a network"),
        ({"events": []}, "'events'"),
        ({"events": [{"entity": "REGISTERED_MODEL", "action": "DELETED"}]}, "Valid actions are"),
        ({"events": [{"entity": "RUN", "action": "CREATED"}]}, "Invalid entity 'run'"),
        ({"events": [{"entity": "BUDGET_POLICY", "action": "EXCEEDED"}]}, "no budgets"),
        ({"events": [{"entity": "PROMPT"}]}, "'events.0.action'"),
        ({"secret": "short"}, "'secret'"),
        ({"status": "ON"}, "'status'"),
    ],
)
async def test_bad_input_is_named(wire: Wire, wrong: dict[str, Any], said: str) -> None:
    assert said in await wire.invalid("webhooks", {**HOOK, **wrong})


async def test_a_workspace_has_its_own_webhooks(wire: Wire, hooks: Hooks) -> None:
    async with open_work(hooks.sessions, caller()) as work:
        await projects.create(work, ProjectCreate(name="Other", slug="other"))
    id = (await made(wire))["webhook_id"]
    assert await wire.ok("GET", "webhooks", workspace="other") == {"webhooks": []}
    for method, path, message in (
        ("GET", "", None),
        ("PATCH", "", {"name": "N"}),
        ("DELETE", "", None),
        ("POST", "/test", {}),
    ):
        await wire.missing(method, f"webhooks/{id}{path}", message, workspace="other")
        await wire.missing(method, f"webhooks/{new_id().hex}{path}", message)
        await wire.missing(method, f"webhooks/nonsense{path}", message)
        await wire.missing(method, f"webhooks/{id}{path}", message, as_="stranger")
    assert (await wire.ok("GET", f"webhooks/{id}", workspace="lab"))["webhook"]["name"] == "Chat"


async def test_webhooks_that_mlflow_has_no_words_for_are_not_there(
    wire: Wire, hooks: Hooks
) -> None:
    ours = [await hooks.add(a_webhook()), await hooks.add(a_webhook(project_id=None))]
    assert await wire.ok("GET", "webhooks") == {"webhooks": []}
    for id in ours:
        for method in ("GET", "DELETE", "PATCH"):
            await wire.missing(method, f"webhooks/{id.hex}", None if method != "PATCH" else {})


@pytest.mark.parametrize("who", ["viewer", "member"])
async def test_viewers_and_members_may_not(wire: Wire, who: str) -> None:
    id = (await made(wire))["webhook_id"]
    for method, path, message in (
        ("POST", "webhooks", HOOK),
        ("GET", "webhooks", None),
        ("GET", f"webhooks/{id}", None),
        ("PATCH", f"webhooks/{id}", {"name": "N"}),
        ("DELETE", f"webhooks/{id}", None),
        ("POST", f"webhooks/{id}/test", {}),
    ):
        await wire.refused(403, "PERMISSION_DENIED", method, path, message, as_=who)


async def test_a_test_is_what_mlflows_server_would_have_sent(
    wire: Wire, receiver: Receiver
) -> None:
    id = (await made(wire, url=receiver.url, secret=SECRET))["webhook_id"]
    told = await wire.ok("POST", f"webhooks/{id}/test", {})
    assert told == {"result": {"success": True, "response_status": 200}}
    (got,) = receiver.got
    body = got.json
    assert set(body) == {"entity", "action", "timestamp", "data", "workspace"}
    assert (body["entity"], body["action"]) == ("registered_model", "created")
    assert body["data"]["name"] == "example_model"
    assert body["data"]["tags"] == {"example_key": "example_value"}
    assert got.headers["X-MLflow-Signature"] == got.mlflow_signature(SECRET)
    receiver.status = 500
    told = await wire.ok("POST", f"webhooks/{id}/test", {"event": MOVED})
    assert told["result"]["success"] is False
    assert told["result"]["response_status"] == 500
    assert receiver.got[1].json["entity"] == "model_version_alias"


async def test_a_new_secret_signs_from_then_on_in_mlflows_header(
    wire: Wire, receiver: Receiver
) -> None:
    id = (await made(wire, url=receiver.url, secret=SECRET))["webhook_id"]
    other = secret("wh-91c4d2e8b73f60")
    await wire.ok("PATCH", f"webhooks/{id}", {"secret": other})
    await wire.ok("POST", f"webhooks/{id}/test", {})
    (got,) = receiver.got
    assert got.headers["X-MLflow-Signature"] == got.mlflow_signature(other)
    assert got.is_signed_by(SECRET)  # beside it, in the header of our own


async def test_a_receiver_that_is_not_there_is_told_of(wire: Wire) -> None:
    id = (await made(wire, url="https://nobody.test/x"))["webhook_id"]
    told = (await wire.ok("POST", f"webhooks/{id}/test", {}))["result"]
    assert told["success"] is False
    assert told["error_message"] == "The address does not answer as it should, or not at all."
    assert "response_status" not in told


async def test_the_registry_is_heard_as_mlflows_own_servers_is(
    wire: Wire, hooks: Hooks, receiver: Receiver
) -> None:
    every = [
        *(("REGISTERED_MODEL", "CREATED"), ("MODEL_VERSION", "CREATED")),
        *(("MODEL_VERSION_TAG", "SET"), ("MODEL_VERSION_TAG", "DELETED")),
        *(("MODEL_VERSION_ALIAS", "CREATED"), ("MODEL_VERSION_ALIAS", "DELETED")),
    ]
    await made(wire, url=receiver.url, events=[{"entity": e, "action": a} for e, a in every])
    run = await wire.run()
    tags = [{"key": "k", "value": "v"}]
    model = {"name": "churn", "description": "Who leaves", "tags": tags}
    await wire.ok("POST", "registered-models/create", model)
    source = {"source": f"runs:/{run}", "run_id": run}
    await wire.ok("POST", "model-versions/create", model | source)
    at = {"name": "churn", "version": "1"}
    await wire.ok("POST", "model-versions/set-tag", at | {"key": "a", "value": "b"})
    await wire.ok("POST", "registered-models/alias", at | {"alias": "champion"})
    for path, message in (
        ("model-versions/delete-tag", at | {"key": "a"}),
        ("registered-models/alias", {"name": "churn", "alias": "champion"}),
    ):
        await deleted(wire, path, message)
    hooks.clock.move(minutes=5)  # its own stands still
    await hooks.work_off()
    told = {(got.json["entity"], got.json["action"]): got.json["data"] for got in receiver.got}
    assert told == {
        ("registered_model", "created"): {
            "name": "churn",
            "tags": {"k": "v"},
            "description": "Who leaves",
        },
        ("model_version", "created"): {
            **at,
            "source": f"runs:/{run}",
            "run_id": run,
            "tags": {"k": "v"},
            "description": "Who leaves",
        },
        ("model_version_tag", "set"): at | {"key": "a", "value": "b"},
        ("model_version_tag", "deleted"): at | {"key": "a"},
        ("model_version_alias", "created"): at | {"alias": "champion"},
        ("model_version_alias", "deleted"): {"name": "churn", "alias": "champion"},
    }


async def test_a_prompt_is_told_as_a_prompt_and_not_as_a_model(
    wire: Wire, hooks: Hooks, receiver: Receiver
) -> None:
    every = [
        *(CREATED, MOVED, {"entity": "MODEL_VERSION", "action": "CREATED"}),
        *({"entity": f"PROMPT{part}", "action": "CREATED"} for part in ("", "_VERSION", "_ALIAS")),
        *({"entity": f"PROMPT{part}", "action": "SET"} for part in ("_TAG", "_VERSION_TAG")),
        *({"entity": f"PROMPT{part}", "action": "DELETED"} for part in ("_TAG", "_ALIAS")),
    ]
    await made(wire, url=receiver.url, events=every)
    prompt = {"key": "mlflow.prompt.is_prompt", "value": "true"}
    text = {"key": "mlflow.prompt.text", "value": "Hello {{name}}!"}
    tag = {"key": "k", "value": "v"}
    at = {"name": "greeting", "version": "1"}
    named = {"name": "greeting"}
    await wire.ok("POST", "registered-models/create", named | {"tags": [prompt, tag]})
    version = named | {"source": "dummy-source", "tags": [prompt, text, tag]}
    await wire.ok("POST", "model-versions/create", version)
    await wire.ok("POST", "registered-models/set-tag", named | tag)
    await wire.ok("POST", "model-versions/set-tag", at | tag)
    await wire.ok("POST", "registered-models/alias", at | {"alias": "champion"})
    await deleted(wire, "registered-models/alias", named | {"alias": "champion"})
    await deleted(wire, "registered-models/delete-tag", named | {"key": "k"})
    hooks.clock.move(minutes=5)  # its own stands still
    await hooks.work_off()
    told = {(got.json["entity"], got.json["action"]): got.json["data"] for got in receiver.got}
    assert told == {
        ("prompt", "created"): {**named, "tags": {"k": "v"}, "description": None},
        ("prompt_version", "created"): {
            **at,
            "template": "Hello {{name}}!",
            "tags": {"k": "v"},
            "description": None,
        },
        ("prompt_tag", "set"): named | tag,
        ("prompt_version_tag", "set"): at | tag,
        ("prompt_alias", "created"): at | {"alias": "champion"},
        ("prompt_alias", "deleted"): {"name": "greeting", "alias": "champion"},
        ("prompt_tag", "deleted"): named | {"key": "k"},
    }


async def test_what_happens_in_the_workspace_is_told_in_mlflows_shape(
    wire: Wire, hooks: Hooks, receiver: Receiver
) -> None:
    await made(wire, url=receiver.url, events=[MOVED])
    await hooks.publish(
        "model-version-alias.created", project_id=str(LAB), name="m", alias="a", version="1"
    )
    await hooks.work_off()
    (got,) = receiver.got
    assert (got.json["data"], got.json["workspace"]) == (
        {"name": "m", "alias": "a", "version": "1"},
        "lab",
    )
    assert not {name for name in got.headers if "Signature" in name}
