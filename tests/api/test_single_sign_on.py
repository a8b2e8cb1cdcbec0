"""Signing in through a tenant's identity provider, over the real protocol."""

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from joserfc import jws
from sqlalchemy import func, select, update

from maestro_ml.audit.models import AuditEvent
from maestro_ml.core.access import Role
from maestro_ml.db.tenants import SYSTEM
from maestro_ml.db.work import Sessions
from maestro_ml.identity.models import ExternalIdentity, Membership, User
from maestro_ml.tenancy.models import Tenant, TenantStatus
from support.issuer import HOST, Issuer, a_person, an_issuer
from support.people import People, a_people_server
from support.sso import SESSION, Browser, code_of, ours
from support.world import ACME, OTHER, USERS

START = "/api/v1/auth/oidc/acme/ours/start"


@pytest.fixture
async def people(sessions: Sessions, tmp_path: Path) -> AsyncIterator[People]:
    async with a_people_server(sessions, tmp_path, outbound={"allow": [HOST]}) as people:
        yield people


@pytest.fixture
def issuer(people: People) -> Iterator[Issuer]:
    with an_issuer(people.clock) as issuer:
        yield issuer


@pytest.fixture
def browser(people: People) -> Browser:
    return Browser(people.http)


async def change_user(sessions: Sessions, id: str | UUID, **values: Any) -> None:
    async with sessions.begin(SYSTEM) as session:
        await session.execute(update(User).where(User.id == UUID(str(id))).values(**values))


async def change_tenant(sessions: Sessions, **values: Any) -> None:
    async with sessions.begin(SYSTEM) as session:
        await session.execute(update(Tenant).where(Tenant.id == ACME).values(**values))


async def role_in(sessions: Sessions, user: str | UUID, tenant: UUID = ACME) -> Role | None:
    async with sessions.begin(tenant) as session:
        query = select(Membership.role).where(Membership.user_id == UUID(str(user)))
        return (await session.scalars(query)).one_or_none()


@pytest.mark.parametrize("alg", ["ES256", "RS256", "Ed25519"])
async def test_somebody_new_gets_an_account_and_is_known_from_then_on(
    people: People, browser: Browser, alg: str, sessions: Sessions
) -> None:
    with an_issuer(people.clock, alg=alg) as issuer:
        provider = await ours(people, issuer)
        issuer.person = a_person()
        answer = await browser.sign_in(provider["start_path"], "/device?a=b")
        assert (answer.status_code, answer.headers["location"]) == (303, "/device?a=b")
        assert set(browser.cookies) == {SESSION}
        me = await browser.me()
        assert (me["email"], me["role"], me["tenant"]["slug"]) == (
            issuer.person["email"],
            "viewer",
            "acme",
        )
        assert not me["verified"]  # the provider says so, to its own tenant

        issuer.person |= {"email": "moved@elsewhere.test", "email_verified": False}
        again = Browser(people.http)
        assert (await again.sign_in(provider["start_path"])).status_code == 303
        assert (await again.me())["id"] == me["id"]
    async with sessions.begin(ACME) as session:
        actions = list(await session.scalars(select(AuditEvent.action).order_by(AuditEvent.id)))
    assert {"identity_provider.created", "user.created", "member.joined", "user.linked"} <= set(
        actions
    )


async def test_eddsa_by_its_old_name(people: People, issuer: Issuer, browser: Browser) -> None:
    issuer.alg = "Ed25519"
    issuer.rotate()

    def old_name(issuer: Issuer, header: dict[str, Any], claims: dict[str, Any]) -> str:
        class Old(jws.JWSRegistry):
            def get_alg(self, name: str) -> Any:
                return super().get_alg("Ed25519")

        key = issuer.keys[issuer.kid]
        return jws.serialize_compact(
            header | {"alg": "EdDSA"}, json.dumps(claims), key, registry=Old(algorithms=["Ed25519"])
        )

    issuer.forge = old_name
    issuer.person = a_person()
    await ours(people, issuer)
    assert (await browser.sign_in(START)).status_code == 303


async def test_a_person_of_the_tenant_is_linked_by_a_verified_address(
    people: People, issuer: Issuer, browser: Browser, sessions: Sessions
) -> None:
    member = USERS[ACME, Role.MEMBER]
    await change_user(sessions, member, verified=True)
    await ours(people, issuer, allowed_domains=["acme.test"])
    issuer.person = a_person(email="Member@ACME.test")
    assert (await browser.sign_in(START)).status_code == 303
    me = await browser.me()
    assert (me["id"], me["role"]) == (str(member), "member")


