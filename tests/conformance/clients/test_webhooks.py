"""Webhooks by the client, and receivers as MLflow's documentation has people write them."""

import base64
import hashlib
import hmac
import importlib
import json
import os
import threading
import time
import uuid
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

mlflow: Any = importlib.import_module("mlflow")

pytestmark = pytest.mark.since("3.3.0")
SECRET = f"wh-{uuid.uuid4().hex}"
NOWHERE = "https://hooks.test/x"
INVALID, MISSING, DENIED = (
    *("INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST", "PERMISSION_DENIED"),
)


class Receiver:
    """On loopback, where the server may call it."""

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, str], bytes]] = []
        receiver = self

        class Door(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.got.append((dict(self.headers.items()), body))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Quietly."""

        self.server = ThreadingHTTPServer((os.environ["CONFORMANCE_RECEIVER"], 0), Door)
        host, port = self.server.server_address[:2]
        self.url = f"http://{host!s}:{port}/hook"

    def told(self, count: int) -> list[dict[str, Any]]:
        """So many bodies, each of which is signed as MLflow signs."""
        deadline = time.monotonic() + 60
        while len(self.got) < count and time.monotonic() < deadline:
            time.sleep(0.05)
        assert len(self.got) == count
        for headers, body in self.got:
            id, at = headers["X-MLflow-Delivery-Id"], headers["X-MLflow-Timestamp"]
            signed = hmac.new(
                SECRET.encode(), f"{id}.{at}.{body.decode()}".encode(), hashlib.sha256
            )
            right = f"v1,{base64.b64encode(signed.digest()).decode()}"
            assert headers["X-MLflow-Signature"] == right
            assert abs(time.time() - int(at)) < 300
        return [json.loads(body) for _, body in self.got]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    thread = threading.Thread(target=receiver.server.serve_forever)
    thread.start()
    yield receiver
    receiver.server.shutdown()
    thread.join()
    receiver.server.server_close()


@pytest.fixture
def made(client: Any) -> Iterator[Any]:
    """Makes one that goes when the test ends."""
    ids = []

    def make(url: str = NOWHERE, events: Any = ("registered_model.created",), **more: Any) -> Any:
        name = f"w-{uuid.uuid4().hex[:8]}"
        webhook = client.create_webhook(name=name, url=url, events=list(events), **more)
        ids.append(webhook.webhook_id)
        return webhook

    yield make
    for id in ids:
        client.delete_webhook(id)


def words(webhook: Any) -> list[str]:
    return [str(event) for event in webhook.events]


def test_a_webhook_lives_its_whole_life(client: Any, made: Any, refusal: Any) -> None:
    events = ["registered_model.created", "model_version_alias.created", "prompt_tag.deleted"]
    webhook = made(events=events, description="For the team", secret=SECRET)
    assert words(webhook) == events
    assert (webhook.url, webhook.description) == (NOWHERE, "For the team")
    assert webhook.status == "ACTIVE"
    assert webhook.creation_timestamp == webhook.last_updated_timestamp
    found = client.get_webhook(webhook.webhook_id)
    assert (found.name, words(found)) == (webhook.name, events)
    assert found.secret is None
    changed = client.update_webhook(
        webhook.webhook_id, name="other", events=["model_version.created"], status="DISABLED"
    )
    assert (changed.name, words(changed), changed.status) == (
        "other",
        ["model_version.created"],
        "DISABLED",
    )
    assert (changed.url, changed.description) == (NOWHERE, "For the team")
    gone = client.create_webhook(name="gone", url=NOWHERE, events=events)
    client.delete_webhook(gone.webhook_id)
    assert refusal(client.get_webhook, gone.webhook_id) == MISSING
    assert refusal(client.delete_webhook, gone.webhook_id) == MISSING


def test_every_event_of_mlflow_that_happens_here_can_be_heard(client: Any, made: Any) -> None:
    entities = importlib.import_module("mlflow.entities.webhook")
    every = [
        f"{entity}.{action}"
        for entity, actions in entities.VALID_ENTITY_ACTIONS.items()
        for action in actions
        if str(entity) != "budget_policy"
    ]
    assert words(made(events=every)) == every


def test_pages_follow_each_other(client: Any, made: Any) -> None:
    ids = [made().webhook_id for _ in range(3)]
    found: list[Any] = []
    token = None
    while True:
        page = client.list_webhooks(max_results=2, page_token=token)
        found += page
        token = page.token
        if not token:
            break
    assert [one.webhook_id for one in found if one.webhook_id in ids] == ids[::-1]


def test_an_example_is_received(client: Any, made: Any, receiver: Receiver) -> None:
    webhook = made(receiver.url, ["model_version.created"], secret=SECRET)
    result = client.test_webhook(webhook.webhook_id)
    assert (result.success, result.response_status) == (True, 200)
    (told,) = receiver.told(1)
    assert (told["entity"], told["action"]) == ("model_version", "created")
    assert set(told["data"]) == {"name", "version", "source", "run_id", "tags", "description"}
    assert client.test_webhook(webhook.webhook_id, "prompt_alias.created").success
    assert receiver.told(2)[1]["entity"] == "prompt_alias"
    nobody = made(secret=SECRET)
    result = client.test_webhook(nobody.webhook_id)
    assert not result.success
    assert result.error_message


def test_the_registry_is_told_of(client: Any, made: Any, receiver: Receiver, name: str) -> None:
    events = ["registered_model.created", "model_version_tag.set", "model_version_alias.created"]
    made(receiver.url, events, secret=SECRET)
    client.create_registered_model(name, tags={"k": "v"}, description="Who leaves")
    version = client.create_model_version(name, "s3://bucket/models/1")
    client.set_model_version_tag(name, version.version, "stage", "candidate")
    client.set_registered_model_alias(name, "champion", version.version)
    told = {one["entity"]: one["data"] for one in receiver.told(3)}
    assert told == {
        "registered_model": {"name": name, "tags": {"k": "v"}, "description": "Who leaves"},
        "model_version_tag": {
            "name": name,
            "version": version.version,
            "key": "stage",
            "value": "candidate",
        },
        "model_version_alias": {"name": name, "alias": "champion", "version": version.version},
    }


def test_a_prompt_is_told_of(client: Any, made: Any, receiver: Receiver) -> None:
    prompt = f"p-{uuid.uuid4().hex[:8]}"
    made(receiver.url, ["prompt.created", "registered_model.created"], secret=SECRET)
    mlflow.genai.register_prompt(name=prompt, template="Hello {{name}}!")
    (told,) = receiver.told(1)
    assert (told["entity"], told["data"]["name"]) == ("prompt", prompt)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"name": "a b"}, "letters, digits"),
        ({"url": "https://127.0.0.1/x"}, "inside a network"),
        ({"url": "http://8.8.8.8/x"}, "not encrypted"),
        ({"url": "ftp://hooks.test"}, "https://host/path"),
        ({"events": ["budget_policy.exceeded"]}, "no budgets"),
        ({"secret": "short"}, "secret"),
    ],
)
def test_bad_input_is_named(client: Any, wrong: dict[str, Any], said: str) -> None:
    good = {"name": "w", "url": NOWHERE, "events": ["prompt.created"]}
    with pytest.raises(mlflow.MlflowException) as refused:
        client.create_webhook(**{**good, **wrong})
    assert refused.value.error_code == INVALID
    assert said in str(refused.value)


def test_who_reads_makes_none_and_a_stranger_sees_none(
    client: Any, made: Any, become: Any, refusal: Any
) -> None:
    webhook = made()
    become("reader")
    assert client.get_webhook(webhook.webhook_id).name == webhook.name
    args = ("w", NOWHERE, ["prompt.created"])
    assert refusal(client.create_webhook, *args) == DENIED
    assert refusal(client.delete_webhook, webhook.webhook_id) == DENIED
    become("stranger")
    assert refusal(client.get_webhook, webhook.webhook_id) == MISSING
    assert refusal(client.test_webhook, webhook.webhook_id) == MISSING
    assert list(client.list_webhooks()) == []
