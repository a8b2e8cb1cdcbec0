"""One's own second factor: setting it up, putting another in its place, taking it away."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import func, select, update

from maestro_ml.db.tenants import SYSTEM
from maestro_ml.db.work import Sessions, open_system_work
from maestro_ml.identity.models import RecoveryCode, TotpFactor, User
from maestro_ml.identity.service.factors import has_factor
from maestro_ml.tenancy.models import DEFAULT_TENANT_ID
from support.live import a_password
from support.mfa import Somebody, audited, code_at, policy, somebody
from support.people import People, a_people_server
from support.races import EACH, race
from support.signin import an_api_key

MFA = "/auth/mfa"


@pytest.fixture
async def server(sessions: Sessions, tmp_path: Path) -> AsyncIterator[People]:
    async with a_people_server(sessions, tmp_path) as server:
        server.clock.stop()
        yield server


@pytest.fixture
async def ada(server: People) -> Somebody:
    return await somebody(server)


@pytest.fixture
async def safe(server: People) -> Somebody:
    """Who has a second factor."""
    return await (await somebody(server)).enables()


async def state(who: Somebody) -> Any:
    return await who.server.ok(who.token, "GET", MFA)


async def test_an_app_is_set_up_with_a_password_and_its_first_code(
    server: People, ada: Somebody, sessions: Sessions
) -> None:
    nothing: dict[str, Any] = {
        "enabled": False,
        "since": None,
        "recovery_codes_left": 0,
        "required_by": [],
    }
    assert await state(ada) == nothing
    begun = await server.ok(ada.token, "POST", f"{MFA}/totp", {"current_password": ada.password})
    assert set(begun) == {"secret", "otpauth_uri", "qr_svg", "qr_rows", "expires_in"}
    assert begun["otpauth_uri"].startswith("otpauth://totp/Maestro%20ML:")
    assert begun["secret"] in begun["otpauth_uri"]
    assert begun["qr_svg"].startswith("<svg ")
    assert set("".join(begun["qr_rows"])) == {"0", "1"}
    assert await state(ada) == nothing  # it does nothing before its first code
    assert "access_token" in await ada.logs_in()
    code = {"code": code_at(begun["secret"], server.clock())}
    shown = await server.ok(ada.token, "POST", f"{MFA}/totp/confirm", code)
    assert len(set(shown["recovery_codes"])) == 10
    now = await state(ada)
    assert (now["enabled"], now["recovery_codes_left"]) == (True, 10)
    assert now["since"] is not None
    async with open_system_work(sessions) as work:
        assert await has_factor(work, UUID(ada.id))
    assert await audited(sessions) == ["mfa.enrolment_begun", "mfa.enabled"]


async def test_setting_up_ends_the_other_sessions_and_half_made_ones(
    server: People, safe: Somebody
) -> None:
    first = await safe.half_way()
    entered = await server.ok(
        None, "POST", "/auth/login/mfa", {"mfa_token": first, "code": safe.next_code()}
    )
    waiting = await safe.half_way()
    body = {"current_password": safe.password, "code": safe.next_code()}
    begun = await server.ok(safe.token, "POST", f"{MFA}/totp", body)
    await server.ok(
        safe.token,
        "POST",
        f"{MFA}/totp/confirm",
        {"code": code_at(begun["secret"], server.clock())},
    )
    await server.ok(safe.token, "GET", "/auth/me")
    await server.refused(401, entered["access_token"], "GET", "/auth/me")
    refresh = {"refresh_token": entered["refresh_token"]}
    await server.refused(401, None, "POST", "/auth/refresh", refresh)
    late = {"mfa_token": waiting, "recovery_code": safe.recovery[0]}
    assert await server.code(401, None, "POST", "/auth/login/mfa", late) == "mfa-token-invalid"


async def test_without_the_password_nothing_begins(server: People, ada: Somebody) -> None:
    problem = await server.refused(422, ada.token, "POST", f"{MFA}/totp", {})
    assert problem["faults"][0]["at"] == ["body", "current_password"]
    wrong = {"current_password": a_password()}
    assert await server.code(403, ada.token, "POST", f"{MFA}/totp", wrong) == "wrong-password"
    code = {"code": "000000"}
    assert await server.code(409, ada.token, "POST", f"{MFA}/totp/confirm", code) == "mfa-not-begun"


async def test_who_has_no_password_signs_in_again(
    server: People, ada: Somebody, sessions: Sessions
) -> None:
    async with sessions.begin(SYSTEM) as session:
        mine = update(User).where(User.id == UUID(ada.id))
        await session.execute(mine.values(password_hash=None))
    await server.ok(ada.token, "POST", f"{MFA}/totp", {})
    server.clock.move(minutes=11)
    assert await server.code(403, ada.token, "POST", f"{MFA}/totp", {}) == "sign-in-again"


async def test_a_secret_waits_a_quarter_of_an_hour_for_its_code(
    server: People, ada: Somebody
) -> None:
    body = {"current_password": ada.password}
    begun = await server.ok(ada.token, "POST", f"{MFA}/totp", body)
    server.clock.move(minutes=14)
    wrong = {"code": "000000"}
    assert await server.code(403, ada.token, "POST", f"{MFA}/totp/confirm", wrong) == "wrong-code"
    server.clock.move(minutes=2)
    refreshed = await server.ok(None, "POST", "/auth/refresh", {"refresh_token": ada.refresh})
    late = {"code": code_at(begun["secret"], server.clock())}
    answer = await server.code(409, refreshed["access_token"], "POST", f"{MFA}/totp/confirm", late)
    assert answer == "mfa-not-begun"


async def test_another_telephone_takes_over_by_a_code_of_the_first(
    server: People, safe: Somebody
) -> None:
    body = {"current_password": safe.password}
    assert await server.code(409, safe.token, "POST", f"{MFA}/totp", body) == "mfa-active"
    wrong = body | {"code": "000000"}
    assert await server.code(403, safe.token, "POST", f"{MFA}/totp", wrong) == "wrong-code"
    lost = body | {"recovery_code": safe.recovery[0]}
    begun = await server.ok(safe.token, "POST", f"{MFA}/totp", lost)
    old = safe.next_code()  # the old one is asked for until the new one has shown a code
    await server.ok(
        None, "POST", "/auth/login/mfa", {"mfa_token": await safe.half_way(), "code": old}
    )
    code = {"code": code_at(begun["secret"], server.clock())}
    codes = await server.ok(safe.token, "POST", f"{MFA}/totp/confirm", code)
    assert not set(codes["recovery_codes"]) & set(safe.recovery)
    half = await safe.half_way()
    for dead in ({"code": safe.next_code()}, {"recovery_code": safe.recovery[1]}):
        body = {"mfa_token": half} | dead
        assert await server.code(403, None, "POST", "/auth/login/mfa", body) == "wrong-code"
    right = {"mfa_token": half, "code": code_at(begun["secret"], server.clock())}
    await server.ok(None, "POST", "/auth/login/mfa", right)


async def test_new_recovery_codes_take_the_place_of_the_old(
    server: People, safe: Somebody, sessions: Sessions
) -> None:
    path = f"{MFA}/recovery-codes"
    assert await server.code(403, safe.token, "POST", path, {"code": "000000"}) == "wrong-code"
    shown = await server.ok(safe.token, "POST", path, {"code": safe.next_code()})
    assert len(shown["recovery_codes"]) == 10
    old = {"mfa_token": await safe.half_way(), "recovery_code": safe.recovery[0]}
    assert await server.code(403, None, "POST", "/auth/login/mfa", old) == "wrong-code"
    new = old | {"recovery_code": shown["recovery_codes"][0].upper().replace("-", " ")}
    await server.ok(None, "POST", "/auth/login/mfa", new)
    assert (await state(safe))["recovery_codes_left"] == 9
    assert "mfa.recovery_codes_renewed" in await audited(sessions)


async def test_a_factor_goes_with_password_and_code_only(
    server: People, safe: Somebody, sessions: Sessions
) -> None:
    path = f"{MFA}/disable"
    right = {"current_password": safe.password}
    for status, body, code in (
        (422, right, "invalid"),
        (422, right | {"code": "12345"}, "invalid"),
        (422, {"code": "000000"}, "invalid"),
        (403, {"current_password": a_password(), "code": safe.next_code()}, "wrong-password"),
        (403, right | {"code": "000000"}, "wrong-code"),
        (403, right | {"recovery_code": "aaaa-bbbbb-ccccc"}, "wrong-code"),
    ):
        assert await server.code(status, safe.token, "POST", path, body) == code
    assert (await state(safe))["enabled"]
    await server.ok(safe.token, "POST", path, right | {"code": safe.next_code()})
    assert (await state(safe))["enabled"] is False
    assert "access_token" in await safe.logs_in()
    again = right | {"code": safe.code()}
    assert await server.code(409, safe.token, "POST", path, again) == "mfa-inactive"
    assert (await audited(sessions)).count("mfa.disabled") == 1


async def test_a_tenant_that_asks_for_it_keeps_it(
    server: People, safe: Somebody, sessions: Sessions
) -> None:
    await policy(sessions, DEFAULT_TENANT_ID, mfa_required=True)
    assert (await state(safe))["required_by"] == ["default"]
    code = safe.next_code()
    body = {"current_password": safe.password, "code": code}
    problem = await server.refused(409, safe.token, "POST", f"{MFA}/disable", body)
    assert (problem["type"], problem["tenants"]) == ("/problems/mfa-kept", ["default"])
    half = {"mfa_token": await safe.half_way(), "code": code}  # and the code was not used up
    await server.ok(None, "POST", "/auth/login/mfa", half)


async def test_a_short_password_cannot_stand_alone_again(
    server: People, safe: Somebody, sessions: Sessions
) -> None:
    short = "nine long"
    hashed = await server.identity.passwords.hash(short)
    async with sessions.begin(SYSTEM) as session:
        mine = update(User).where(User.id == UUID(safe.id))
        await session.execute(mine.values(password_hash=hashed))
    body = {"current_password": short, "code": safe.next_code()}
    problem = await server.refused(422, safe.token, "POST", f"{MFA}/disable", body)
    assert (problem["type"], problem["rule"]) == ("/problems/password-refused", "length")


async def test_a_key_has_no_say_in_it(server: People, safe: Somebody, sessions: Sessions) -> None:
    key = await an_api_key(sessions, safe.id, scopes=["read", "write", "admin"])
    password = {"current_password": safe.password}
    for method, path, body in (
        ("GET", MFA, None),
        ("POST", f"{MFA}/totp", password),
        ("POST", f"{MFA}/totp/confirm", {"code": "000000"}),
        ("POST", f"{MFA}/recovery-codes", {"code": "000000"}),
        ("POST", f"{MFA}/disable", password | {"code": "000000"}),
    ):
        assert await server.code(403, key, method, path, body) == "forbidden"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"code": "12345"},
        {"code": "1234567"},
        {"code": "abcdef"},
        {"code": "١٢٣٤٥٦"},
        {"code": 123456},
        {"code": "123456\n"},
        {"code": "123456", "recovery_code": "x"},
        {"recovery_code": ""},
        {"recovery_code": "x" * 41},
        {"recovery_code": "a\x00b"},
        {"code": "123456", "user_id": "x"},
    ],
    ids=str,
)
async def test_what_is_no_code_is_malformed(
    server: People, safe: Somebody, body: dict[str, Any]
) -> None:
    await server.refused(422, safe.token, "POST", f"{MFA}/recovery-codes", body)


async def test_nothing_kept_shows_a_secret(safe: Somebody, sessions: Sessions) -> None:
    async with sessions.begin(SYSTEM) as session:
        factor = await session.get_one(TotpFactor, UUID(safe.id))
        hashes = list(await session.scalars(select(RecoveryCode.hash)))
    assert factor.sealed is not None
    assert safe.secret.encode() not in factor.sealed
    assert len(hashes) == 10
    assert all(one.startswith("$argon2id$") for one in hashes)


async def test_of_forty_who_confirm_at_once_one_gets_the_codes(
    server: People, ada: Somebody, sessions: Sessions
) -> None:
    body = {"current_password": ada.password}
    begun = await server.ok(ada.token, "POST", f"{MFA}/totp", body)
    code = {"code": code_at(begun["secret"], server.clock())}
    done = await race(server(ada.token, "POST", f"{MFA}/totp/confirm", code) for _ in EACH)
    assert done[200] == 1
    assert set(done) <= {200, 409, 429}
    async with sessions.begin(SYSTEM) as session:
        assert await session.scalar(select(func.count(RecoveryCode.id))) == 10
    assert (await audited(sessions)).count("mfa.enabled") == 1
