"""Signing in with a second factor, wherever one comes in."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import delete, select, update

from maestro_ml.db.tenants import SYSTEM
from maestro_ml.db.work import Sessions, open_system_work
from maestro_ml.identity import tokens
from maestro_ml.identity.entering import enter
from maestro_ml.identity.models import Membership, MfaChallenge, Session, User
from maestro_ml.identity.schemas import SignedIn
from maestro_ml.identity.schemas_mfa import MfaRequired
from maestro_ml.identity.service.setup import issue_secret
from maestro_ml.tenancy.models import DEFAULT_TENANT_ID, TenantStatus
from support.live import a_password
from support.mfa import Somebody, audited, code_at, joins, policy, somebody
from support.people import People, a_people_server
from support.races import AT_ONCE, EACH, race
from support.signin import a_registration
from support.world import ACME

STEP = "/auth/login/mfa"


@pytest.fixture
async def server(sessions: Sessions, tmp_path: Path) -> AsyncIterator[People]:
    async with a_people_server(sessions, tmp_path) as server:
        server.clock.stop()
        yield server


@pytest.fixture
async def safe(server: People) -> Somebody:
    return await (await somebody(server)).enables()


async def amr_of_newest(sessions: Sessions) -> list[str]:
    async with sessions.begin(SYSTEM) as session:
        query = select(Session.amr).order_by(Session.id.desc()).limit(1)
        found: list[str] = (await session.scalars(query)).one()
        return found


async def test_a_password_alone_gives_no_session(
    server: People, safe: Somebody, sessions: Sessions
) -> None:
    answer = await safe.logs_in()
    assert set(answer) == {"mfa_required", "mfa_token", "expires_in", "methods"}
    assert answer["methods"] == ["totp", "recovery_code"]
    assert answer["expires_in"] == 300
    body = {"mfa_token": answer["mfa_token"], "code": safe.next_code()}
    entered = await server.ok(None, "POST", STEP, body)
    assert entered["user"]["email"] == safe.email
    assert (await server.ok(entered["access_token"], "GET", "/auth/me"))["id"] == safe.id
    await server.ok(None, "POST", "/auth/refresh", {"refresh_token": entered["refresh_token"]})
    assert await amr_of_newest(sessions) == ["pwd", "otp", "mfa"]


async def test_a_wrong_password_says_nothing_of_the_factor(server: People, safe: Somebody) -> None:
    body = {"email": safe.email, "password": a_password()}
    assert await server.code(401, None, "POST", "/auth/login", body) == "wrong-credentials"


async def test_a_browser_gets_its_cookie_after_the_code(
    server: People, safe: Somebody, sessions: Sessions
) -> None:
    body = {"email": safe.email, "password": safe.password}
    web = {"X-Client": "web"}
    half = await server(None, "POST", "/auth/login", body, **web)
    assert "set-cookie" not in half.headers
    answer = {"mfa_token": half.json()["mfa_token"], "code": safe.next_code()}
    entered = await server(None, "POST", STEP, answer)  # the first step has said that it is one
    assert entered.headers["set-cookie"].startswith("__Host-session=mlc_")
    assert set(entered.json()) == {"csrf_token", "user"}


async def test_a_code_works_once(server: People, safe: Somebody) -> None:
    code = safe.next_code()
    await server.ok(None, "POST", STEP, {"mfa_token": await safe.half_way(), "code": code})
    half = await safe.half_way()
    for again in (code, safe.code(-1)):  # nor does an older one
        body = {"mfa_token": half, "code": again}
        assert await server.code(403, None, "POST", STEP, body) == "wrong-code"
    right = {"mfa_token": half, "code": f"{safe.code(1)[:3]} {safe.code(1)[3:]}"}
    await server.ok(None, "POST", STEP, right)


async def test_the_clocks_may_differ_by_one_step(server: People, safe: Somebody) -> None:
    server.clock.move(minutes=5)
    half = await safe.half_way()
    for steps in (-2, 2, -20, 20):
        body = {"mfa_token": half, "code": safe.code(steps)}
        assert await server.code(403, None, "POST", STEP, body) == "wrong-code"
    await server.ok(None, "POST", STEP, {"mfa_token": half, "code": safe.code(-1)})
    more = {"mfa_token": await safe.half_way(), "code": safe.code(1)}
    await server.ok(None, "POST", STEP, more)


async def test_a_recovery_code_works_once(
    server: People, safe: Somebody, sessions: Sessions
) -> None:
    first, second = safe.recovery[:2]
    body = {"mfa_token": await safe.half_way(), "recovery_code": first}
    await server.ok(None, "POST", STEP, body)
    assert await amr_of_newest(sessions) == ["pwd", "recovery", "mfa"]
    half = await safe.half_way()
    for again in (first, first[:4] + second[4:], second[:4] + first[4:], "x", safe.secret):
        body = {"mfa_token": half, "recovery_code": again}
        assert await server.code(403, None, "POST", STEP, body) == "wrong-code"
    actions = await audited(sessions)
    assert actions.count("mfa.recovery_code_used") == 1
    assert actions.count("mfa.refused") == 5


async def test_somebody_elses_codes_do_not_help(server: People, safe: Somebody) -> None:
    other = await (await somebody(server)).enables()
    half = await safe.half_way()
    for body in ({"code": other.next_code()}, {"recovery_code": other.recovery[0]}):
        sent = {"mfa_token": half} | body
        assert await server.code(403, None, "POST", STEP, sent) == "wrong-code"


async def test_five_wrong_codes_end_the_sign_in(
    server: People, safe: Somebody, sessions: Sessions
) -> None:
    half = await safe.half_way()
    for _ in range(5):
        wrong = {"mfa_token": half, "code": "000000"}
        assert await server.code(403, None, "POST", STEP, wrong) == "wrong-code"
    right = {"mfa_token": half, "code": safe.next_code()}
    assert await server.code(401, None, "POST", STEP, right) == "mfa-token-invalid"
    assert (await audited(sessions)).count("mfa.refused") == 5
    await server.ok(None, "POST", STEP, right | {"mfa_token": await safe.half_way()})


async def test_of_forty_guesses_at_once_five_are_looked_at(
    server: People, safe: Somebody, sessions: Sessions
) -> None:
    half = await safe.half_way()
    guesses = [{"mfa_token": half, "code": f"{n:06}"} for n in EACH]
    done = await race(server(None, "POST", STEP, guess) for guess in guesses)
    assert done == {403: 5, 401: AT_ONCE - 5}


async def test_ten_wrong_codes_in_a_row_make_everybody_wait(
    server: People, safe: Somebody, sessions: Sessions
) -> None:
    async def answers(**proof: str) -> str:
        body = {"mfa_token": await safe.half_way()} | proof
        answer = await server(None, "POST", STEP, body)
        return "in" if answer.is_success else str(answer.json()["type"]).split("/")[-1]

    for _ in range(9):
        assert await answers(code="000000") == "wrong-code"
    assert await answers(code=safe.next_code()) == "in"  # and the nine are forgiven
    for _ in range(5):
        assert await answers(code="000000") == "wrong-code"
        assert await answers(recovery_code="aaaa-bbbbb-ccccc") == "wrong-code"
    assert await answers(code=safe.next_code()) == "too-many-codes"
    assert await answers(recovery_code=safe.recovery[0]) == "too-many-codes"
    server.clock.move(minutes=15)
    assert await answers(recovery_code=safe.recovery[0]) == "in"


async def test_half_a_sign_in_lasts_five_minutes_and_once(server: People, safe: Somebody) -> None:
    late = await safe.half_way()
    server.clock.move(minutes=5)
    body = {"mfa_token": late, "code": safe.next_code()}
    assert await server.code(401, None, "POST", STEP, body) == "mfa-token-invalid"
    used = await safe.half_way()
    await server.ok(None, "POST", STEP, {"mfa_token": used, "code": safe.next_code()})
    again = {"mfa_token": used, "code": safe.next_code()}
    assert await server.code(401, None, "POST", STEP, again) == "mfa-token-invalid"


@pytest.mark.parametrize("step", [STEP, f"{STEP}/enrol", f"{STEP}/confirm"])
async def test_made_up_tokens_are_told_alike(server: People, step: str) -> None:
    made_up = [tokens.mint(tokens.MFA), tokens.mint(tokens.REFRESH), "mlm_x", "x"]
    for token in made_up:
        body = {"mfa_token": token} | ({} if step.endswith("enrol") else {"code": "000000"})
        assert await server.code(401, None, "POST", step, body) == "mfa-token-invalid"
    await server.refused(422, None, "POST", step, {"code": "000000"})


async def test_logging_out_everywhere_ends_half_a_sign_in(server: People, safe: Somebody) -> None:
    half = await safe.half_way()
    await server.ok(safe.token, "POST", "/auth/logout-all")
    body = {"mfa_token": half, "code": safe.next_code()}
    assert await server.code(401, None, "POST", STEP, body) == "mfa-token-invalid"


@pytest.mark.parametrize("gone", ["disabled", "removed", "suspended"])
async def test_who_is_gone_meanwhile_does_not_get_in(
    server: People, safe: Somebody, sessions: Sessions, gone: str
) -> None:
    await joins(sessions, safe.id, ACME, server.clock())
    half = await safe.half_way(tenant="acme")
    match gone:
        case "disabled":
            change: Any = update(User).where(User.id == UUID(safe.id)).values(active=False)
        case "removed":
            change = delete(Membership).where(
                Membership.user_id == UUID(safe.id), Membership.tenant_id == ACME
            )
    if gone == "suspended":
        await policy(sessions, ACME, status=TenantStatus.SUSPENDED)
    else:
        async with sessions.begin(SYSTEM) as session:
            await session.execute(change)
    body = {"mfa_token": half, "code": safe.next_code()}
    assert await server.code(401, None, "POST", STEP, body) == "mfa-token-invalid"


async def test_a_tenant_that_asks_for_it_lets_nobody_in_without(
    server: People, sessions: Sessions
) -> None:
    ada = await somebody(server)
    await policy(sessions, DEFAULT_TENANT_ID, mfa_required=True)
    answer = await ada.logs_in()
    assert answer["methods"] == ["enrol"]
    half = {"mfa_token": answer["mfa_token"]}
    for guess in ({"code": "000000"}, {"recovery_code": "aaaa-bbbbb-ccccc"}):
        assert await server.code(403, None, "POST", STEP, half | guess) == "wrong-code"
    early = half | {"code": "000000"}
    assert await server.code(409, None, "POST", f"{STEP}/confirm", early) == "mfa-not-begun"
    begun = await server.ok(None, "POST", f"{STEP}/enrol", half)
    wrong = await server.code(403, None, "POST", f"{STEP}/confirm", early)
    assert wrong == "wrong-code"
    code = half | {"code": code_at(begun["secret"], server.clock())}
    entered = await server.ok(None, "POST", f"{STEP}/confirm", code)
    assert len(entered["recovery_codes"]) == 10
    me = await server.ok(entered["access_token"], "GET", "/auth/me")
    assert me["tenant"]["slug"] == "default"
    assert await amr_of_newest(sessions) == ["pwd", "otp", "mfa"]
    await server.refused(401, ada.token, "GET", "/auth/me")  # the session from before
    for step in (f"{STEP}/confirm", STEP):
        assert await server.code(401, None, "POST", step, code) == "mfa-token-invalid"
    assert (await ada.logs_in())["methods"] == ["totp", "recovery_code"]


async def test_who_has_a_factor_does_not_enrol_another_with_a_password(
    server: People, safe: Somebody
) -> None:
    half = {"mfa_token": await safe.half_way()}
    assert await server.code(409, None, "POST", f"{STEP}/enrol", half) == "mfa-active"
    code = half | {"code": safe.next_code()}
    assert await server.code(409, None, "POST", f"{STEP}/confirm", code) == "mfa-not-begun"


async def test_two_who_enrol_at_once_are_one_in_the_end(server: People, sessions: Sessions) -> None:
    """Who knows the password and was first does not get past who has finished."""
    ada = await somebody(server)
    await policy(sessions, DEFAULT_TENANT_ID, mfa_required=True)
    thief, owner = [{"mfa_token": await ada.half_way()} for _ in range(2)]
    stolen = await server.ok(None, "POST", f"{STEP}/enrol", thief)
    begun = await server.ok(None, "POST", f"{STEP}/enrol", owner)
    code = {"code": code_at(begun["secret"], server.clock())}
    await server.ok(None, "POST", f"{STEP}/confirm", owner | code)
    late = thief | {"code": code_at(stolen["secret"], server.clock())}
    refused = await server.code(401, None, "POST", f"{STEP}/confirm", late)
    assert refused == "mfa-token-invalid"


async def test_registering_in_such_a_tenant_enrols(server: People, sessions: Sessions) -> None:
    await policy(sessions, DEFAULT_TENANT_ID, mfa_required=True)
    made = await server.made(None, "/auth/register", a_registration())
    assert made["methods"] == ["enrol"]
    begun = await server.ok(None, "POST", f"{STEP}/enrol", {"mfa_token": made["mfa_token"]})
    code = {"mfa_token": made["mfa_token"], "code": code_at(begun["secret"], server.clock())}
    assert "access_token" in await server.ok(None, "POST", f"{STEP}/confirm", code)


async def test_an_invitation_to_such_a_tenant_asks_for_the_code(
    server: People, safe: Somebody, sessions: Sessions
) -> None:
    await policy(sessions, ACME, mfa_required=True)
    admin = await server.token()
    offer = await server.made(admin, "/users/invitations", {"email": safe.email, "role": "viewer"})
    body = {"token": offer["token"], "password": safe.password, "name": "N"}
    half = await server.made(None, "/auth/invitations/accept", body)
    assert half["methods"] == ["totp", "recovery_code"]
    code = {"mfa_token": half["mfa_token"], "code": safe.next_code()}
    entered = await server.ok(None, "POST", STEP, code)
    assert entered["user"]["tenant"]["slug"] == "acme"


async def test_the_platforms_first_admin_enrols_where_it_is_asked_for(
    server: People, sessions: Sessions
) -> None:
    await policy(sessions, DEFAULT_TENANT_ID, mfa_required=True)
    async with open_system_work(sessions) as work:
        secret = await issue_secret(work)
    body = a_registration() | {"token": secret}
    assert (await server.made(None, "/auth/setup", body))["methods"] == ["enrol"]


@pytest.mark.parametrize(
    ("amr", "asked"), [(("oidc",), True), (("oidc", "mfa"), False), (("oidc", "otp"), True)]
)
async def test_single_sign_on_counts_for_two_if_it_says_so(
    server: People, sessions: Sessions, amr: tuple[str, ...], asked: bool
) -> None:
    await policy(sessions, DEFAULT_TENANT_ID, mfa_required=True)
    async with open_system_work(sessions, clock=server.clock) as work:
        user = (await work.session.scalars(select(User).limit(1))).one()
        entered = await enter(work, server.identity, user, DEFAULT_TENANT_ID, web=False, amr=amr)
    assert isinstance(entered.answer, MfaRequired if asked else SignedIn)


async def test_a_platform_admin_without_a_tenant_is_asked_too(
    server: People, safe: Somebody, sessions: Sessions
) -> None:
    async with sessions.begin(SYSTEM) as session:
        mine = User.id == UUID(safe.id)
        await session.execute(update(User).where(mine).values(platform_admin=True))
        await session.execute(delete(Membership).where(Membership.user_id == UUID(safe.id)))
    half = await safe.half_way()
    body = {"mfa_token": half, "code": safe.next_code()}
    assert (await server.ok(None, "POST", STEP, body))["user"]["tenant"] is None
    other = await safe.half_way()
    async with sessions.begin(SYSTEM) as session:
        await session.execute(update(User).where(mine).values(platform_admin=False))
    body = {"mfa_token": other, "code": safe.next_code()}
    assert await server.code(401, None, "POST", STEP, body) == "mfa-token-invalid"


async def test_half_made_sign_ins_are_forgotten_when_they_are_over(
    safe: Somebody, sessions: Sessions
) -> None:
    await safe.half_way()
    safe.server.clock.move(minutes=6)
    await safe.half_way()
    async with sessions.begin(SYSTEM) as session:
        assert len(list(await session.scalars(select(MfaChallenge)))) == 1
