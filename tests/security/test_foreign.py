"""Rows 53 to 57: what another tenant has reads like nothing, wherever it is named. Every route and
every field is asked, as the routes describe themselves."""

import re
import secrets
from collections.abc import AsyncIterator, Iterator
from itertools import pairwise
from typing import Any
from uuid import UUID

import httpx2
import pytest

from maestro_ml.core.access import RULES, Access, Permission, Role
from maestro_ml.core.ids import new_id
from maestro_ml.db.work import Sessions, open_work
from support.answers import finds_nothing, keeps_the_rules
from support.calls import Call, call_of
from support.dump import kept, tables
from support.live import Cast, LiveServer, ok
from support.policy import POLICY, PUBLIC, Operation, Standing, operations, verdict
from support.principals import Principal, a_webhook, named
from support.proof import record
from support.sources import FromEverywhere
from support.stage import MLFLOW, Stage, an_approval, some_jobs, tenant_of, with_approvals
from support.surface import Field, described, fields

B = Standing(home="B", role=Role.ADMIN)
ASKED = [o for o in described() if POLICY[o.name] in set(Permission)]
BY_ID = [o for o in ASKED if "{" in o.path]
WIRE = [o for o in ASKED if o.mlflow]
SEARCHES = [o for o in ASKED if "{" not in o.path and (o.method == "GET" or "/search" in o.path)]
NO_OBJECT = {
    ("POST runs/create", "user_id"): "MLflow's free text: who the client says it is",
    ("create_identity_provider", "client_id"): "what the provider calls Maestro",
    ("change_identity_provider", "client_id"): "what the provider calls Maestro",
}
OBJECTS = {"project", "user", "member", "tenant", "job", "experiment", "run"}


@pytest.fixture(scope="module")
async def stage(cast: Cast, truth: Sessions) -> AsyncIterator[Stage]:
    who = Principal("adminB", B, lambda: dict(cast["adminB"].bearer), "adminB", at_home=True)
    admin = Principal("adminA", Standing(role=Role.ADMIN), lambda: {}, "adminA")
    jobs = await some_jobs(cast, truth, 6)
    with httpx2.Client(base_url=cast.url, timeout=30, transport=FromEverywhere()) as http:
        yield await with_approvals(Stage(cast, http, [who, admin], jobs), truth)


@pytest.fixture(scope="module")
async def own(cast: Cast, truth: Sessions) -> dict[str, str]:
    """What B has itself, by the word before its place in an address."""
    with cast.client("adminB") as admin:
        project = ok(admin.post("/projects", json=named()))["id"]
        async with open_work(truth, Access.system(tenant_of(cast, "adminB"))) as work:
            asked, _ = an_approval(work, UUID(project), UUID(cast["adminB"].id), "B's own", 1)
            work.session.add(asked)
        model = admin.post(f"{cast.url}{MLFLOW}/logged-models", json={"experiment_id": "0"})
        mine = ok(admin.post("/models", json=named(project=project)))["name"]
        elsewhere = {"name": mine, "source": "s3://bucket/model"}
        headers = {"X-MLFLOW-WORKSPACE": ok(admin.get(f"/projects/{project}"))["slug"]}
        path = f"{cast.url}{MLFLOW}/model-versions/create"
        ok(admin.post(path, json=elsewhere, headers=headers))
        ok(admin.put(f"/models/{mine}/aliases/a", json={"version": 1}))
        made = {
            "projects": project,
            **{"models": mine, "versions": "1", "aliases": "a"},
            "approvals": str(asked.id),
            "service-accounts": ok(admin.post("/service-accounts", json=named()))["id"],
            "logged-models": ok(model)["model"]["info"]["model_id"],
            "webhooks": ok(admin.post("/webhooks", json=a_webhook(project)))["id"],
        }
        begun = ok(admin.post(f"{cast.url}{MLFLOW}/runs/create", json={"experiment_id": "0"}))
        run = begun["run"]["info"]
        folder = f"{run['experiment_id']}/{run['run_id']}/artifacts"
        return made | dict.fromkeys(("create", "complete", "abort"), folder)


