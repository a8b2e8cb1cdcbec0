"""Identity providers, as a tenant's admin keeps them."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from maestro_ml.audit.models import AuditEvent
from maestro_ml.core.access import Role
from maestro_ml.core.ids import new_id
from maestro_ml.db.tenants import SYSTEM
from maestro_ml.db.work import Sessions
from maestro_ml.identity.models import IdentityProvider, Membership
from support.issuer import HOST, SECRET, Issuer, an_issuer
from support.people import People, a_people_server
from support.races import AT_ONCE, EACH, race
from support.sso import a_provider
from support.world import ACME, OTHER, USERS

PATH = "/identity-providers"


@pytest.fixture
async def people(sessions: Sessions, tmp_path: Path) -> AsyncIterator[People]:
    async with a_people_server(sessions, tmp_path, outbound={"allow": [HOST]}) as people:
        yield people


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    with an_issuer() as issuer:
        yield issuer


async def test_made_read_changed_and_deleted(people: People, issuer: Issuer) -> None:
    admin = await people.token()
    made = await people.made(admin, PATH, a_provider(issuer, group_roles={"ops": "maintainer"}))
    assert not made["trusts_mfa"]
    assert made["redirect_uri"] == (f"http://127.0.0.1:8000/api/v1/auth/oidc/callback/{made['id']}")
    one = f"{PATH}/{made['id']}"
    assert await people.ok(admin, "GET", one) == made
    assert (await people.ok(admin, "GET", PATH))["items"] == [made]
    changes = {"name": "Theirs", "allowed_domains": ["b.test"], "enabled": False}
    changes["trusts_mfa"] = True
    changed = await people.ok(admin, "PATCH", one, changes | {"client_secret": None})
    assert changed == made | changes | {"has_secret": False, "updated_at": changed["updated_at"]}
    assert await people.ok(admin, "DELETE", one) is None
    assert await people.code(404, admin, "GET", one) == "identity-provider-not-found"


async def test_the_secret_is_never_shown_and_sealed_at_rest(
    people: People, issuer: Issuer, sessions: Sessions
) -> None:
    admin = await people.token()
    made = await people.made(admin, PATH, a_provider(issuer))
    new = "another-secret-of-theirs"
    changed = await people.ok(admin, "PATCH", f"{PATH}/{made['id']}", {"client_secret": new})
    listed = await people.ok(admin, "GET", PATH)
    async with sessions.begin(SYSTEM) as session:
        row = (await session.scalars(select(IdentityProvider))).one()
        events = [repr(event.facts) for event in await session.scalars(select(AuditEvent))]
    for told in (made, changed, listed, row.secret_sealed, events):
        assert SECRET not in str(told)
        assert new not in str(told)
    assert made["has_secret"]


async def test_the_trail_says_what_changed_from_what_to_what(
    people: People, issuer: Issuer, sessions: Sessions
) -> None:
    admin = await people.token()
    made = await people.made(admin, PATH, a_provider(issuer, groups_claim="groups"))
    changes = {"name": made["name"], "enabled": False, "groups_claim": None, "scopes": None}
    changes["client_secret"] = "another-secret-of-theirs"
    await people.ok(admin, "PATCH", f"{PATH}/{made['id']}", changes)
    async with sessions.begin(SYSTEM) as session:
        changed = AuditEvent.action == "identity_provider.changed"
        event = (await session.scalars(select(AuditEvent).where(changed))).one()
    assert event.facts == {
        "fields": ["client_secret", "enabled", "groups_claim"],
        "enabled": {"before": True, "now": False},
        "groups_claim": {"before": "groups", "now": None},
    }


async def test_no_key_changes_who_vouches_for_people(people: People, issuer: Issuer) -> None:
    """Its holder could name an issuer of their own, and come in as an admin."""
    admin = await people.token()
    key = (await people.made(admin, "/api-keys", {"name": "k", "scopes": ["admin"]}))["secret"]
    made = await people.made(admin, PATH, a_provider(issuer))
    one = f"{PATH}/{made['id']}"
    await people.refused(403, key, "POST", PATH, a_provider(issuer, slug="other"))
    await people.refused(403, key, "PATCH", one, {"enabled": False})
    await people.refused(403, key, "DELETE", one)
    assert await people.ok(key, "GET", one) == made


async def test_what_is_not_sent_stays(people: People, issuer: Issuer) -> None:
    admin = await people.token()
    made = await people.made(admin, PATH, a_provider(issuer, groups_claim="groups"))
    one = f"{PATH}/{made['id']}"
    same = await people.ok(admin, "PATCH", one, {"name": None, "scopes": None})
    assert same == made | {"updated_at": same["updated_at"]}
    assert (await people.ok(admin, "PATCH", one, {"groups_claim": None}))["groups_claim"] is None


@pytest.mark.parametrize("role", [Role.VIEWER, Role.MEMBER, Role.MAINTAINER])
async def test_only_admins(people: People, issuer: Issuer, role: Role) -> None:
    made = await people.made(await people.token(), PATH, a_provider(issuer))
    somebody = await people.token(role)
    one = f"{PATH}/{made['id']}"
    for method, path, body in (
        ("GET", PATH, None),
        ("POST", PATH, a_provider(issuer, slug="other")),
        ("GET", one, None),
        ("PATCH", one, {"name": "x"}),
        ("DELETE", one, None),
        ("POST", f"{one}/test", None),
    ):
        assert await people.code(403, somebody, method, path, body) == "forbidden"


@pytest.mark.parametrize("ended", [(403, {"role": Role.VIEWER}), (401, {"active": False})])
async def test_nor_who_was_one_before_a_slow_name_server_answered(
    people: People,
    issuer: Issuer,
    sessions: Sessions,
    monkeypatch: pytest.MonkeyPatch,
    ended: tuple[int, dict[str, Any]],
) -> None:
    """It may be the caller's own, and a provider would be their way back in."""
    admin = await people.token()
    status, change = ended

    async def slow(_: str) -> None:
        async with sessions.begin(SYSTEM) as session:
            theirs = Membership.user_id == USERS[ACME, Role.ADMIN]
            await session.execute(update(Membership).where(theirs).values(change))

    monkeypatch.setattr(people.identity.outbound, "check", slow)
    await people.refused(status, admin, "POST", PATH, a_provider(issuer))
    async with sessions.begin(SYSTEM) as session:
        assert (await session.scalars(select(IdentityProvider))).all() == []


