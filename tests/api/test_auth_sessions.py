"""Signing in, going on, and ending: what counts is the database at the very next request."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import delete, select, update

from maestro_ml.audit.models import AuditEvent
from maestro_ml.core.access import Role
from maestro_ml.db.tenants import SYSTEM
from maestro_ml.db.work import Sessions
from maestro_ml.identity import tokens
from maestro_ml.identity.models import Membership, Session, User
from maestro_ml.projects.models import ProjectMember
from maestro_ml.tenancy.models import DEFAULT_TENANT_ID, Tenant, TenantStatus
from support.races import AT_ONCE, EACH, race
from support.signin import SignInServer, a_signin_server, an_api_key
from support.world import ACME, LAB, USERS

Change = Callable[[Sessions, UUID], Awaitable[None]]


@pytest.fixture
async def server(sessions: Sessions, tmp_path: Path) -> AsyncIterator[SignInServer]:
    async with a_signin_server(sessions, tmp_path) as server:
        yield server


async def audited(sessions: Sessions, prefix: str = "session.") -> list[str]:
    async with sessions.begin(SYSTEM) as session:
        found = await session.scalars(select(AuditEvent.action).order_by(AuditEvent.id))
        return [action for action in found if action.startswith(prefix)]


async def run(sessions: Sessions, statement: Any) -> None:
    async with sessions.begin(SYSTEM) as session:
        await session.execute(statement)


def id_of(signed_in: dict[str, Any]) -> UUID:
    return UUID(signed_in["user"]["id"])


async def test_login_gives_the_same_fields_and_is_recorded(server: SignInServer) -> None:
    made = await server.register()
    again = await server.login(made)
    fields = {"access_token", "refresh_token", "token_type", "expires_in", "user"}
    assert set(again) == fields == set(made) - {"password", "email"}
    assert again["access_token"] != made["access_token"]
    assert again["user"]["last_login_at"] > made["user"]["last_login_at"]
    assert (await server.me(again["access_token"])).json()["id"] == made["user"]["id"]


async def test_logout_ends_this_session_at_once_and_no_other(
    server: SignInServer, sessions: Sessions
) -> None:
    made = await server.register()
    other = await server.login(made)
    bearer = f"Bearer {made['access_token']}"
    assert (await server.post("logout", authorization=bearer)).status_code == 204
    for _ in range(3):
        assert (await server.me(made["access_token"])).status_code == 401
    dead = await server.post("refresh", {"refresh_token": made["refresh_token"]})
    assert dead.status_code == 401
    assert (await server.me(other["access_token"])).status_code == 200
    assert (await audited(sessions))[-1] == "session.ended"


async def test_logout_all_ends_every_session_and_no_key(
    server: SignInServer, sessions: Sessions
) -> None:
    made = await server.register()
    logins = [made, await server.login(made), await server.login(made)]
    key = await an_api_key(sessions, made["user"]["id"])
    stranger = await server.register()
    bearer = f"Bearer {logins[1]['access_token']}"
    assert (await server.post("logout-all", authorization=bearer)).status_code == 204
    for one in logins:
        assert (await server.me(one["access_token"])).status_code == 401
        dead = await server.post("refresh", {"refresh_token": one["refresh_token"]})
        assert dead.status_code == 401
    assert (await server.me(key)).status_code == 200
    assert (await server.me(stranger["access_token"])).status_code == 200
    assert (await audited(sessions)).count("session.ended") == 3


async def test_a_refresh_gives_a_new_pair_and_the_old_token_is_dead(server: SignInServer) -> None:
    made = await server.register()
    first = {"refresh_token": made["refresh_token"]}
    answer = await server.post("refresh", first)
    pair = answer.json()
    assert answer.status_code == 200
    assert pair["expires_in"] == 900
    assert pair["user"] == made["user"]
    assert pair["refresh_token"] != made["refresh_token"]
    assert (await server.me(pair["access_token"])).status_code == 200
    assert (await server.post("refresh", first)).status_code == 401


async def test_a_refresh_token_used_twice_ends_its_session_once_and_no_other(
    server: SignInServer, sessions: Sessions
) -> None:
    made = await server.register()
    other = await server.login(made)
    first = {"refresh_token": made["refresh_token"]}
    pair = (await server.post("refresh", first)).json()
    second = {"refresh_token": pair["refresh_token"]}
    for body in (first, second, first):
        assert (await server.post("refresh", body)).status_code == 401
    assert (await server.me(pair["access_token"])).status_code == 401
    assert (await server.me(other["access_token"])).status_code == 200
    assert (await audited(sessions)).count("session.refresh_reused") == 1


async def test_forty_uses_of_one_refresh_token_have_one_winner(
    server: SignInServer, sessions: Sessions
) -> None:
    made = await server.register()
    body = {"refresh_token": made["refresh_token"]}
    done = await race(server.post("refresh", body) for _ in EACH)
    assert done == {200: 1, 401: AT_ONCE - 1}
    assert (await audited(sessions)).count("session.refresh_reused") == 1


async def test_no_other_kind_of_token_refreshes(server: SignInServer, sessions: Sessions) -> None:
    made = await server.register()
    key = await an_api_key(sessions, made["user"]["id"])
    turned = made["refresh_token"][:-1] + ("A" if made["refresh_token"][-1] != "A" else "B")
    for wrong in (key, turned, "mlr_" + "x" * 49, "x", "\u00e9"):
        answer = await server.post("refresh", {"refresh_token": wrong})
        assert answer.status_code == 401, wrong
        assert answer.headers["www-authenticate"] == "Bearer"
    too_long = await server.post("refresh", {"refresh_token": made["access_token"]})
    assert too_long.status_code in {401, 422}
    assert (await server.me(made["refresh_token"])).status_code == 401


async def test_a_session_idle_for_seven_days_is_over(server: SignInServer) -> None:
    made = await server.register()
    server.clock.move(days=6, hours=23)
    pair = (await server.post("refresh", {"refresh_token": made["refresh_token"]})).json()
    server.clock.move(days=7)
    dead = await server.post("refresh", {"refresh_token": pair["refresh_token"]})
    assert dead.status_code == 401


async def test_a_session_in_use_is_over_after_thirty_days(server: SignInServer) -> None:
    pair = await server.register()
    for _ in range(5):
        server.clock.move(days=5, hours=23)
        answer = await server.post("refresh", {"refresh_token": pair["refresh_token"]})
        assert answer.status_code == 200
        pair = answer.json()
    server.clock.move(days=1)
    dead = await server.post("refresh", {"refresh_token": pair["refresh_token"]})
    assert dead.status_code == 401
    assert (await server.me(pair["access_token"])).status_code == 401


async def test_an_access_token_lives_fifteen_minutes(server: SignInServer) -> None:
    made = await server.register()
    server.clock.move(minutes=14, seconds=59)
    assert (await server.me(made["access_token"])).status_code == 200
    server.clock.move(seconds=6)
    assert (await server.me(made["access_token"])).status_code == 401


async def disable(sessions: Sessions, user: UUID) -> None:
    await run(sessions, update(User).where(User.id == user).values(active=False))


async def remove(sessions: Sessions, user: UUID) -> None:
    await run(sessions, delete(User).where(User.id == user))


async def leave(sessions: Sessions, user: UUID) -> None:
    await run(sessions, delete(Membership).where(Membership.user_id == user))


async def suspend(sessions: Sessions, _: UUID) -> None:
    suspended = update(Tenant).where(Tenant.id == DEFAULT_TENANT_ID)
    await run(sessions, suspended.values(status=TenantStatus.SUSPENDED))


@pytest.mark.parametrize("change", [disable, remove, leave, suspend], ids=lambda f: f.__name__)
async def test_what_ends_an_account_ends_every_credential_on_the_next_request(
    server: SignInServer, sessions: Sessions, change: Change
) -> None:
    made = await server.register()
    key = await an_api_key(sessions, made["user"]["id"])
    for token in (made["access_token"], key):
        assert (await server.me(token)).status_code == 200
    await change(sessions, id_of(made))
    for token in (made["access_token"], key):
        assert (await server.me(token)).status_code == 401
    dead = await server.post("refresh", {"refresh_token": made["refresh_token"]})
    assert dead.status_code == 401
    body = {"email": made["email"], "password": made["password"]}
    refused = await server.post("login", body)
    wrong = await server.post("login", body | {"password": "wrong"})
    assert refused.status_code == wrong.status_code == 401
    assert refused.json()["detail"] == wrong.json()["detail"]


async def test_a_new_role_counts_on_the_next_request(
    server: SignInServer, sessions: Sessions
) -> None:
    made = await server.register()
    for role in (Role.ADMIN, Role.VIEWER):
        changed = update(Membership).where(Membership.user_id == id_of(made)).values(role=role)
        await run(sessions, changed)
        assert (await server.me(made["access_token"])).json()["role"] == role


async def test_a_platform_admin_keeps_their_way_in_without_a_tenant(
    server: SignInServer, sessions: Sessions
) -> None:
    made = await server.register()
    await run(sessions, update(User).where(User.id == id_of(made)).values(platform_admin=True))
    await suspend(sessions, id_of(made))
    me = (await server.me(made["access_token"])).json()
    assert (me["role"], me["tenant"], me["platform_admin"]) == (None, None, True)
    await leave(sessions, id_of(made))
    again = await server.login(made)
    assert again["user"]["tenant"] is None
    assert (await server.me(again["access_token"])).status_code == 200
    refreshed = await server.post("refresh", {"refresh_token": again["refresh_token"]})
    assert refreshed.status_code == 200


async def test_the_twenty_first_session_ends_the_oldest(
    server: SignInServer, sessions: Sessions
) -> None:
    made = await server.register()
    second = await server.login(made)
    for _ in range(18):
        last = await server.login(made)
    assert (await server.me(made["access_token"])).status_code == 200
    last = await server.login(made)
    assert (await server.me(made["access_token"])).status_code == 401
    assert (await server.me(second["access_token"])).status_code == 200
    assert (await server.me(last["access_token"])).status_code == 200


async def test_use_is_written_down_beside_the_requests(
    server: SignInServer, sessions: Sessions
) -> None:
    made = await server.register()
    key = await an_api_key(sessions, made["user"]["id"])

    async def seen() -> tuple[Any, Any]:
        async with sessions.begin(SYSTEM) as session:
            at = await session.scalar(select(Session.last_seen_at))
            user = await session.get_one(User, id_of(made))
            return at, user.last_login_at

    before, _ = await seen()
    server.clock.move(minutes=5)
    await server.me(made["access_token"])
    await server.me(key)
    assert (await seen())[0] == before
    await server.identity.flush()
    assert (await seen())[0] > before


async def test_a_login_opens_the_tenant_that_is_named(
    server: SignInServer, sessions: Sessions
) -> None:
    made = await server.register()
    async with sessions.begin(SYSTEM) as session:
        membership = Membership(user_id=id_of(made), role=Role.ADMIN, created_at=server.clock())
        membership.tenant_id = ACME
        session.add(membership)
    body = {"email": made["email"], "password": made["password"]}
    for slug, role in (("acme", "admin"), ("default", "viewer"), (None, "viewer")):
        answer = await server.post("login", body | {"tenant": slug})
        assert answer.json()["user"]["role"] == role
        me = (await server.me(answer.json()["access_token"])).json()
        assert me["role"] == role
    assert (await server.post("login", body | {"tenant": "other"})).status_code == 401
    assert (await server.post("login", body | {"tenant": "nowhere"})).status_code == 401


async def test_project_roles_and_key_limits_are_part_of_the_caller(
    server: SignInServer, sessions: Sessions
) -> None:
    viewer = USERS[ACME, Role.VIEWER]
    async with sessions.begin(ACME) as session:
        session.add(
            ProjectMember(
                project_id=LAB, user_id=viewer, role=Role.MAINTAINER, created_at=server.clock()
            )
        )
    limits = {"project_ids": [str(LAB)], "default_project_id": LAB, "scopes": ["read"]}
    secret = await an_api_key(sessions, str(viewer), ACME, **limits)
    access = await server.identity.lookup.api_key(tokens.digest(secret), server.clock())
    assert access is not None
    assert access.project_roles == {LAB: Role.MAINTAINER}
    assert access.only_projects == frozenset({LAB})
    assert access.default_project_id == LAB
    assert {str(scope) for scope in access.scopes} == {"read"}
    assert access.role is Role.VIEWER