@pytest.fixture
def untouched(live: LiveServer, cast: Cast) -> Iterator[Any]:
    """Call it when everything is made; from then on no row may change."""
    both = [tenant_of(cast, admin) for admin in ("adminA", "adminB")]
    before: list[Any] = []
    yield lambda: before.append(kept(live.database, *both))
    assert before
    after = kept(live.database, *both)
    assert {name for name in after if after[name] != before[0][name]} == set()


def ask(stage: Stage, operation: Operation, call: Call, path: str, **headers: str) -> Any:
    """As B's admin, who must not see A's mark whatever they ask."""
    sent = {**stage.cast["adminB"].bearer, "X-Request-ID": "same", **headers}
    answer = stage.http.request(
        operation.method, path, params=call.query, json=call.body, headers=sent
    )
    keeps_the_rules(operation, answer)
    asked = f"{path} {call.query} {call.body} {headers}"
    if stage.mark not in asked:
        assert stage.mark not in answer.text + str(answer.headers)
    return answer


def spoofed(cast: Cast) -> dict[str, str]:
    """Everything by which somebody ever pretended to be somebody."""
    admin, tenant = cast["adminA"], str(tenant_of(cast))
    return {
        **dict.fromkeys(("X-User-Id", "X-Forwarded-User", "X-Remote-User"), admin.id),
        **dict.fromkeys(("X-Tenant-ID", "X-Tenant", "X-Org"), tenant),
        "X-MLFLOW-WORKSPACE": "default",
        **dict.fromkeys(("X-Original-URL", "X-Rewrite-URL"), "/api/v1/users"),
        "X-HTTP-Method-Override": "DELETE",
        "Cookie": f"tenant={tenant}",
    }


def places(stage: Stage, own: dict[str, str], operation: Operation) -> Iterator[tuple[Call, str]]:
    """An id of A's in each place of the address that takes one, and the address without it."""
    call = call_of(stage, operation, stage.principals[0])
    stems = [
        (before, word[1:-1])
        for before, word in pairwise(operation.path.split("/"))
        if word.startswith("{")
    ]
    for number, (stem, name) in enumerate(stems):
        if stem in {"versions", "aliases"}:  # no ids: of another model they mean another thing
            continue
        mine = {}
        for before, earlier in stems[:number]:
            if before not in own:
                pytest.fail(f"B has nothing to put behind /{before}/: teach `own`")
            mine[earlier] = own[before]
        known = call.path | mine
        yield call, operation.path.format(**known)
        yield call, operation.path.format(**(known | {name: str(new_id())}))


@pytest.mark.rows(53, 57)
@pytest.mark.parametrize("operation", BY_ID, ids=str)
def test_a_foreign_id_reads_like_no_id(
    stage: Stage, own: dict[str, str], operation: Operation, untouched: Any
) -> None:
    asked = list(places(stage, own, operation))
    wanted = verdict(operation.name, B, "A")
    untouched()
    for (call, theirs), (_, nobodys) in zip(asked[::2], asked[1::2], strict=True):
        found, missing = (ask(stage, operation, call, path) for path in (theirs, nobodys))
        assert (found.status_code, found.content) == (wanted, missing.content)
        assert {*found.headers} == {*missing.headers}
        dressed = ask(stage, operation, call, theirs, **spoofed(stage.cast))
        assert (dressed.status_code, dressed.content) == (wanted, missing.content)
        record("foreign ids compared with ids of nothing", 1)


