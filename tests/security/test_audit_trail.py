"""No change without a record, and no secret in one (attacks.md 61): every operation there is."""

import json
import re
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx2
import pyotp
import pytest
from sqlalchemy import select

from maestro_ml.audit.models import AuditEvent
from maestro_ml.core.access import Role
from maestro_ml.db.tenants import SYSTEM
from maestro_ml.db.work import Sessions
from maestro_ml.tenancy.models import DEFAULT_TENANT_ID
from support.calls import Call, call_of
from support.forgery import unpack
from support.live import Cast, a_password, ok
from support.policy import Operation, Standing, operations
from support.principals import Principal, accepting
from support.stage import Stage, some_jobs, with_approvals

# What a run is made of is the record itself, and comes by the thousand; the rest only reads.
UNRECORDED = {
    *(f"POST runs/{verb}" for verb in ("create", "update", "set-tag", "delete-tag", "search")),
    *(f"POST runs/log-{what}" for what in ("metric", "parameter", "batch")),
    *(f"POST experiments/{verb}-experiment-tag" for verb in ("set", "delete")),
    "POST experiments/search",
    *(f"POST runs/{what}" for what in ("log-inputs", "log-model", "outputs")),
    "POST experiments/search-datasets",
    *(f"POST logged-models{rest}" for rest in ("", "/search", "/{model_id}/params")),
    *(f"PATCH logged-models/{{model_id}}{rest}" for rest in ("", "/tags")),
    "DELETE logged-models/{model_id}/tags/{tag_key}",
    *(f"POST artifacts/presigned-{way}-url" for way in ("download", "upload")),
    "PUT mlflow-artifacts/artifacts/{path}",
    *(f"POST mlflow-artifacts/mpu/{verb}/{{path}}" for verb in ("create", "complete", "abort")),
    "PUT mlflow-artifacts/mpu/parts/{upload_id}/{number}",
    "start_device_login",  # by nobody yet: who approves it is written down
    "forget_password",  # by nobody known: the worker writes down what comes of it
    "resend_verification",  # nothing of theirs waits
    "read_invitation",  # by nobody yet: who accepts it is written down
    "POST registered-models/get-latest-versions",  # it looks, and changes nothing
    "try_approval_policy",  # it looks, and changes nothing
    "test_identity_provider",  # it looks, and changes nothing
}
# By a link that was mailed, before the tenant knows a factor, or about what a server has nothing of
# by itself: where that way is walked.
ON_THE_WAY = {
    "reset_password": ("api/test_password_reset.py", "user.password_reset"),
    "verify_email": ("api/test_verified_registration.py", "user.email_verified"),
    "enrol_at_login": ("security/test_mfa.py", "mfa.enrolment_begun"),
    "confirm_at_login": ("security/test_mfa.py", "mfa.enabled"),
    "create_approval": ("api/test_approvals.py", "approval.requested"),
    "vote_on_approval": ("api/test_approvals.py", "approval.voted"),
    "override_approval": ("api/test_approval_gates.py", "approval.overridden"),
}
CHANGING = [
    o
    for o in operations()
    if (o.method != "GET" or o.name == "export_audit_events")
    and o.name not in UNRECORDED
    and o.name != "set_up_platform"  # is done once, before: see below
    and o.name not in ON_THE_WAY
    and not o.path.startswith("/ajax-api")
]
SECRET = re.compile(r"ml[a-z]_[0-9A-Za-z]{20,}|eyJ[\w-]{10,}|\$argon2")


def _restoring(stage: Stage) -> str:
    id, _ = stage.a_project()
    ok(stage.made("POST", f"/api/v1/projects/{id}/archive"))
    return id


def _deleting(stage: Stage, _: Principal) -> Call:
    id, slug = stage.a_project()
    ok(stage.made("POST", f"/api/v1/projects/{id}/archive"))
    return Call(path={"id": id}, query={"confirm": slug})


def _deleting_model(stage: Stage, _: Principal) -> Call:
    name = stage.a_registered_model()
    return Call(path={"name": name}, query={"confirm": name})


def _accepting(stage: Stage, _: Principal) -> Call:
    offer = {"email": f"{secrets.token_hex(6)}@invited.test", "role": "viewer"}
    made = stage.by_admin("POST", "/api/v1/users/invitations", offer)
    return Call(accepting(made["token"]))


