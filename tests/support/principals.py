"""Everybody who calls the server in the matrix test, with good credentials and without."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

import httpx2
from sqlalchemy import update

from maestro_ml.core.access import Role, Scope
from maestro_ml.core.clock import utc_now
from maestro_ml.core.settings import Settings
from maestro_ml.db.tenants import SYSTEM
from maestro_ml.db.work import Sessions, open_system_work
from maestro_ml.identity.keys import KeyRing
from maestro_ml.identity.models import User
from maestro_ml.identity.secret import load_secret
from maestro_ml.identity.service import signing_keys
from support.forgery import unpack
from support.live import Cast, LiveServer, a_password, ok
from support.policy import Standing
from support.signin import an_api_key


@dataclass(frozen=True)
class Principal:
    name: str
    standing: Standing
    headers: Callable[[], dict[str, str]]
    person: str | None = None  # of the cast, in a session
    at_home: bool = False  # names no workspace, so that MLflow's calls are in their own


_NOBODY = Standing(known=False)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def accepting(token: str) -> dict[str, str]:
    """What answers an invitation."""
    return {"token": token, "password": a_password(), "name": "N"}


def named(**changes: Any) -> dict[str, Any]:
    """What bears a name that nothing else has."""
    return {"name": f"Mine {secrets.token_hex(4)}"} | changes


def a_webhook(project: str) -> dict[str, Any]:
    return named(project_id=project, url="https://hooks.test/x", events=["project.deleted"])


A_WEBHOOK_OF_MLFLOW: dict[str, Any] = {
    "name": "w",
    "url": "https://hooks.test/x",
    "events": [{"entity": "PROMPT_TAG", "action": "DELETED"}],
}


def a_provider() -> dict[str, str]:
    slug = f"p-{secrets.token_hex(4)}"
    return {"name": "N", "slug": slug, "issuer": "https://issuer.test", "client_id": "c"}


async def nobodies(cast: Cast, live: LiveServer, truth: Sessions, tenant: UUID) -> list[Principal]:
    """Who has no credential, or one that is not good, or is not good any more: each would be an
    admin of A."""
    admin, now = cast["adminA"], utc_now()
    with cast.client("adminA") as client:
        offer = ok(
            client.post("/users/invitations", json={"email": "gone@a.test", "role": "admin"})
        )
        gone = ok(client.post("/auth/invitations/accept", json=accepting(offer["token"])))
        another = {"email": "removed@a.test", "role": "admin"}
        offer = ok(client.post("/users/invitations", json=another))
        removed = ok(client.post("/auth/invitations/accept", json=accepting(offer["token"])))
        ok(client.delete(f"/users/{removed['user']['id']}"))
        login = {"email": admin.email, "password": admin.password}
        ended = ok(client.post("/auth/login", json=login))["access_token"]
        client.post("/auth/logout", headers=bearer(ended)).raise_for_status()
    every = [scope.value for scope in Scope]
    revoked = await an_api_key(truth, admin.id, tenant, scopes=every, revoked_at=now)
    expired = await an_api_key(
        truth, admin.id, tenant, scopes=every, expires_at=now - timedelta(seconds=1)
    )
    async with truth.begin(SYSTEM) as session:
        await session.execute(
            update(User).where(User.id == UUID(gone["user"]["id"])).values(active=False)
        )
    ring = KeyRing(load_secret(Settings(data=live.data)))
    async with open_system_work(truth, read_only=True) as work:
        key = await signing_keys.active(work)
        ring.learn(key)

    def minted(ago: timedelta) -> dict[str, str]:
        """Signed with the server's own key, for the session that the admin is in."""
        claims = unpack(cast["adminA"].token)[1]
        user, session = UUID(claims["sub"]), UUID(claims["sid"])
        when = utc_now() - ago
        return bearer(ring.issue(key.kid, user=user, session=session, tenant=tenant, now=when))

    fresh = httpx2.get(f"{cast.url}/api/v1/users", headers=minted(timedelta()))
    assert fresh.status_code == 200  # so that only its age is wrong with the other
    suspended = a_tenant_of_its_own(cast, "suspend")
    deleted = a_tenant_of_its_own(cast, "deletion")
    return [
        Principal("nobody", _NOBODY, dict),
        Principal("garbage", _NOBODY, lambda: bearer("x.y.z")),
        Principal("a session that ended", _NOBODY, lambda: bearer(ended)),
        Principal("an expired token", _NOBODY, lambda: minted(timedelta(hours=1))),
        Principal("somebody disabled", _NOBODY, lambda: bearer(gone["access_token"])),
        Principal("a revoked key", _NOBODY, lambda: bearer(revoked)),
        Principal("an expired key", _NOBODY, lambda: bearer(expired)),
        Principal("a refresh token", _NOBODY, lambda: bearer(cast["adminA"].refresh)),
        Principal("somebody removed", _NOBODY, lambda: bearer(removed["access_token"])),
        Principal("a suspended tenant's admin", _NOBODY, lambda: bearer(suspended[0])),
        Principal("a suspended tenant's key", _NOBODY, lambda: bearer(suspended[1])),
        Principal("a deleted tenant's admin", _NOBODY, lambda: bearer(deleted[0])),
        Principal("a deleted tenant's key", _NOBODY, lambda: bearer(deleted[1])),
    ]