@pytest.mark.rows(53)
@pytest.mark.parametrize("operation", WIRE, ids=str)
def test_on_mlflows_wire_as_well(
    stage: Stage, own: dict[str, str], operation: Operation, untouched: Any
) -> None:
    call = call_of(stage, operation, stage.principals[0])
    path = operation.path.format(**call.path)
    named_by = {
        field: of_tenant_a(stage, object_of(operation, field) or "")[0]
        for field in fields(operation)
        if re.search(r"_(ids?|uuid)$", field.name) and (operation.name, field.name) not in NO_OBJECT
    }
    untouched()
    for field, id in named_by.items():
        none = f"m-{new_id().hex}" if id == stage.model else new_id().hex
        theirs, nobodys = (ask(stage, operation, field.put(call, id), path) for id in (id, none))
        assert (theirs.status_code, theirs.content) == (nobodys.status_code, nobodys.content)
        assert theirs.status_code == (200 if call.finds else 404)
    for workspace in (stage.slug, stage.project):
        theirs, nobodys = (
            ask(stage, operation, call, path, **{"X-MLFLOW-WORKSPACE": name})
            for name in (workspace, f"n-{secrets.token_hex(4)}")
        )
        assert theirs.status_code == nobodys.status_code == 404
        assert theirs.text.replace(workspace, "") == re.sub(r"n-[0-9a-f]{8}", "", nobodys.text)
    record("foreign ids compared with ids of nothing", len(named_by) + 2)


@pytest.mark.rows(55)
@pytest.mark.parametrize("operation", SEARCHES, ids=str)
def test_what_is_listed_searched_and_exported_is_ones_own(
    stage: Stage, operation: Operation, untouched: Any
) -> None:
    """Before B has named anything of A's: what it typed is in its own trail."""
    call = call_of(stage, operation, stage.principals[0])
    theirs = stage.theirs - {stage.mark}
    untouched()
    asked = [call]
    for field in fields(operation):
        if field.text and not field.words and not field.kinds & {"uuid", "date-time"}:
            asked += [field.put(call, word) for word in (stage.mark, stage.mark[:8].lower())]
    for one in asked:
        answer = ask(stage, operation, one, operation.path)
        assert answer.status_code < 500
        if answer.is_success:
            seen = [word for word in theirs if word in answer.text]
            assert not seen, answer.text[max(0, answer.text.index(seen[0]) - 300) :][:600]
            if one is not call:
                assert finds_nothing(answer), (one, answer.text)


@pytest.mark.rows(55)
def test_figures_count_ones_own(stage: Stage, live: LiveServer) -> None:
    """Of the tenant's use, and of its trail."""
    home = tenant_of(stage.cast, "adminB")
    with stage.cast.client("adminB") as admin:
        used = ok(admin.get("/tenants/current"))["usage"]
    found = tables(live.database)
    for name, of in (("projects", "projects"), ("users", "memberships")):
        rows = [row for row in found[of].rows if found[of].owner(of, row) == home.hex]
        assert used[name] == len(rows) < len(found[of].rows)


def object_of(operation: Operation, field: Field) -> str | None:
    """What kind of thing a field names, if it names one."""
    if (operation.name, field.name) in NO_OBJECT or field.name == "request_id":
        return None
    word = re.sub(r"_(ids?|uuid)$", "", field.name).rpartition("_")[2].removesuffix("s")
    if (
        (word in OBJECTS and field.text)
        or "uuid" in field.kinds
        or re.search(r"_(ids?|uuid)$", field.name)
    ):
        return word
    return None


def of_tenant_a(stage: Stage, kind: str) -> list[str]:
    """Whatever names such a thing of A's."""
    if kind == "key":
        return [stage.an_api_key(stage.principals[1])]
    known = {
        "project": [stage.project, stage.slug],
        "target": [stage.project],
        **{kind: [stage.cast["viewerA"].id] for kind in ("user", "member", "actor")},
        "tenant": ["tenant-a"],
        "job": [stage.jobs[-1]],
        "experiment": [stage.experiment],
        "run": [stage.run],
        "model": [stage.model],
        **{key: [stage.project] for key in ("id", "subject")},
        "upload": [str(stage.an_upload()["upload_id"])],
    }
    if kind not in known:
        pytest.fail(f"nothing of A's is known that is a {kind}: teach `of_tenant_a`")
    return known[kind]


NAMING = [
    (operation, field)
    for operation in described()
    for field in fields(operation)
    if object_of(operation, field)
]