def _newcomer(stage: Stage) -> tuple[str, dict[str, str]]:
    """Somebody of A, who nobody else is: their session, and how they sign in."""
    offer = {"email": f"{secrets.token_hex(6)}@invited.test", "role": "viewer"}
    body = accepting(stage.by_admin("POST", "/api/v1/users/invitations", offer)["token"])
    made = ok(stage.http.post("/api/v1/auth/invitations/accept", json=body))
    return made["access_token"], {"email": offer["email"], "password": body["password"]}


def _of_newcomer(**body: str) -> Callable[[Stage, Principal], Call]:
    def call(stage: Stage, _: Principal) -> Call:
        token, known = _newcomer(stage)
        return Call({"current_password": known["password"]} | body, bearer=token)

    return call


def _begun(stage: Stage) -> tuple[str, dict[str, str], pyotp.TOTP]:
    token, known = _newcomer(stage)
    asked = {"current_password": known["password"]}
    path = "/api/v1/auth/mfa/totp"
    begun = ok(stage.http.post(path, json=asked, headers={"Authorization": f"Bearer {token}"}))
    return token, known, pyotp.TOTP(begun["secret"])


def _confirming(stage: Stage, _: Principal) -> Call:
    token, _known, app = _begun(stage)
    return Call({"code": app.now()}, bearer=token)


def _with_factor(stage: Stage) -> tuple[str, dict[str, str], list[str]]:
    token, known, app = _begun(stage)
    path = "/api/v1/auth/mfa/totp/confirm"
    body = {"code": app.now()}
    done = ok(stage.http.post(path, json=body, headers={"Authorization": f"Bearer {token}"}))
    return token, known, done["recovery_codes"]


def _renewing(stage: Stage, _: Principal) -> Call:
    token, _known, codes = _with_factor(stage)
    return Call({"recovery_code": codes[0]}, bearer=token)


def _disabling(stage: Stage, _: Principal) -> Call:
    token, known, codes = _with_factor(stage)
    body = {"current_password": known["password"], "recovery_code": codes[0]}
    return Call(body, bearer=token)


def _halfway(stage: Stage, _: Principal) -> Call:
    token, known, codes = _with_factor(stage)
    half = ok(stage.http.post("/api/v1/auth/login", json=known))["mfa_token"]
    return Call({"mfa_token": half, "recovery_code": codes[0]}, bearer=token)


def _switching(stage: Stage, _: Principal) -> Call:
    token, _known = _newcomer(stage)
    me = ok(stage.http.get("/api/v1/auth/me", headers={"Authorization": f"Bearer {token}"}))
    return Call({"tenant": me["tenant"]["slug"]}, bearer=token)


def _doing_away(stage: Stage, _: Principal) -> Call:
    id, slug = stage.a_tenant()
    return Call({"confirm": slug}, path={"id": id})


def _closing(stage: Stage, _: Principal) -> Call:
    return Call({"email": _newcomer(stage)[1]["email"]})


def _opening(stage: Stage, who: Principal) -> Call:
    call = _closing(stage, who)
    stage.by_root("POST", "/api/v1/accounts/disable", call.body)
    return call


def _terminal(stage: Stage, _: Principal) -> Call:
    token, _known = _newcomer(stage)
    device = ok(stage.http.post("/api/v1/auth/device", json={}))
    approval = {"user_code": device["user_code"]}
    headers = {"Authorization": f"Bearer {token}"}
    ok(stage.http.post("/api/v1/auth/device/approve", json=approval, headers=headers))
    return Call({"device_code": device["device_code"]}, bearer=token)


def _promoting(stage: Stage, _: Principal) -> Call:
    id = stage.cast["viewerA"].id
    back = {"role": "viewer"}
    return Call(
        {"role": "member"},
        path={"id": id},
        after=lambda: stage.by_admin("PATCH", f"/api/v1/users/{id}", back),
    )


def _resuming(stage: Stage, _: Principal) -> Call:
    id, _slug = stage.a_tenant()
    stage.by_root("POST", f"/api/v1/tenants/{id}/suspend")
    return Call(path={"id": id})