async def test_an_address_that_nobody_had_verified_is_taken_over_clean(
    people: People, issuer: Issuer, browser: Browser, sessions: Sessions
) -> None:
    """Whoever made the account in somebody else's name is out."""
    member = USERS[ACME, Role.MEMBER]
    await change_user(sessions, member, password_hash="known to a stranger")
    session = await people.token(Role.MEMBER)
    key = (await people.made(session, "/api-keys", {"name": "left behind"}))["secret"]
    await ours(people, issuer, allowed_domains=["acme.test"])
    issuer.person = a_person(email="member@acme.test")
    assert (await browser.sign_in(START)).status_code == 303
    for old in (session, key):
        await people.refused(401, old, "GET", "/auth/me")
    async with sessions.begin(SYSTEM) as session_:
        user = await session_.get_one(User, member)
    assert (user.password_hash, user.verified) == (None, False)


@pytest.mark.parametrize(
    "person",
    [
        {"email_verified": False},
        {"email_verified": None},
        {"email_verified": "true"},
        {"email_verified": 1},
        {"email": None},
        {"email": "somebody@elsewhere.test"},
        {"email": "somebody@sub.sso.test"},
        {"email": "somebody@notsso.test"},
        {"email": "x@sso.test@elsewhere.test"},
        {"email": ["x@sso.test"]},
    ],
    ids=str,
)
async def test_nobody_gets_in_by_an_address_alone(
    people: People, issuer: Issuer, browser: Browser, sessions: Sessions, person: dict[str, Any]
) -> None:
    await ours(people, issuer)
    issuer.person = a_person(**person)
    answer = await browser.sign_in(START)
    assert code_of(answer) == (403, "single-sign-on-no-account")
    assert SESSION not in browser.cookies
    async with sessions.begin(SYSTEM) as session:
        assert await session.scalar(select(func.count()).select_from(ExternalIdentity)) == 0


async def test_it_speaks_for_no_account_of_another_tenant(
    people: People, issuer: Issuer, browser: Browser, sessions: Sessions
) -> None:
    """A tenant's admin lists the domain of another's, and has an issuer say what they like."""
    await change_user(sessions, USERS[OTHER, Role.ADMIN], verified=True)
    await ours(people, issuer, allowed_domains=["other.test"])
    issuer.person = a_person(email="admin@other.test")
    assert code_of(await browser.sign_in(START)) == (403, "single-sign-on-no-account")
    assert await role_in(sessions, USERS[OTHER, Role.ADMIN]) is None


async def test_it_speaks_for_no_platform_admin(
    people: People, issuer: Issuer, browser: Browser, sessions: Sessions
) -> None:
    await change_user(sessions, USERS[ACME, Role.ADMIN], verified=True, platform_admin=True)
    await ours(people, issuer, allowed_domains=["acme.test"])
    issuer.person = a_person(email="admin@acme.test")
    assert code_of(await browser.sign_in(START)) == (403, "single-sign-on-no-account")


async def test_who_has_become_a_platform_admin_needs_another_way(
    people: People, issuer: Issuer, browser: Browser, sessions: Sessions
) -> None:
    """Else a tenant's admin could enter the account that stands above all of them."""
    await ours(people, issuer)
    issuer.person = a_person()
    await browser.sign_in(START)
    await change_user(sessions, (await browser.me())["id"], platform_admin=True)
    again = Browser(people.http)
    assert code_of(await again.sign_in(START)) == (403, "single-sign-on-no-account")
    assert SESSION not in again.cookies


async def test_the_same_name_at_another_issuer_is_somebody_else(
    people: People, issuer: Issuer, browser: Browser
) -> None:
    issuer.person = a_person()
    await ours(people, issuer)
    await browser.sign_in(START)
    first = await browser.me()
    with an_issuer(people.clock) as other:
        await ours(people, other, slug="theirs", allowed_domains=["elsewhere.test"])
        other.person = a_person(sub=issuer.person["sub"], email="x@elsewhere.test")
        second = Browser(people.http)
        assert (await second.sign_in("/api/v1/auth/oidc/acme/theirs/start")).status_code == 303
    assert (await second.me())["id"] != first["id"]


async def test_the_tenants_own_list_of_domains_goes_before(
    people: People, issuer: Issuer, browser: Browser, sessions: Sessions
) -> None:
    await ours(people, issuer)
    await change_tenant(sessions, allowed_domains=["acme.test"])
    issuer.person = a_person()
    assert code_of(await browser.sign_in(START)) == (403, "single-sign-on-no-account")
    await change_tenant(sessions, allowed_domains=["acme.test", "sso.test"])
    assert (await browser.sign_in(START)).status_code == 303