@pytest.mark.rows(54)
@pytest.mark.parametrize(("operation", "field"), NAMING, ids=str)
def test_a_foreign_thing_in_a_field_is_not_there(
    stage: Stage, own: dict[str, str], operation: Operation, field: Field, untouched: Any
) -> None:
    call = call_of(stage, operation, stage.principals[0])
    for before, word in pairwise(operation.path.split("/")):
        if word.startswith("{"):
            call.path[word[1:-1]] = own[before]
    kind = object_of(operation, field)
    assert kind is not None
    values = of_tenant_a(stage, kind)
    untouched()
    for value in values[:1] if "uuid" in field.kinds else values:
        answer = ask(stage, operation, field.put(call, value), operation.path.format(**call.path))
        if operation in SEARCHES and answer.is_success:
            assert finds_nothing(answer), answer.text
            continue
        public = {401, 403} if POLICY[operation.name] == PUBLIC else set()
        assert answer.status_code in {404, 422, *public}, answer.text
        record("foreign ids put into fields", 1)


@pytest.mark.rows(56)
@pytest.mark.parametrize("operation", [o for o in ASKED if o.has_body and not o.mlflow], ids=str)
def test_ids_are_made_by_the_server(
    stage: Stage, own: dict[str, str], operation: Operation, untouched: Any
) -> None:
    call = call_of(stage, operation, stage.principals[0])
    for before, word in pairwise(operation.path.split("/")):
        if word.startswith("{") and before in own:
            call.path[word[1:-1]] = own[before]
    known = {field.at[0] for field in fields(operation)}
    untouched()
    for name in {"id", "tenant_id", "created_by", "created_at", "user_id"} - known:
        body = {**(call.body or {}), name: stage.project}
        told = ask(stage, operation, Call(body), operation.path.format(**call.path))
        platform = RULES[Permission(POLICY[operation.name])].platform
        assert told.status_code in ({422, 403} if platform else {422}), (name, told.text)


@pytest.mark.rows(56)
def test_the_wire_makes_its_own_ids_too(stage: Stage, own: dict[str, str]) -> None:
    """Its clients may send what they like; it is not taken."""
    sent = {"id": stage.run, "run_id": stage.run, "run_uuid": stage.run}
    headers = dict(stage.cast["adminB"].bearer)
    for path, more in (
        ("experiments/create", named(experiment_id=stage.experiment)),
        ("runs/create", {"experiment_id": "0"}),
    ):
        made = ok(stage.http.post(f"{MLFLOW}/{path}", json=sent | more, headers=headers))
        id = made.get("experiment_id") or made["run"]["info"]["run_id"]
        assert id not in {stage.run, stage.experiment}


@pytest.mark.rows(57)
@pytest.mark.parametrize(
    "operation", [o for o in operations() if POLICY[o.name] != PUBLIC], ids=str
)
def test_a_header_makes_nobody_somebody(stage: Stage, operation: Operation) -> None:
    path = re.sub(r"{\w+}", stage.project, operation.path)
    named_in = {"tenant_id": "tenant-a", "user_id": stage.cast["adminA"].id}
    answer = stage.http.request(
        operation.method, path, params=named_in, headers=spoofed(stage.cast), json={}
    )
    assert answer.status_code == 401
    assert stage.mark not in answer.text


@pytest.mark.rows(57)
def test_nor_another_than_they_are(stage: Stage, own: dict[str, str]) -> None:
    admin = dict(stage.cast["adminB"].bearer)
    plain = ok(stage.http.get("/api/v1/auth/me", headers=admin))
    where = f"/api/v1/projects/{own['projects']}"
    named_in = {"tenant_id": str(tenant_of(stage.cast)), "user_id": stage.cast["adminA"].id}
    for name, value in spoofed(stage.cast).items():
        headers = admin | {name: value}
        told = ok(stage.http.get("/api/v1/auth/me", headers=headers))
        assert (told["id"], told["tenant"]) == (plain["id"], plain["tenant"]), name
        assert ok(stage.http.get(where, headers=headers))["id"] in where
        for path in ("/api/v1/auth/me", where):
            assert stage.http.get(path, headers=headers, params=named_in).status_code == 422
    named_so = admin | {"X-MLFLOW-WORKSPACE": stage.slug}
    assert stage.http.get(f"{MLFLOW}/experiments/search", headers=named_so).status_code == 404