def _stricter(stage: Stage, _: Principal) -> Call:
    policy, back = "/api/v1/tenants/current/policy", {"session_profile": "standard"}
    return Call({"session_profile": "strict"}, after=lambda: stage.by_admin("PATCH", policy, back))


def _replaying(stage: Stage, _: Principal) -> Call:
    """To a webhook that is gone before long, so that nothing is tried behind the tests' backs."""
    webhook = stage.a_webhook()
    return Call(
        path={"id": webhook, "delivery_id": stage.a_delivery(webhook)},
        after=lambda: stage.made("DELETE", f"/api/v1/webhooks/{webhook}"),
    )


# Where `support.calls` has a mistake that is found out last, or what changes nothing: done here.
DONE: dict[str, Callable[[Stage, Principal], Call]] = {
    "register_user": lambda *_: Call(
        {"email": f"{secrets.token_hex(6)}@new.test", "password": a_password(), "name": "N"}
    ),
    "accept_invitation": _accepting,
    "change_tenant_policy": _stricter,
    "change_password": _of_newcomer(new_password=a_password()),
    "change_email": _of_newcomer(new_email=f"{secrets.token_hex(6)}@another.test"),
    "begin_totp": _of_newcomer(),
    "confirm_totp": _confirming,
    "renew_recovery_codes": _renewing,
    "disable_mfa": _disabling,
    "login_with_code": _halfway,
    "switch_tenant": _switching,
    "poll_device_login": _terminal,
    "delete_tenant": _doing_away,
    "disable_account": _closing,
    "enable_account": _opening,
    "resume_tenant": _resuming,
    "change_user": _promoting,
    "change_project": lambda *_: Call({"description": secrets.token_hex(8)}),
    "PATCH workspaces/{workspace_name}": lambda *_: Call({"description": secrets.token_hex(8)}),
    "delete_project": _deleting,
    "delete_model": _deleting_model,
    "restore_project": lambda stage, _: Call(path={"id": _restoring(stage)}),
    "replay_webhook_delivery": _replaying,
    "change_project_member": lambda stage, _: Call(
        {"role": "member"}, path={"id": stage.with_viewer(stage.a_project()[0])}
    ),
}
ABOVE = {
    *(f"{verb}_tenant" for verb in ("create", "change", "suspend", "resume", "delete")),
    *("disable_account", "enable_account"),
}
ELSEWHERE = {*ABOVE, "register_user"}  # the tenant is not A
BY = dict.fromkeys(ABOVE, "root") | {"logout_everywhere": "viewerA"}


@dataclass
class Used:
    """Every secret that was sent or given."""

    words: set[str] = field(default_factory=set)

    def note(self, value: Any) -> None:
        if isinstance(value, dict):
            for name, inner in value.items():
                if isinstance(inner, str) and re.search("password|token|secret", name):
                    if inner != "bearer" and name != "token_type":
                        self.words.add(inner)
                else:
                    self.note(inner)
        elif isinstance(value, list):
            for inner in value:
                self.note(inner)


@pytest.fixture(scope="module")
def used() -> Used:
    return Used()


@pytest.fixture(scope="module")
async def stage(cast: Cast, truth: Sessions) -> AsyncIterator[Stage]:
    jobs = await some_jobs(cast, truth, 4)
    with httpx2.Client(base_url=cast.url, timeout=30) as http:
        yield await with_approvals(Stage(cast, http, [], jobs), truth)


def events_of(answer: list[AuditEvent]) -> Iterator[tuple[str, str | None]]:
    for event in answer:
        yield event.action, event.target_id


async def recorded(truth: Sessions, request_id: str) -> list[AuditEvent]:
    async with truth.begin(SYSTEM, read_only=True) as session:
        query = select(AuditEvent).where(AuditEvent.request_id == request_id)
        return list(await session.scalars(query))


@pytest.mark.parametrize("name", ON_THE_WAY)
def test_what_is_recorded_on_the_way_is_looked_for_there(name: str) -> None:
    file, action = ON_THE_WAY[name]
    assert action in (Path(__file__).parents[1] / file).read_text()


