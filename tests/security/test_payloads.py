"""Rows 64, 65 and 67, and what an error tells: whatever is put into any parameter of any route,
the answer is clear and never a 5xx, and a parameter is only ever a value."""

import json
import secrets
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import httpx2
import pytest

from maestro_ml.core.access import RULES, Permission, Role
from maestro_ml.db.work import Sessions
from support.answers import finds_nothing, keeps_the_rules
from support.calls import Call, call_of
from support.dump import BY_ITSELF, tables
from support.leaks import secret
from support.live import Cast, LiveServer, a_password, ok
from support.policy import POLICY, Operation, Standing
from support.principals import Principal
from support.proof import record, scale, some_of
from support.sources import FromEverywhere
from support.stage import Stage, some_jobs, with_approvals
from support.surface import Field, described, fields

INJECTIONS = (
    *("' OR '1'='1", "'; DROP TABLE users--", "1)) UNION SELECT password_hash FROM users--"),
    *("name; SELECT pg_sleep(5)", "\\", "%27", "$where", '{"$gt":""}', "password_hash"),
    *("tenant_id", "params.x = 'a' OR tenant_id != ''", "attributes.password_hash LIKE '%'"),
    *("tags.`x` = '' OR `1` = `1`", "tags.`x``y` != 'z'", 'metrics."a\' OR 1=1--" > 0'),
    *("password_hash DESC", "tenant_id; DROP TABLE users", "%00", "\ufeff", "\u2028"),
)
RAW: Mapping[str, bytes] = {
    "deep arrays": b'{"name":' + b"[" * 100_000,
    "duplicate keys": b'{"email":"a@b.test","password":"x","role":"viewer","role":"admin"}',
    "BOM": b'\xef\xbb\xbf{"name": "n"}',
    "UTF-16": '{"name": "n"}'.encode("utf-16"),
    "UTF-16 without a BOM": '{"name": "n"}'.encode("utf-16-le"),
    "UTF-32": '{"name": "n"}'.encode("utf-32-be"),
    "invalid UTF-8": b'{"name": "\xff\xfe"}',
    "trailing comma": b'{"name": "n",}',
    "top-level array": b"[]",
    "top-level null": b"null",
    "top-level string": b'"x"',
    "empty": b"",
    "lone surrogate in a key": b'{"\\ud800": 1}',
    "deep objects": b'{"a":' * 20_000,
    "deep metadata": b'{"name": "n", "metadata": ' + b'{"a":' * 500 + b"1" + b"}" * 501,
}
UNREAD = {"duplicate keys", "lone surrogate in a key", "deep metadata"}  # what MLflow may send, too
# In the place of a field's value, as they are written.
NO_TEXT = ('"\\ud800"', '"a\\u0000b"', "[]", "{}", "-0", "1e400", "9" * 400)
NO_NUMBER = ("NaN", "Infinity", "-Infinity", "-0", "1e400", "9223372036854775808", "9" * 400)
REFUSED = NO_TEXT[:2]  # what no text may hold
KEPT = {"client_secret", "secret"}  # of providers and of webhooks: sealed, and never shown
HERE = "\ue000here\ue000"
JSON = {"Content-Type": "application/json"}
KINDS = ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", None)
WITH_BODY = [o for o in described() if o.has_body]
READING = {o.name for o in described() if o.method == "GET" or "/search" in o.path}


@pytest.fixture(scope="module")
async def stage(cast: Cast, truth: Sessions) -> AsyncIterator[Stage]:
    """With an admin of A who is nobody else's: passwords are guessed at, and names changed."""
    jobs = await some_jobs(cast, truth, 8)
    with cast.client("adminA") as admin, cast.client() as nobody:
        email, password = f"{secrets.token_hex(6)}@a.test", a_password()
        offer = ok(admin.post("/users/invitations", json={"email": email, "role": "admin"}))
        body = {"token": offer["token"], "password": password, "name": "Writer"}
        accepted = ok(nobody.post("/auth/invitations/accept", json=body))
        cast.keep("writer", password, accepted)
        cast.keep("spare", password, accepted)
    admins = Standing(role=Role.ADMIN)
    people = [Principal(name, admins, lambda: {}, name) for name in ("writer", "root")]
    with httpx2.Client(base_url=cast.url, timeout=60, transport=FromEverywhere()) as http:
        yield await with_approvals(Stage(cast, http, people, jobs), truth)


@pytest.fixture
def whole(live: LiveServer, request: pytest.FixtureRequest) -> Iterator[Callable[[], None]]:
    """Call it when everything is made: from then on no row is lost, and by reading none added."""
    counted: list[dict[str, int]] = []
    yield lambda: counted.append(counts(live))
    (before,), after = counted, counts(live)
    # What is called like what was sent goes: the tests before have made some.
    named = BY_NAME.get(request.node.callspec.params["operation"].name, set())
    assert {name for name in before if after[name] < before[name]} <= named
    if request.node.callspec.params["operation"].name in READING:
        assert after == before


def counts(live: LiveServer) -> dict[str, int]:
    found = tables(live.database)
    return {name: len(table.rows) for name, table in found.items() if name not in BY_ITSELF}


