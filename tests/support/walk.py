"""A walk through a world of two tenants: whom a step may be about, and what everybody sees."""

import secrets
from random import Random
from typing import Any
from uuid import UUID

from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
)

from maestro_ml.core.access import Role
from maestro_ml.core.ids import new_id
from maestro_ml.db.work import SystemWork, open_system_work
from maestro_ml.identity.models import Membership, User
from maestro_ml.identity.service import sessions as verbs
from maestro_ml.identity.service.places import place_of
from maestro_ml.tenancy.models import Tenant as TenantRow
from support.forgery import unpack
from support.ground import Ground, a_user
from support.model import (
    Caller,
    Model,
    Place,
    Project,
    Tenant,
)

FOUNDERS: dict[str, tuple[tuple[str, str], ...]] = {
    "a": (("ann", "admin"), ("amy", "admin"), ("max", "maintainer"), ("mel", "member")),
    "b": (("bob", "admin"), ("mel", "member"), ("vic", "viewer")),
}
ANY = st.integers(0, 2**20)


class Walk(RuleBasedStateMachine):
    """After each step somebody looks at something, and sees what the model says."""

    def __init__(self, ground: Ground) -> None:
        super().__init__()
        self.ground = ground
        self.model = Model()
        self.random = Random(0)

    @initialize(seed=ANY)
    def people(self, seed: int) -> None:
        self.random = Random(seed)
        self.ground.runner.run(self._people())

    async def _people(self) -> None:
        users: dict[str, User] = {}
        async with open_system_work(self.ground.sessions) as work:
            for letter, founders in FOUNDERS.items():
                mark = f"mark{secrets.token_hex(6)}"
                row = TenantRow(
                    name=mark,
                    slug=f"{letter}-{secrets.token_hex(6)}",
                    created_at=work.now,
                    n_users=len(founders),
                    max_users=10**6,
                )
                work.session.add(row)
                tenant = Tenant(str(row.id), row.slug, mark)
                self.model.tenants.append(tenant)
                for name, role in founders:
                    if name not in users:
                        users[name] = a_user(name)
                        work.session.add(users[name])
                        self.model.emails[str(users[name].id)] = users[name].email
                    tenant.places[str(users[name].id)] = Place(role)
                await work.session.flush()
                for id, place in tenant.places.items():
                    member = Membership(
                        user_id=UUID(id), role=Role(place.role), created_at=work.now
                    )
                    member.tenant_id = row.id
                    work.session.add(member)
            await work.session.flush()
            for tenant in self.model.tenants:
                for user in tenant.places:
                    await self._enter(work, user, tenant)

    async def _enter(self, work: SystemWork, user: str, tenant: Tenant) -> None:
        place = await place_of(work, UUID(user), UUID(tenant.id))
        begun = await verbs.start(work, self.ground.identity, place)
        self.signed_in(begun.access_token, user, tenant)

    async def enter_alone(self, user: str, tenant: Tenant) -> None:
        async with open_system_work(self.ground.sessions) as work:
            await self._enter(work, user, tenant)

    def signed_in(self, token: str, user: str, tenant: Tenant) -> None:
        id = unpack(token)[1]["sid"]
        self.model.callers[id] = Caller(token, id, user, tenant)

    # Whom and what an attempt is about.

    def caller(self, number: int) -> Caller | None:
        """Mostly one whose credential is good; sometimes nobody."""
        number, kind = divmod(number, 16)
        if kind == 0:
            return None
        every = list(self.model.callers.values())
        good = [one for one in every if self.model.known(one)]
        among = every if kind == 1 or not good else good
        return among[number % len(among)]

    def project(self, number: int, who: Caller | None) -> Project | None:
        """Mostly one of their tenant; sometimes of another, or none that there is."""
        number, kind = divmod(number, 8)
        every = list(self.model.projects.values())
        own = [one for one in every if who is not None and one.tenant is who.tenant]
        among = every if kind < 2 or not own else own
        return among[number % len(among)] if among and kind else None

    def user(self, number: int, who: Caller | None) -> str:
        """As above; one that there is not by an id of nobody's."""
        number, kind = divmod(number, 8)
        every = sorted({user for tenant in self.model.tenants for user in tenant.places})
        own = [] if who is None else list(who.tenant.places)
        among = every if kind < 2 or not own else own
        return among[number % len(among)] if kind and among else str(new_id())

    # Asking.

    def ask(self, who: Caller | None, due: int, method: str, path: str, body: Any = None) -> Any:
        answer = self.ground.ask(None if who is None else who.secret, method, path, body)
        said = f"{method} {path} {body} as {who}: {answer.status_code}, not {due}: {answer.text}"
        assert answer.status_code == due, said
        for mark in self.model.secrets_from(who):
            assert mark not in answer.text, f"{method} {path} as {who} bears {mark}: {answer.text}"
        return answer.json() if answer.content else None

    def attempt(
        self,
        who: Caller | None,
        permission: str,
        then: int,
        *request: Any,
        project: Project | None = None,
    ) -> Any:
        """None if the model, or what comes `then`, refuses."""
        due = self.model.refusal(who, permission, project) or then
        answer = self.ask(who, due, *request)
        return (answer or {}) if due < 300 else None

    # Looking.

    @invariant()
    def everybody_sees_what_is_theirs(self) -> None:
        self.ground.steps += 1
        if not self.model.tenants:
            return
        who = self.caller(self.random.randrange(2**20))
        self.random.choice(
            [
                self._look_at_project,
                self._look_at_project,
                self._look_at_projects,
                self._look_at_team,
                self._look_at_people,
                self._look_at_keys,
                self._look_at_self,
                self._look_from_above,
            ]
        )(who)

    def _look_at_project(self, who: Caller | None) -> None:
        project = self.project(self.random.randrange(2**20), who)
        if project is None:
            due = 401 if who is None or not self.model.known(who) else 404
            self.ask(who, due, "GET", f"/projects/{new_id()}")
            return
        path = f"/projects/{project.id}"
        found = self.attempt(who, "project:read", 200, "GET", path, project=project)
        if found is not None:
            seen = (found["visibility"] == "private", found["archived_at"] is not None)
            assert seen == (project.private, project.archived)

    def _look_at_projects(self, who: Caller | None) -> None:
        found = self.attempt(who, "project:read", 200, "GET", "/projects?limit=200")
        if found is not None and who is not None:
            assert {one["id"] for one in found["items"]} == self.model.seen(who)

    def _look_at_team(self, who: Caller | None) -> None:
        project = self.project(self.random.randrange(2**20), who)
        if project is None:
            return
        path = f"/projects/{project.id}/members?limit=200"
        found = self.attempt(who, "project:read", 200, "GET", path, project=project)
        if found is not None:
            assert {one["user_id"]: one["role"] for one in found["items"]} == project.team

    def _look_at_people(self, who: Caller | None) -> None:
        found = self.attempt(who, "user:read", 200, "GET", "/users?limit=200")
        if found is not None and who is not None:
            people = {one["id"]: Place(one["role"], one["active"]) for one in found["items"]}
            assert people == who.tenant.places
            assert who.tenant.admins()
        offers = self.attempt(who, "user:read", 200, "GET", "/users/invitations?limit=200")
        if offers is not None and who is not None:
            known = self.model.invitations.values()
            still = {one.id for one in known if one.open and one.tenant is who.tenant}
            assert {one["id"] for one in offers["items"]} == still

    def _look_at_keys(self, who: Caller | None) -> None:
        found = self.attempt(who, "api-key:read", 200, "GET", "/api-keys?limit=200")
        if found is not None and who is not None:
            ids = {one["id"] for one in found["items"]}
            assert ids == self.model.keys(who.user, who.tenant)

    def _look_at_self(self, who: Caller | None) -> None:
        found = self.attempt(who, "account:read", 200, "GET", "/auth/me")
        if found is not None and who is not None:
            assert found["id"] == who.user
            assert found["role"] == who.tenant.places[who.user].role
        listed = self.attempt(who, "session:read", 200, "GET", "/auth/sessions")
        if listed is not None and who is not None:
            assert {one["id"] for one in listed["items"]} == self.model.sessions(who.user)

    def _look_from_above(self, who: Caller | None) -> None:
        """The platform's admin sees no tenant's data, and nobody else what is above tenants."""
        if who is not None:
            due = 403 if self.model.known(who) else 401
            self.ask(who, due, "POST", f"/tenants/{who.tenant.id}/suspend")
        for project in list(self.model.projects.values())[-1:]:
            answer = self.ground.ask(self.ground.root, "GET", f"/projects/{project.id}")
            assert (answer.status_code, project.mark in answer.text) == (403, False)
