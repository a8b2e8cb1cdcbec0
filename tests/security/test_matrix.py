"""Row 52: every operation, as everybody, against the table in `support.policy`."""

import json
from collections.abc import AsyncIterator
from contextlib import suppress

import httpx2
import pytest

from maestro_ml.db.work import Sessions
from support.calls import Call, call_of
from support.live import METRICS_TOKEN, Cast, LiveServer, a_password, ok
from support.policy import METRICS, POLICY, PUBLIC, Operation, operations, verdict
from support.principals import Principal, bearer, named, nobodies, somebodies
from support.proof import record
from support.sources import FromEverywhere
from support.stage import MLFLOW, Stage, some_jobs, tenant_of, with_approvals

OPERATIONS = operations()
_MANY = 40  # more than there are principals


@pytest.fixture(scope="module")
async def stage(cast: Cast, live: LiveServer, truth: Sessions) -> AsyncIterator[Stage]:
    tenant, jobs = tenant_of(cast), await some_jobs(cast, truth, 2 * _MANY)
    with cast.client() as nobody:
        password = a_password()
        body = {"email": "spare@someone.test", "password": password, "name": "Spare"}
        cast.keep("spare", password, ok(nobody.post("/auth/register", json=body)))
    with cast.client("adminB") as admin:
        ok(admin.post("/projects", json=named()))
    with cast.client("root") as root:  # everybody who calls makes and removes some people
        ok(
            root.patch(
                f"/tenants/{tenant}", json={"limits": {"max_users": 10_000, "max_projects": 10_000}}
            )
        )
    everybody = [
        *await nobodies(cast, live, truth, tenant),
        *await somebodies(cast, truth, tenant),
    ]
    with httpx2.Client(base_url=cast.url, timeout=30, transport=FromEverywhere()) as http:
        yield await with_approvals(Stage(cast, http, everybody, jobs), truth)


def ask(stage: Stage, operation: Operation, who: Principal, call: Call) -> list[str]:
    """What is wrong with the answer."""
    headers = who.headers() if call.bearer is None else bearer(call.bearer)
    if operation.mlflow and not who.at_home:
        headers |= stage.workspace
    path = operation.path.format(**call.path)
    answer = stage.http.request(
        operation.method, path, params=call.query, json=call.body, headers=headers
    )
    call.after()
    call.used_up = answer.is_success
    told = f"{path} {call.query} {json.dumps(call.body)} {headers.get('X-MLFLOW-WORKSPACE')}"
    names = any(word in told for word in stage.theirs) and not (call.finds and who.at_home)
    refused = verdict(operation.name, who.standing, "A" if names else None)
    if refused is not None:
        right = answer.status_code == refused
    elif call.ends is not None:
        right = _problem(answer) == call.ends
    else:
        right = answer.is_success
    if not right:
        wanted = refused or call.ends or "2xx"
        return [f"{who.name}: {answer.status_code} instead of {wanted}: {answer.text[:300]}"]
    if who.standing.home != "A" and stage.mark not in told:
        assert stage.mark not in answer.text + str(answer.headers), f"{who.name} sees A's mark"
    return []


def _problem(answer: httpx2.Response) -> str | None:
    with suppress(ValueError):
        told = answer.json()
        return str(told.get("error_code") or told.get("type", "")).removeprefix("/problems/")
    return None


@pytest.mark.rows(52)
@pytest.mark.parametrize("operation", OPERATIONS, ids=str)
def test_everybody_gets_what_the_table_says(stage: Stage, operation: Operation) -> None:
    assert operation.name in POLICY, f"{operation} is not in the table"
    wrong: list[str] = []
    call = None
    callers = [who for who in stage.principals if operation.mlflow or not who.at_home]
    for who in callers:
        if call is None or call.used_up or who.person is not None:
            call = call_of(stage, operation, who)
        wrong += ask(stage, operation, who, call)
    assert not wrong, "\n".join(wrong)
    record("operations asked by everybody", 1)
    record("answers compared with the table of permissions", len(callers))


@pytest.mark.rows(52)
@pytest.mark.parametrize("path", ["/api/v1/novelties/{id}", "/api/v1/novelties"])
def test_a_route_that_nobody_knows_how_to_call_fails(stage: Stage, path: str) -> None:
    novel = Operation("novelty", "POST", path, has_body="{" not in path)
    with pytest.raises(pytest.fail.Exception, match="teach"):
        call_of(stage, novel, stage.principals[0])


@pytest.mark.rows(52)
def test_the_table_is_of_what_there_is(stage: Stage) -> None:
    assert {operation.name for operation in OPERATIONS} == set(POLICY)
    assert len(stage.principals) <= _MANY
    contract = ok(stage.http.get("/openapi.json"))
    named = {o["operationId"] for path in contract["paths"].values() for o in path.values()}
    assert named <= set(POLICY)
    assert {name for name, policy in POLICY.items() if policy in {PUBLIC, METRICS}} == {
        *("read_docs", "read_openapi", "read_health", "read_readiness", "read_version"),
        *("read_metrics", "read_signing_keys", "read_auth_health", "register_user", "login"),
        *("refresh_tokens", "set_up_platform", "forget_password"),
        *("read_invitation", "accept_invitation", "reset_password", "verify_email"),
        *("start_single_sign_on", "finish_single_sign_on"),
        *("start_device_login", "poll_device_login"),
        *("show_front_page", "show_device_page", "show_page_file"),
        *("show_password_page", "show_email_page", "show_invitation_page"),
        *("login_with_code", "enrol_at_login", "confirm_at_login"),
        "PUT mlflow-artifacts/mpu/parts/{upload_id}/{number}",
    }


def test_the_figures_have_a_token_of_their_own(stage: Stage) -> None:
    answer = stage.http.get("/metrics", headers=bearer(METRICS_TOKEN))
    assert answer.status_code == 200
    assert "maestro_http_requests" in answer.text
    assert stage.mark not in answer.text
    for sent in ({}, bearer("x"), bearer(METRICS_TOKEN + "x"), {"Authorization": METRICS_TOKEN}):
        assert stage.http.get("/metrics", headers=sent).status_code == 401
    assert stage.http.get(f"/metrics?token={METRICS_TOKEN}").status_code == 401
    for path in ("/api/v1/auth/me", "/api/v1/projects"):
        assert stage.http.get(path, headers=bearer(METRICS_TOKEN)).status_code == 401


def test_nothing_of_tenant_a_was_changed_by_others(stage: Stage) -> None:
    project = ok(stage.made("GET", f"/api/v1/projects/{stage.project}"))
    assert (project["description"], project["archived_at"]) == (stage.mark, None)
    run = ok(stage.made("GET", f"{MLFLOW}/runs/get?run_id={stage.run}"))["run"]
    assert (run["info"]["run_name"], run["info"]["lifecycle_stage"]) == (stage.mark, "active")