class Asking:
    """One operation, as somebody who may do it."""

    def __init__(self, stage: Stage, operation: Operation) -> None:
        self.stage, self.operation = stage, operation
        policy = POLICY[operation.name]
        above = policy in set(Permission) and RULES[Permission(policy)].platform
        who = stage.principals[1 if above else 0]
        self.call = call_of(stage, operation, who)
        token = self.call.bearer or stage.cast[who.person or ""].token
        self.headers = {"Authorization": f"Bearer {token}"}
        if operation.mlflow:
            self.headers |= stage.workspace

    def __call__(self, call: Call | None = None, raw: bytes | None = None, **more: Any) -> Any:
        call = call or self.call
        headers = self.headers | more.get("headers", {})
        sent: dict[str, Any] = {"json": call.body} if raw is None else {"content": raw}
        path = self.operation.path.format(**call.path)
        answer = self.stage.http.request(
            self.operation.method, path, params=call.query, headers=headers, **sent
        )
        keeps_the_rules(self.operation, answer)
        return answer

    def written(self, field: Field, value: str) -> bytes:
        """The body with exactly these letters there."""
        whole = json.dumps(field.put(self.call, HERE).body)
        return whole.replace(json.dumps(HERE), value).encode()


_VERSIONS = {"model_versions", "model_version_tags", "model_version_files", "model_aliases"}
BY_NAME = {
    "POST experiments/delete-experiment-tag": {"experiment_tags"},
    "POST runs/delete-tag": {"run_tags"},
    "DELETE registered-models/delete-tag": {"registered_model_tags"},
    "DELETE model-versions/delete-tag": {"model_version_tags"},
    "DELETE registered-models/alias": {"model_aliases"},
    "DELETE model-versions/delete": _VERSIONS,
    "DELETE registered-models/delete": {"registered_models", "registered_model_tags", *_VERSIONS},
}
# Those that read come first: what the others store is found by its own words.
INTO = sorted(
    ((n, o) for n, o in enumerate(described()) if any(field.text for field in fields(o))),
    key=lambda one: one[1].name not in READING,
)


@pytest.mark.rows(64)
@pytest.mark.parametrize(
    ("number", "operation"), INTO, ids=lambda o: o if isinstance(o, str) else str(o)
)
def test_a_parameter_is_only_ever_a_value(
    stage: Stage, number: int, operation: Operation, whole: Callable[[], None]
) -> None:
    ask = Asking(stage, operation)
    whole()
    texts = [field for field in fields(operation) if field.text]
    for at, field in enumerate(texts):
        for text in some_of(INJECTIONS, 3 * at + number, 3):
            answer = ask(field.put(ask.call, text))
            assert answer.status_code != 429 or field.secret
            if field.words:
                assert answer.status_code in {400, 422}, (str(field), text)
            elif operation.name in READING and answer.is_success and "order_by" not in field.at:
                assert finds_nothing(answer), (str(field), text, answer.text)
            record("hostile texts put into parameters", 1)
    for word in ("' OR '1'='1", "%27", "..%2f..%2fetc", "%00", "x" * 3000):
        for name in ask.call.path:
            # With an end of its own: what tests before have stored may be called so.
            unique = f"{word}{secrets.token_hex(4)}"
            answer = ask(replace(ask.call, path=ask.call.path | {name: unique}))
            assert answer.status_code in {400, 401, 403, 404, 405, 414, 422}, (name, word)


@pytest.mark.rows(65)
@pytest.mark.parametrize(("number", "operation"), list(enumerate(WITH_BODY)), ids=str)
def test_hostile_json_is_refused_in_words(stage: Stage, number: int, operation: Operation) -> None:
    ask = Asking(stage, operation)
    for name in some_of(tuple(RAW), 5 * number, 5):
        answer = ask(raw=RAW[name], headers=JSON)
        if operation.mlflow and name in UNREAD and answer.is_success:
            continue
        assert 400 <= answer.status_code < 500, name
        told = answer.json()
        wanted = {"message"} if operation.mlflow else {"type", "title", "detail", "request_id"}
        assert wanted <= set(told)
        record("hostile bodies sent", 1)
    inside = [field for field in fields(operation) if field.place == "body"]
    texts = [field for field in inside if field.kinds <= {"string", "null"}]
    numbers = [field for field in inside if field.kinds & {"integer", "number"}]
    for some, values in ((texts, NO_TEXT), (numbers, NO_NUMBER)):
        for at, field in enumerate(some[: scale(2, len(some))]):
            for value in some_of(values, number + at, 4) if at else values:
                answer = ask(raw=ask.written(field, value), headers=JSON)
                if value in REFUSED and not (operation.name in READING and finds_nothing(answer)):
                    assert 400 <= answer.status_code < 500, (str(field), value)
                record("hostile values sent in bodies", 1)


@pytest.mark.rows(67)
@pytest.mark.parametrize("operation", WITH_BODY, ids=str)
def test_only_json_is_json(stage: Stage, operation: Operation, whole: Callable[[], None]) -> None:
    ask = Asking(stage, operation)
    whole()
    body = json.dumps(ask.call.body).encode()
    for kind in KINDS:
        answer = ask(raw=body, headers={"Content-Type": kind} if kind else {})
        assert answer.status_code in ({400} if operation.mlflow else {415, 422}), kind


@pytest.mark.rows(78)
@pytest.mark.parametrize(
    "operation", [o for o in WITH_BODY if any(f.secret for f in fields(o))], ids=str
)
def test_an_error_never_tells_a_secret_back(stage: Stage, operation: Operation) -> None:
    ask = Asking(stage, operation)
    for field in fields(operation):
        if not field.secret:
            continue
        word = secret(secrets.token_urlsafe(24))
        with_it = field.put(ask.call, word)
        for body in (
            with_it.body,
            with_it.body | {"nope": 1},
            field.put(ask.call, [word]).body,
            field.put(ask.call, {"a": word}).body,
            field.put(ask.call, word * 200).body,
        ):
            answer = ask(Call(body, path=ask.call.path, query=ask.call.query))
            assert answer.is_error or KEPT & set(field.at)
            assert word not in answer.text + str(answer.headers), str(field)
