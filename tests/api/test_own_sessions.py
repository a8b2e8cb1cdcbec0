"""One's own sessions: which there are, ending one, how long they last, and changing tenants."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import delete, select, update

from maestro_ml.core.ids import new_id
from maestro_ml.db.tenants import SYSTEM
from maestro_ml.db.work import Sessions, open_system_work
from maestro_ml.identity.devices import device_of
from maestro_ml.identity.entering import enter
from maestro_ml.identity.models import Membership, Session, User
from maestro_ml.tenancy.models import DEFAULT_TENANT_ID, SessionProfile, TenantStatus
from support.mfa import Somebody, audited, joins, policy, somebody
from support.people import People, a_people_server
from support.races import AT_ONCE, EACH, race
from support.signin import an_api_key
from support.world import ACME, OTHER

STRICT = SessionProfile.STRICT


@pytest.fixture
async def server(sessions: Sessions, tmp_path: Path) -> AsyncIterator[People]:
    async with a_people_server(sessions, tmp_path) as server:
        server.clock.stop()
        yield server


@pytest.fixture
async def ada(server: People, sessions: Sessions) -> Somebody:
    """In the default tenant first, then in acme."""
    ada = await somebody(server)
    server.clock.move(seconds=1)
    await joins(sessions, ada.id, ACME, server.clock())
    return ada


async def listed(server: People, token: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await server.ok(token, "GET", "/auth/sessions"))["items"]
    return found


async def test_the_list_says_where_i_am_signed_in(server: People, ada: Somebody) -> None:
    await somebody(server)  # and nobody else
    login = {"email": ada.email, "password": ada.password}
    agent = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"}
    await server(None, "POST", "/auth/login", login, **agent, **{"X-Client": "web"})
    newest, mine = await listed(server, ada.token)
    assert (newest["device"], newest["kind"]) == ("Firefox on Linux", "web")
    assert (newest["current"], mine["current"]) == (False, True)
    assert (mine["kind"], mine["amr"], mine["ip"]) == ("api", ["pwd"], "127.0.0.1")
    assert set(mine) == {
        *("id", "device", "ip", "kind", "amr"),
        *("created_at", "last_seen_at", "expires_at", "current"),
    }


async def test_ending_one_refuses_its_device_at_once(
    server: People, ada: Somebody, sessions: Sessions
) -> None:
    other = await ada.logs_in()
    id = next(one["id"] for one in await listed(server, ada.token) if not one["current"])
    await server.ok(ada.token, "DELETE", f"/auth/sessions/{id}")
    await server.refused(401, other["access_token"], "GET", "/auth/me")
    refresh = {"refresh_token": other["refresh_token"]}
    await server.refused(401, None, "POST", "/auth/refresh", refresh)
    await server.ok(ada.token, "GET", "/auth/me")
    assert len(await listed(server, ada.token)) == 1
    again = await server.code(404, ada.token, "DELETE", f"/auth/sessions/{id}")
    assert again == "session-not-found"
    assert "session.ended" in await audited(sessions, "session.")


async def test_somebody_elses_is_as_if_it_were_not_there(server: People, ada: Somebody) -> None:
    stranger = await somebody(server)
    (theirs,) = await listed(server, stranger.token)
    answers = [
        await server(ada.token, "DELETE", f"/auth/sessions/{id}") for id in (theirs["id"], new_id())
    ]
    assert [one.status_code for one in answers] == [404, 404]
    assert answers[0].content == answers[1].content
    await server.refused(422, ada.token, "DELETE", "/auth/sessions/x")
    await server.ok(stranger.token, "GET", "/auth/me")


async def test_my_own_session_ends_like_any_other(server: People, ada: Somebody) -> None:
    (mine,) = await listed(server, ada.token)
    await server.ok(ada.token, "DELETE", f"/auth/sessions/{mine['id']}")
    await server.refused(401, ada.token, "GET", "/auth/me")


async def test_a_key_sees_and_ends_no_session(
    server: People, ada: Somebody, sessions: Sessions
) -> None:
    key = await an_api_key(sessions, ada.id, scopes=["read", "write", "admin"])
    (mine,) = await listed(server, ada.token)
    for method, path, body in (
        ("GET", "/auth/sessions", None),
        ("DELETE", f"/auth/sessions/{mine['id']}", None),
        ("GET", "/auth/tenants", None),
        ("POST", "/auth/switch", {"tenant": "acme"}),
    ):
        assert await server.code(403, key, method, path, body) == "forbidden"


async def test_i_see_the_tenants_i_can_work_in(
    server: People, ada: Somebody, sessions: Sessions
) -> None:
    async def slugs() -> list[str]:
        found = await server.ok(ada.token, "GET", "/auth/tenants")
        return [one["slug"] for one in found["items"]]

    assert await slugs() == ["default", "acme"]
    await policy(sessions, ACME, status=TenantStatus.SUSPENDED)
    assert await slugs() == ["default"]


async def test_a_switch_ends_the_session_here_and_begins_one_there(
    server: People, ada: Somebody
) -> None:
    there = await server.ok(ada.token, "POST", "/auth/switch", {"tenant": "acme"})
    assert (there["user"]["tenant"]["slug"], there["user"]["role"]) == ("acme", "member")
    await server.refused(401, ada.token, "GET", "/auth/me")
    await server.refused(401, None, "POST", "/auth/refresh", {"refresh_token": ada.refresh})
    me = await server.ok(there["access_token"], "GET", "/auth/me")
    assert me["tenant"]["slug"] == "acme"
    fresh = await server.ok(
        None, "POST", "/auth/refresh", {"refresh_token": there["refresh_token"]}
    )
    back = await server.ok(fresh["access_token"], "POST", "/auth/switch", {"tenant": "default"})
    assert back["user"]["tenant"]["slug"] == "default"


async def test_a_browser_switches_its_cookie(server: People, ada: Somebody) -> None:
    login = {"email": ada.email, "password": ada.password}
    web = {"X-Client": "web"}
    entered = await server(None, "POST", "/auth/login", login, **web)
    cookie = entered.headers["set-cookie"].split(";")[0]
    sent = {"Cookie": cookie, "Sec-Fetch-Site": "same-origin"}
    forged = await server(None, "POST", "/auth/switch", {"tenant": "acme"}, **sent)
    assert forged.status_code == 403
    sent["X-CSRF-Token"] = entered.json()["csrf_token"]
    there = await server(None, "POST", "/auth/switch", {"tenant": "acme"}, **sent)
    assert set(there.json()) == {"csrf_token", "user"}
    new = there.headers["set-cookie"].split(";")[0]
    assert new != cookie
    assert (await server(None, "GET", "/auth/me", Cookie=cookie)).status_code == 401
    me = await server(None, "GET", "/auth/me", Cookie=new)
    assert me.json()["tenant"]["slug"] == "acme"


async def test_no_way_leads_into_a_tenant_that_is_not_mine(
    server: People, ada: Somebody, sessions: Sessions
) -> None:
    await joins(sessions, ada.id, OTHER, server.clock())
    await policy(sessions, OTHER, status=TenantStatus.SUSPENDED)
    async with sessions.begin(SYSTEM) as session:
        gone = delete(Membership).where(
            Membership.user_id == UUID(ada.id), Membership.tenant_id == ACME
        )
        await session.execute(gone)
    answers = [
        await server(ada.token, "POST", "/auth/switch", {"tenant": slug})
        for slug in ("acme", "other", "nowhere")
    ]
    assert [one.status_code for one in answers] == [404] * 3
    assert len({one.content for one in answers}) == 1
    for body in ({}, {"tenant": ""}, {"tenant": "a/b"}, {"tenant": "acme", "role": "admin"}):
        await server.refused(422, ada.token, "POST", "/auth/switch", body)
    await server.ok(ada.token, "GET", "/auth/me")


async def test_of_forty_switches_at_once_one_begins_a_session(
    server: People, ada: Somebody, sessions: Sessions
) -> None:
    for slug in ("acme", "default") * 2:
        begun = await ada.logs_in()
        token, body = begun["access_token"], {"tenant": slug}
        done = await race(server(token, "POST", "/auth/switch", body) for _ in EACH)
        assert done == {200: 1, 401: AT_ONCE - 1}
    async with sessions.begin(SYSTEM) as session:
        alive = select(Session.id).where(
            Session.user_id == UUID(ada.id), Session.revoked_at.is_(None)
        )
        assert len(list(await session.scalars(alive))) == 5


async def test_a_tenant_that_asks_for_two_factors_is_not_switched_into_with_one(
    server: People, ada: Somebody, sessions: Sessions
) -> None:
    await policy(sessions, ACME, mfa_required=True)
    to_acme = {"tenant": "acme"}
    problem = await server.refused(403, ada.token, "POST", "/auth/switch", to_acme)
    assert (problem["type"], problem["tenant"]) == ("/problems/mfa-needed", "acme")
    await ada.enables()  # the session has proved two from now on
    there = await server.ok(ada.token, "POST", "/auth/switch", to_acme)
    assert there["user"]["tenant"]["slug"] == "acme"
    (mine,) = await listed(server, there["access_token"])
    assert mine["amr"] == ["pwd", "otp", "mfa"]


async def test_one_tenants_single_sign_on_says_nothing_in_another(
    server: People, ada: Somebody, sessions: Sessions
) -> None:
    """Or whoever runs an identity provider in one tenant would be anybody in any other."""
    async with open_system_work(sessions, clock=server.clock) as work:
        user = await work.session.get_one(User, UUID(ada.id))
        amr = ("oidc", "mfa")
        entered = await enter(work, server.identity, user, DEFAULT_TENANT_ID, web=False, amr=amr)
    token = entered.answer.model_dump()["access_token"]
    refused = await server.code(403, token, "POST", "/auth/switch", {"tenant": "acme"})
    assert refused == "sign-in-again"
    found = await server.ok(token, "GET", "/auth/tenants")
    assert [one["slug"] for one in found["items"]] == ["default"]
    await server.ok(token, "POST", "/auth/switch", {"tenant": "default"})


async def test_single_sign_on_names_no_other_tenant_that_asks_for_a_second_factor(
    server: People, ada: Somebody, sessions: Sessions
) -> None:
    await ada.enables()
    await policy(sessions, ACME, mfa_required=True)
    async with open_system_work(sessions, clock=server.clock) as work:
        user = await work.session.get_one(User, UUID(ada.id))
        amr = ("oidc", "mfa")
        entered = await enter(work, server.identity, user, DEFAULT_TENANT_ID, web=False, amr=amr)
    token = entered.answer.model_dump()["access_token"]
    assert (await server.ok(ada.token, "GET", "/auth/mfa"))["required_by"] == ["acme"]
    assert (await server.ok(token, "GET", "/auth/mfa"))["required_by"] == []
    body = {"current_password": ada.password, "code": ada.next_code()}
    known = await server.refused(409, ada.token, "POST", "/auth/mfa/disable", body)
    unknown = await server.refused(409, token, "POST", "/auth/mfa/disable", body)
    assert (known["tenants"], unknown["tenants"]) == (["acme"], [])
    assert "acme" in known["detail"]
    assert "acme" not in str(unknown)
    await policy(sessions, DEFAULT_TENANT_ID, mfa_required=True)
    assert (await server.ok(token, "GET", "/auth/mfa"))["required_by"] == ["default"]


async def test_going_to_and_fro_makes_no_session_longer(server: People, ada: Somebody) -> None:
    (mine,) = await listed(server, ada.token)
    token, refresh = ada.token, ada.refresh
    for day in range(6):
        server.clock.move(days=5 if day < 5 else 4.9)
        pair = await server.ok(None, "POST", "/auth/refresh", {"refresh_token": refresh})
        slug = ("acme", "default")[day % 2]
        there = await server.ok(pair["access_token"], "POST", "/auth/switch", {"tenant": slug})
        token, refresh = there["access_token"], there["refresh_token"]
        (now,) = await listed(server, token)
        assert now["expires_at"] == mine["expires_at"]
    server.clock.move(hours=3)
    await server.refused(401, None, "POST", "/auth/refresh", {"refresh_token": refresh})


@pytest.mark.parametrize("cookie", [False, True])
async def test_a_strict_tenant_ends_what_was_unused_for_an_hour(
    server: People, ada: Somebody, sessions: Sessions, cookie: bool
) -> None:
    await policy(sessions, DEFAULT_TENANT_ID, session_profile=STRICT)
    login = {"email": ada.email, "password": ada.password}
    web = {"X-Client": "web"} if cookie else {}
    entered = await server(None, "POST", "/auth/login", login, **web)

    async def status() -> int:
        if cookie:
            sent = {"Cookie": entered.headers["set-cookie"].split(";")[0]}
            answer = await server(None, "GET", "/auth/me", **sent)
        else:
            body = {"refresh_token": refresh}
            answer = await server(None, "POST", "/auth/refresh", body)
            if answer.is_success:
                tokens.append(answer.json()["refresh_token"])
        await server.identity.flush()
        return answer.status_code

    tokens = [] if cookie else [entered.json()["refresh_token"]]
    for _ in range(23):
        server.clock.move(minutes=59)
        refresh = tokens[-1] if tokens else ""
        assert await status() == 200
    refresh = tokens[-1] if tokens else ""
    server.clock.move(minutes=61)
    assert await status() == 401


async def test_a_strict_tenant_ends_every_session_after_a_day(
    server: People, ada: Somebody, sessions: Sessions
) -> None:
    await policy(sessions, DEFAULT_TENANT_ID, session_profile=STRICT)
    refresh = (await ada.logs_in())["refresh_token"]
    for _ in range(28):
        server.clock.move(minutes=51)
        pair = await server.ok(None, "POST", "/auth/refresh", {"refresh_token": refresh})
        refresh = pair["refresh_token"]
    server.clock.move(minutes=13)
    await server.refused(401, None, "POST", "/auth/refresh", {"refresh_token": refresh})


async def test_a_tenant_that_turns_strict_ends_old_sessions_at_once(
    server: People, ada: Somebody, sessions: Sessions
) -> None:
    there = await ada.logs_in(tenant="acme")
    server.clock.move(hours=2)
    here = await server.ok(None, "POST", "/auth/refresh", {"refresh_token": ada.refresh})
    await policy(sessions, ACME, session_profile=STRICT)
    late = {"refresh_token": there["refresh_token"]}
    await server.refused(401, None, "POST", "/auth/refresh", late)
    (mine,) = await listed(server, here["access_token"])
    assert mine["current"]  # the other tenant's is not listed any more either
    server.clock.move(hours=23)
    pair = await server.ok(None, "POST", "/auth/refresh", {"refresh_token": here["refresh_token"]})
    await policy(sessions, DEFAULT_TENANT_ID, session_profile=STRICT)
    await server.refused(401, pair["access_token"], "GET", "/auth/me")  # 25 hours old


async def test_twenty_sessions_and_no_more(server: People, ada: Somebody) -> None:
    for _ in range(21):
        newest = await ada.logs_in()
        server.clock.move(seconds=1)
    assert len(await listed(server, newest["access_token"])) == 20
    await server.refused(401, ada.token, "GET", "/auth/me")


async def test_the_last_use_is_told(server: People, ada: Somebody, sessions: Sessions) -> None:
    async with sessions.begin(SYSTEM) as session:
        await session.execute(update(Session).values(last_seen_at=server.clock()))
    server.clock.move(minutes=5)
    await server.ok(ada.token, "GET", "/auth/me")
    await server.identity.flush()
    (mine,) = await listed(server, ada.token)
    assert mine["last_seen_at"] > mine["created_at"]


@pytest.mark.parametrize(
    ("agent", "device"),
    [
        (None, "An unknown device"),
        ("", "An unknown device"),
        ("maestro-ml-client", "Maestro's command line or SDK"),
        ("curl/8.5.0", "curl"),
        (
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
            "Chrome/140.0.0.0 Safari/537.36 Edg/140.0",
            "Edge on Windows",
        ),
        (
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like "
            "Gecko) Version/18.0 Safari/605.1.15",
            "Safari on a Mac",
        ),
        (
            "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 "
            "CriOS/140.0 Mobile/15E148 Safari/604.1",
            "Chrome on iPhone",
        ),
        ("Mozilla/5.0 (Linux; Android 15) Firefox/140.0", "Firefox on Android"),
        ("\x1b[31mX-Files (Linux)", "A program on Linux"),
    ],
)
def test_a_device_is_told_in_words(agent: str | None, device: str) -> None:
    assert device_of(agent) == device