@pytest.mark.rows(61)
@pytest.mark.parametrize("operation", CHANGING, ids=str)
async def test_a_change_leaves_its_record(
    stage: Stage, truth: Sessions, used: Used, operation: Operation
) -> None:
    person = BY.get(operation.name, "adminA")
    who = Principal(person, Standing(role=Role.ADMIN), lambda: {}, person)
    prepare = DONE.get(operation.name)
    call = prepare(stage, who) if prepare else call_of(stage, operation, who)
    assert call.ends is None, "it refuses: teach `DONE`"
    path = operation.path.format(**(call_of(stage, operation, who).path | call.path))
    request_id = secrets.token_hex(12)
    token = call.bearer or stage.cast[person].token
    headers = {"X-Request-ID": request_id, "Authorization": f"Bearer {token}"}
    if operation.mlflow:
        headers |= stage.workspace
    answer = stage.http.request(
        operation.method, path, params=call.query, json=call.body, headers=headers
    )
    assert answer.is_success, answer.text
    told = answer.json() if answer.text.startswith("{") else None
    for value in (call.body, told, {"token": token}):
        used.note(value)
    call.after()

    events = await recorded(truth, request_id)
    assert events, "nothing was written down"
    twice = {what for what, n in Counter(events_of(events)).items() if n > 1}
    assert not twice, "one change, two records"
    actor = told["user"]["id"] if told and "user" in told else unpack(token)[1]["sub"]
    assert {str(event.actor_id) for event in events} == {actor}
    assert {event.ip for event in events} == {"127.0.0.1"}
    if operation.name not in ELSEWHERE:
        home = UUID(unpack(stage.cast["adminA"].token)[1]["tid"])
        assert {event.tenant_id for event in events} == {home}


async def test_what_somebody_registered_or_made_is_in_the_trail_it_belongs_to(
    stage: Stage, truth: Sessions
) -> None:
    """The platform's own events lie in the default tenant, whose admin the first one is."""
    root = stage.cast["root"].bearer
    page = ok(stage.http.get("/api/v1/audit-events?action=setup_secret.*", headers=root))
    assert {event["action"] for event in page["items"]} == {
        "setup_secret.issued",
        "setup_secret.spent",
    }
    async with truth.begin(DEFAULT_TENANT_ID) as session:
        mine = {str(id) for id in await session.scalars(select(AuditEvent.id))}
    seen: set[str] = set()
    cursor = ""
    while cursor is not None:
        path = f"/api/v1/audit-events?limit=200{cursor and f'&cursor={cursor}'}"
        page = ok(stage.http.get(path, headers=root))
        seen |= {event["id"] for event in page["items"]}
        cursor = page["next_cursor"]
    assert seen
    assert seen <= mine


@pytest.mark.rows(61, 78)
async def test_no_record_holds_a_secret(stage: Stage, truth: Sessions, used: Used) -> None:
    """Of every password, token and key that was used, and of whatever looks like one."""
    for person in stage.cast.people.values():
        used.words |= {person.password, person.token, person.refresh}
    assert len(used.words) > 20
    async with truth.begin(SYSTEM, read_only=True) as session:
        every = list(await session.scalars(select(AuditEvent)))
    assert len(every) > len(CHANGING) / 2
    for event in every:
        text = json.dumps(
            [event.action, event.facts, event.target_id, event.user_agent, event.request_id]
        )
        assert not SECRET.search(text), text
        assert not any(word in text for word in used.words), text


@pytest.mark.rows(61)
def test_others_see_nothing_of_it(stage: Stage) -> None:
    """Attack 61: A's rows for A's admin, 403 for its viewer, none of them for B's, 401 for
    nobody; and no verb that would change one."""
    path = "/api/v1/audit-events"
    mine = ok(stage.http.get(path, headers=stage.cast["adminA"].bearer))["items"]
    assert mine
    theirs = ok(stage.http.get(f"{path}?limit=200", headers=stage.cast["adminB"].bearer))["items"]
    assert {event["id"] for event in mine}.isdisjoint(event["id"] for event in theirs)
    assert stage.mark not in json.dumps(theirs)
    viewer = stage.cast.sign_in("viewerA")
    assert stage.http.get(path, headers=viewer.bearer).status_code == 403
    assert stage.http.get(path).status_code == 401
    for method in ("PUT", "PATCH", "DELETE"):
        address = f"{path}/{mine[0]['id']}"
        answer = stage.http.request(method, address, headers=stage.cast["adminA"].bearer)
        assert answer.status_code == 405