async def test_another_tenants_is_not_there(people: People, issuer: Issuer) -> None:
    made = await people.made(await people.token(), PATH, a_provider(issuer))
    other = await people.token(tenant=OTHER)
    assert (await people.ok(other, "GET", PATH))["items"] == []
    for method, end, body in (
        ("GET", "", None),
        ("PATCH", "", {"name": "x"}),
        ("DELETE", "", None),
        ("POST", "/test", None),
    ):
        theirs = await people(other, method, f"{PATH}/{made['id']}{end}", body)
        nobodys = await people(other, method, f"{PATH}/{new_id()}{end}", body)
        assert (theirs.status_code, theirs.content) == (404, nobodys.content)


async def test_a_slug_is_taken_once_in_a_tenant(people: People, issuer: Issuer) -> None:
    admin = await people.token()
    done = await race(people(admin, "POST", PATH, a_provider(issuer)) for _ in EACH)
    assert done == {201: 1, 409: AT_ONCE - 1}
    await people.made(await people.token(tenant=OTHER), PATH, a_provider(issuer))


async def test_deleted_once_and_a_change_that_comes_too_late_is_told(
    people: People, issuer: Issuer
) -> None:
    admin = await people.token()
    for _ in range(5):
        one = f"{PATH}/{(await people.made(admin, PATH, a_provider(issuer)))['id']}"
        done = await asyncio.gather(
            *(people(admin, "DELETE", one) for _ in range(20)),
            *(people(admin, "PATCH", one, {"name": "late"}) for _ in range(20)),
        )
        assert [a.status_code for a in done[:20]].count(204) == 1
        assert {a.status_code for a in done} <= {200, 204, 404}