def a_tenant_of_its_own(cast: Cast, end: str) -> tuple[str, str]:
    """The access token and the widest API key of the admin of one that has ended that way."""
    slug = f"t-{secrets.token_hex(4)}"
    with cast.client("root") as root, cast.client() as admin:
        new = {"name": slug, "slug": slug, "admin_email": f"admin@{slug}.test"}
        made = ok(root.post("/tenants", json=new))
        offer = made["invitation"]["token"]
        token = ok(admin.post("/auth/invitations/accept", json=accepting(offer)))["access_token"]
        key = named(scopes=[scope.value for scope in Scope])
        secret = ok(admin.post("/api-keys", json=key, headers=bearer(token)))["secret"]
        for credential in (token, secret):
            ok(admin.get("/users", headers=bearer(credential)))
        ok(root.post(f"/tenants/{made['tenant']['id']}/{end}", json={"confirm": slug}))
    return token, secret


def _bearer_of(cast: Cast, name: str) -> dict[str, str]:
    """As they are signed in now."""
    return dict(cast[name].bearer)


async def somebodies(cast: Cast, truth: Sessions, tenant: UUID) -> list[Principal]:
    """Who is known, by a session or by a key."""
    found = [
        Principal(name, standing, partial(_bearer_of, cast, name), name)
        for name, standing in (
            *((f"{role}A", Standing(role=role)) for role in Role),
            ("adminB", Standing(home="B", role=Role.ADMIN)),
            ("root", Standing(home="default", role=Role.ADMIN, platform_admin=True)),
        )
    ]
    b = next(one for one in found if one.name == "adminB")
    found.append(Principal("adminB at home", b.standing, b.headers, b.person, at_home=True))
    for owner, role, *scopes in (
        ("adminA", Role.ADMIN, Scope.READ),
        ("adminA", Role.ADMIN, Scope.READ, Scope.WRITE),
        ("adminA", Role.ADMIN, *Scope),
        ("adminA", Role.ADMIN, Scope.WRITE),
        ("adminA", Role.ADMIN, Scope.ADMIN),
        ("viewerA", Role.VIEWER, Scope.READ, Scope.WRITE),
    ):
        secret = await an_api_key(
            truth, cast[owner].id, tenant, scopes=[scope.value for scope in scopes]
        )
        standing = Standing(role=role, scopes=frozenset(scopes), by_key=True)
        name = f"{owner}'s key to {' and '.join(scopes)}"
        found.append(Principal(name, standing, partial(bearer, secret)))
    reach = frozenset({Scope.READ, Scope.WRITE})
    for home in "AB":
        with cast.client(f"admin{home}") as admin:
            bot = ok(admin.post("/service-accounts", json=named(role="maintainer")))
            key = ok(admin.post(f"/service-accounts/{bot['id']}/keys", json=named()))
        standing = Standing(home=home, role=Role.MAINTAINER, scopes=reach, by_key=True)
        name = f"a service account of {home}"
        found.append(Principal(name, standing, partial(bearer, key["secret"])))
    with cast.client("adminA") as admin:
        other = ok(admin.post("/projects", json=named()))["id"]
        every = [scope.value for scope in Scope]
        within = ok(admin.post("/api-keys", json=named(scopes=every, projects=[other])))
    standing = Standing(role=Role.ADMIN, by_key=True, confined=True)
    confined = partial(bearer, within["secret"])
    found.append(Principal("adminA's key to another project", standing, confined))
    return found