@pytest.mark.parametrize(
    ("groups", "role"),
    [
        (["staff"], "member"),
        (["staff", "ops"], "maintainer"),
        (["admins", "root", "ADMIN", "admin"], "viewer"),
        ("ops", "maintainer"),
        ([["ops"], {"ops": 1}, 7, None], "viewer"),
        ({"ops": True}, "viewer"),
        (None, "viewer"),
    ],
    ids=str,
)
async def test_the_role_is_what_a_listed_group_gives(
    people: People, issuer: Issuer, browser: Browser, groups: Any, role: str
) -> None:
    roles = {"staff": "member", "ops": "maintainer"}
    await ours(people, issuer, groups_claim="groups", group_roles=roles)
    issuer.person = a_person(groups=groups, role="admin", roles=["admin"])
    await browser.sign_in(START)
    assert (await browser.me())["role"] == role


async def test_the_role_follows_the_groups_and_the_last_admin_stays(
    people: People, issuer: Issuer, browser: Browser, sessions: Sessions
) -> None:
    roles = {"ops": "maintainer", "boss": "admin"}
    await ours(people, issuer, groups_claim="groups", group_roles=roles)
    issuer.person = a_person(groups=["boss"])
    await browser.sign_in(START)
    id = (await browser.me())["id"]
    assert await role_in(sessions, id) is Role.ADMIN
    issuer.person["groups"] = ["ops"]
    await browser.sign_in(START)
    assert await role_in(sessions, id) is Role.MAINTAINER
    issuer.person["groups"] = ["boss"]
    await browser.sign_in(START)
    await change_user(sessions, USERS[ACME, Role.ADMIN], active=False)
    issuer.person["groups"] = []
    assert (await browser.sign_in(START)).status_code == 303
    assert await role_in(sessions, id) is Role.ADMIN


async def test_without_a_map_the_role_is_the_tenants_business(
    people: People, issuer: Issuer, browser: Browser, sessions: Sessions
) -> None:
    await ours(people, issuer, default_role="member")
    issuer.person = a_person()
    await browser.sign_in(START)
    me = await browser.me()
    assert me["role"] == "member"
    admin = await people.token()
    await people.ok(admin, "PATCH", f"/users/{me['id']}", {"role": "maintainer"})
    await browser.sign_in(START)
    assert await role_in(sessions, me["id"]) is Role.MAINTAINER


async def test_a_full_tenant_takes_nobody(
    people: People, issuer: Issuer, browser: Browser, sessions: Sessions
) -> None:
    await ours(people, issuer)
    await change_tenant(sessions, max_users=len(Role))
    issuer.person = a_person()
    assert code_of(await browser.sign_in(START)) == (409, "quota-exceeded")
    async with sessions.begin(SYSTEM) as session:
        assert await session.scalar(select(func.count()).select_from(ExternalIdentity)) == 0


async def test_who_is_disabled_stays_out(
    people: People, issuer: Issuer, browser: Browser, sessions: Sessions
) -> None:
    await ours(people, issuer)
    issuer.person = a_person()
    await browser.sign_in(START)
    await change_user(sessions, (await browser.me())["id"], active=False)
    again = Browser(people.http)
    assert code_of(await again.sign_in(START)) == (401, "single-sign-on-refused")
    assert SESSION not in again.cookies


async def test_a_suspended_tenant_and_a_switched_off_provider_let_nobody_in(
    people: People, issuer: Issuer, browser: Browser, sessions: Sessions
) -> None:
    provider = await ours(people, issuer)
    issuer.person = a_person()
    nobody = (await browser.start("/api/v1/auth/oidc/acme/nobody/start")).json()
    for off in ("tenant", "provider"):
        await browser.start(START)
        back = await browser.consent()
        if off == "tenant":
            await change_tenant(sessions, status=TenantStatus.SUSPENDED)
        else:
            admin = await people.token()
            await people.ok(
                admin, "PATCH", f"/identity-providers/{provider['id']}", {"enabled": False}
            )
        assert code_of(await browser.get(back)) == (401, "single-sign-on-refused")
        refused = await browser.start(START)
        assert code_of(refused) == (404, "identity-provider-not-found")
        assert refused.json()["detail"] == nobody["detail"]
        await change_tenant(sessions, status=TenantStatus.ACTIVE)