@pytest.mark.parametrize(
    "wrong",
    [
        {"issuer": "accounts.example.com"},
        {"issuer": "ftp://accounts.example.com"},
        {"issuer": "https://accounts.example.com?x=1"},
        {"issuer": "https://accounts.example.com#x"},
        {"issuer": "https://login.microsoftonline.com/common/v2.0"},
        {"issuer": "https://login.microsoftonline.com/organizations/v2.0"},
        {"issuer": "https://login.microsoftonline.com/Consumers/v2.0"},
        {"issuer": "https://login.microsoftonline.com/{tenantid}/v2.0"},
        {"issuer": "https://sts.windows.net/common/"},
        {"slug": "Not A Slug"},
        {"allowed_domains": ["@sso.test"]},
        {"allowed_domains": ["test"]},
        {"allowed_domains": ["*.sso.test"]},
        {"group_roles": {"ops": "owner"}},
        {"default_role": "admin"},
        {"scopes": ["openid email"]},
        {"client_secret": ""},
        pytest.param({"tenant_id": str(OTHER)}, id="tenant_id"),
        {"name": "x\x00"},
    ],
    ids=str,
)
async def test_what_does_not_fit_is_refused(
    people: People, issuer: Issuer, wrong: dict[str, Any]
) -> None:
    admin = await people.token()
    assert await people.code(422, admin, "POST", PATH, a_provider(issuer, **wrong)) == "invalid"


async def test_entra_with_one_directory_is_fine(people: People, issuer: Issuer) -> None:
    directory = "https://login.microsoftonline.com/3b6b8d0c-6a3e-4a6b-9d1f-0a4d3c5e7f10/v2.0"
    await people.made(await people.token(), PATH, a_provider(issuer, issuer=directory))


async def test_an_admin_sees_whether_it_works(people: People, issuer: Issuer) -> None:
    admin = await people.token()
    made = await people.made(admin, PATH, a_provider(issuer))
    works = await people.ok(admin, "POST", f"{PATH}/{made['id']}/test")
    assert (works["works"], works["signing_keys"]) == (True, 1)
    assert works["token_endpoint"] == f"{issuer.url}/token"


@pytest.mark.parametrize(
    ("document", "why"),
    [
        ({"issuer": "https://somebody-else.test"}, "names another issuer"),
        ({"issuer": None}, "names another issuer"),
        ({"token_endpoint": None}, "no proper `token_endpoint`"),
        ({"authorization_endpoint": "javascript:alert(1)"}, "no proper `authorization_endpoint`"),
        ({"authorization_endpoint": "https://x.test/\r\nSet-Cookie: a=b"}, "no proper"),
        ({"jwks_uri": "file:///etc/passwd"}, "no proper `jwks_uri`"),
        ({"jwks_uri": "http://127.0.0.1:1/keys"}, "inside a network"),
        ({"jwks_uri": "http://169.254.169.254/latest"}, "inside a network"),
        ({"code_challenge_methods_supported": ["plain"]}, "PKCE with S256"),
    ],
    ids=str,
)
async def test_an_issuer_that_is_not_right_is_told_to_its_admin_only(
    people: People, document: dict[str, Any], why: str
) -> None:
    with an_issuer(document=document) as issuer:
        admin = await people.token()
        made = await people.made(admin, PATH, a_provider(issuer))
        told = await people.ok(admin, "POST", f"{PATH}/{made['id']}/test")
        assert not told["works"]
        assert why in told["detail"]
        if "jwks_uri" in document and "http:" in str(document["jwks_uri"]):
            return  # a browser is sent there; what comes back proves nothing
        start = await people(None, "GET", made["start_path"].removeprefix("/api/v1"))
        assert start.status_code == 503
        assert why not in start.text
