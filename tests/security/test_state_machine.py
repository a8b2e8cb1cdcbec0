"""Whatever people do in whatever order, everybody sees and may do what the model says, no more."""

import secrets
from itertools import count
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from hypothesis import HealthCheck, Phase
from hypothesis import strategies as st
from hypothesis.stateful import rule, run_state_machine_as_test

from support.ground import PASSWORD, Ground, a_ground
from support.model import (
    ROLES,
    SCOPES,
    TEAM_ROLES,
    Caller,
    Invitation,
    Place,
    Project,
)
from support.proof import FULL, record, scale
from support.walk import ANY, Walk

STEPS = 50
_ROLE = st.sampled_from(ROLES)
_TEAM_ROLE = st.sampled_from(TEAM_ROLES)
_SCOPES = st.sets(st.sampled_from(SCOPES), min_size=1)


class Rights(Walk):
    """Each step is an attempt, which the model allows or refuses. None has a precondition: ids are
    made at random, so what there is would differ when the same numbers are drawn again."""

    # Projects and their teams.

    @rule(n=ANY, private=st.booleans())
    def create_project(self, n: int, private: bool) -> None:
        who, mark = self.caller(n), f"mark{secrets.token_hex(6)}"
        body = {"name": mark, "visibility": "private" if private else "internal"}
        made = self.attempt(who, "project:create", 201, "POST", "/projects", body)
        if made is not None and who is not None:
            project = Project(made["id"], made["slug"], who.tenant, mark, private)
            project.team[who.user] = "maintainer"
            self.model.projects[project.id] = project

    @rule(n=ANY, p=ANY)
    def describe_project(self, n: int, p: int) -> None:
        who = self.caller(n)
        project = self.project(p, who)
        if project is None:
            return
        path, body = f"/projects/{project.id}", {"description": secrets.token_hex(4)}
        self.attempt(who, "project:write", 200, "PATCH", path, body, project=project)

    @rule(n=ANY, p=ANY, private=st.booleans())
    def open_or_close_project(self, n: int, p: int, private: bool) -> None:
        who = self.caller(n)
        project = self.project(p, who)
        if project is None:
            return
        same = project.private == private
        permission = "project:write" if same else "project:manage"
        path, body = f"/projects/{project.id}", {"visibility": "private" if private else "internal"}
        # Who may not write at all, and who may not close it, are refused alike.
        done = self.attempt(who, permission, 200, "PATCH", path, body, project=project)
        if done is not None and who is not None and not same:
            if private and (who.user not in project.team or not project.maintainers()):
                project.team[who.user] = "maintainer"
            project.private = private

    @rule(n=ANY, p=ANY, away=st.booleans())
    def put_project_aside(self, n: int, p: int, away: bool) -> None:
        who = self.caller(n)
        project = self.project(p, who)
        if project is None:
            return
        path = f"/projects/{project.id}/{'archive' if away else 'restore'}"
        if self.attempt(who, "project:manage", 200, "POST", path, project=project) is not None:
            project.archived = away

    @rule(n=ANY, p=ANY)
    def delete_project(self, n: int, p: int) -> None:
        who = self.caller(n)
        project = self.project(p, who)
        if project is None or p % 3:
            return
        path = f"/projects/{project.id}?confirm={project.slug}"
        if self.attempt(who, "project:manage", 204, "DELETE", path, project=project) is not None:
            del self.model.projects[project.id]

    @rule(n=ANY, p=ANY, u=ANY, role=_TEAM_ROLE)
    def join_team(self, n: int, p: int, u: int, role: str) -> None:
        who = self.caller(n)
        project, user = self.project(p, who), self.user(u, who)
        if project is None:
            return
        then = 404 if user not in project.tenant.places else 409 if user in project.team else 201
        path, body = f"/projects/{project.id}/members", {"user_id": user, "role": role}
        if (
            self.attempt(who, "project:manage", then, "POST", path, body, project=project)
            is not None
        ):
            project.team[user] = role

    @rule(n=ANY, p=ANY, u=ANY, role=st.one_of(_TEAM_ROLE, st.none()))
    def change_or_leave_team(self, n: int, p: int, u: int, role: str | None) -> None:
        who = self.caller(n)
        project = self.project(p, who)
        if project is None:
            return
        team = list(project.team)
        user = team[u % len(team)] if team and u % 5 else self.user(u, who)
        path = f"/projects/{project.id}/members/{user}"
        then = 204 if role is None else 200
        if user not in project.team:
            then = 404
        elif role not in {"maintainer", project.team[user]} and project.ownerless_without(user):
            then = 409
        request = ("DELETE", path) if role is None else ("PATCH", path, {"role": role})
        if self.attempt(who, "project:manage", then, *request, project=project) is not None:
            if role is None:
                del project.team[user]
            else:
                project.team[user] = role

    # The tenant's people.

    @rule(n=ANY, u=ANY, role=st.one_of(_ROLE, st.none()), active=st.booleans())
    def change_user(self, n: int, u: int, role: str | None, active: bool) -> None:
        who = self.caller(n)
        user = self.user(u, who)
        body = {"active": active} if role is None else {"role": role}
        place = None if who is None else who.tenant.places.get(user)
        then, permission = 404, "user:write"
        if who is not None and place is not None:
            after = Place(role or place.role, active if role is None else place.active)
            was, stays = place.role == "admin" and place.active, after == Place("admin")
            others = who.tenant.admins() - {user}
            then = 409 if was and not stays and not others else 200
            if after.role == "admin" and (place.role != "admin" or after.active > place.active):
                permission = "admin:appoint"
        done = self.attempt(who, permission, then, "PATCH", f"/users/{user}", body)
        if done is not None and who is not None:
            who.tenant.places[user] = after
            if not after.active:
                self.model.end_sessions(user, who.tenant)

    @rule(n=ANY, u=ANY)
    def remove_user(self, n: int, u: int) -> None:
        who = self.caller(n)
        user = self.user(u, who)
        if u % 3:
            return
        then = 404
        if who is not None and user in who.tenant.places:
            place = who.tenant.places[user]
            was = place.role == "admin" and place.active
            then = 409 if was and not who.tenant.admins() - {user} else 204
        if self.attempt(who, "user:write", then, "DELETE", f"/users/{user}") is not None:
            assert who is not None
            self.model.remove(user, who.tenant, who)

    @rule(n=ANY, u=ANY)
    def sign_out_user(self, n: int, u: int) -> None:
        who = self.caller(n)
        user = self.user(u, who)
        then = 204 if who is not None and user in who.tenant.places else 404
        done = self.attempt(who, "user:write", then, "POST", f"/users/{user}/sign-out")
        if done is not None and who is not None:
            self.model.end_sessions(user, who.tenant)

    @rule(n=ANY, u=ANY, role=_ROLE)
    def invite(self, n: int, u: int, role: str) -> None:
        who, people = self.caller(n), sorted(self.model.emails)
        user = people[u % len(people)]
        then = 409 if who is not None and user in who.tenant.places else 201
        body = {"email": self.model.emails[user], "role": role}
        permission = "admin:appoint" if role == "admin" else "user:write"
        made = self.attempt(who, permission, then, "POST", "/users/invitations", body)
        if made is not None and who is not None:
            for older in self.model.invitations.values():
                if (older.tenant, older.user) == (who.tenant, user):
                    older.open = False
            offer = Invitation(made["id"], made["token"], who.tenant, user, role)
            self.model.invitations[offer.id] = offer

    @rule(n=ANY, i=ANY)
    def revoke_invitation(self, n: int, i: int) -> None:
        who, offer = self.caller(n), self._offer(i)
        if offer is None:
            return
        then = 204 if who is not None and offer.open and offer.tenant is who.tenant else 404
        done = self.attempt(who, "user:write", then, "DELETE", f"/users/invitations/{offer.id}")
        if done is not None:
            offer.open = False

    @rule(i=ANY)
    def accept_invitation(self, i: int) -> None:
        offer = self._offer(i)
        if offer is None:
            return
        good = offer.open and offer.tenant.open
        body = {"token": offer.token, "password": PASSWORD, "name": "N"}
        answer = self.ground.ask(None, "POST", "/auth/invitations/accept", body)
        assert answer.status_code == (201 if good else 422), answer.text
        if good:
            offer.open = False
            offer.tenant.places[offer.user] = Place(offer.role)
            self.signed_in(answer.json()["access_token"], offer.user, offer.tenant)

    def _offer(self, number: int) -> Invitation | None:
        every = list(self.model.invitations.values())
        still = [one for one in every if one.open]
        among = still if still and number % 4 else every
        return among[number // 4 % len(among)] if among else None

    @rule(n=ANY, role=_ROLE)
    def create_service_account(self, n: int, role: str) -> None:
        who = self.caller(n)
        body = {"name": secrets.token_hex(6), "role": role}
        permission = "admin:appoint" if role == "admin" else "user:write"
        made = self.attempt(who, permission, 201, "POST", "/service-accounts", body)
        if made is not None and who is not None:
            who.tenant.places[made["id"]] = Place(role)
            who.tenant.machines.add(made["id"])

    @rule(n=ANY, u=ANY)
    def delete_service_account(self, n: int, u: int) -> None:
        who = self.caller(n)
        user = self._machine(u, who)
        if u % 3:
            return
        then = 204 if who is not None and user in who.tenant.machines else 404
        if self.attempt(who, "user:write", then, "DELETE", f"/service-accounts/{user}") is not None:
            assert who is not None
            self.model.remove(user, who.tenant, who)

    def _machine(self, number: int, who: Caller | None) -> str:
        every = sorted({user for tenant in self.model.tenants for user in tenant.machines})
        own = [] if who is None else sorted(who.tenant.machines)
        among = own if own and number % 4 else every
        return among[number // 4 % len(among)] if among else self.user(number, who)

    # Credentials.

    @rule(n=ANY, scopes=_SCOPES, only=st.lists(ANY, max_size=2), m=ANY, machine=st.booleans())
    def create_key(self, n: int, scopes: set[str], only: list[int], m: int, machine: bool) -> None:
        who = self.caller(n)
        named = [one for one in (self.project(p, who) for p in only) if one is not None]
        owner = self._machine(m, who) if machine else "" if who is None else who.user
        then = 201
        if who is not None:
            place = who.tenant.places.get(owner)
            if not all(self.model.sees(who, one) for one in named) or (
                machine and owner not in who.tenant.machines
            ):
                then = 404
            elif "admin" in scopes and place is not None and place.role != "admin":
                then = 403
        body: dict[str, Any] = {"name": "k", "scopes": sorted(scopes)}
        if named:
            body["projects"] = [one.id for one in named]
        permission = "service-key:write" if machine else "api-key:write"
        path = f"/service-accounts/{owner}/keys" if machine else "/api-keys"
        made = self.attempt(who, permission, then, "POST", path, body)
        if made is not None and who is not None:
            reach = frozenset(one.id for one in named) if named else None
            self.model.callers[made["id"]] = Caller(
                made["secret"], made["id"], owner, who.tenant, frozenset(scopes), reach
            )

    @rule(n=ANY, k=ANY)
    def revoke_key(self, n: int, k: int) -> None:
        who = self.caller(n)
        every = [one for one in self.model.callers.values() if one.scopes is not None]
        mine = [one for one in every if who is not None and one.user == who.user]
        among = mine if mine and k % 4 else every
        if not among:
            return
        key = among[k // 4 % len(among)]
        owned = who is not None and key.id in self.model.keys(who.user, who.tenant)
        then = 204 if owned else 404
        if self.attempt(who, "api-key:write", then, "DELETE", f"/api-keys/{key.id}") is not None:
            key.ended = True

    @rule(u=ANY, t=st.integers(0, 1))
    def sign_in(self, u: int, t: int) -> None:
        tenant = self.model.tenants[t]
        people = [one for one in tenant.places if one not in tenant.machines]
        if not people:
            return
        user = people[u % len(people)]
        # One more than twenty ends the oldest.
        if tenant.open and tenant.places[user].active and len(self.model.sessions(user)) < 20:
            self.ground.runner.run(self.enter_alone(user, tenant))

    @rule(n=ANY, away=st.integers(0, 7))
    def sign_out(self, n: int, away: int) -> None:
        who = self.caller(n)
        if away:
            return
        if self.attempt(who, "session:end", 204, "POST", "/auth/logout") is not None:
            assert who is not None
            who.ended = True

    @rule(n=ANY, s=ANY)
    def end_session(self, n: int, s: int) -> None:
        who = self.caller(n)
        every = [one for one in self.model.callers.values() if one.scopes is None]
        mine = [one for one in every if who is not None and one.user == who.user]
        among = mine if mine and s % 2 else every
        session = among[s // 2 % len(among)]
        owned = who is not None and session.id in self.model.sessions(who.user)
        path = f"/auth/sessions/{session.id}"
        if self.attempt(who, "session:end", 204 if owned else 404, "DELETE", path) is not None:
            session.ended = True

    @rule(n=ANY, t=st.integers(0, 1))
    def switch(self, n: int, t: int) -> None:
        who, tenant = self.caller(n), self.model.tenants[t]
        then = 404
        if who is not None and tenant.open:
            place = tenant.places.get(who.user)
            then = 200 if place is not None and place.active else 404
        due = self.model.refusal(who, "session:switch") or then
        answer = self.ground.ask(
            None if who is None else who.secret, "POST", "/auth/switch", {"tenant": tenant.slug}
        )
        assert answer.status_code == due, answer.text
        if due == 200 and who is not None:
            who.ended = True
            self.signed_in(answer.json()["access_token"], who.user, tenant)

    @rule(t=st.integers(0, 1), close=st.integers(0, 5))
    def suspend_or_resume(self, t: int, close: int) -> None:
        tenant = self.model.tenants[t]
        verb = "resume" if close else "suspend"
        answer = self.ground.ask(self.ground.root, "POST", f"/tenants/{tenant.id}/{verb}")
        assert answer.status_code == 200, answer.text
        tenant.open = bool(close)


@pytest.mark.rows(32, 35, 36, 41, 52, 53, 55, 58, 59)
@pytest.mark.timeout(scale(600, 3600))
def test_everybody_may_do_what_the_model_says_after_any_number_of_steps(
    database: str, tmp_path: Path
) -> None:
    (tmp_path / "data").mkdir(mode=0o700)
    each = scale(10_000, 100_000) // 2  # on each database
    seed = secrets.randbelow(2**32) if FULL else 1
    record("seed of the state machine", str(seed))
    with a_ground(database, tmp_path / "data") as ground:
        for turn in count():
            _walk(ground, seed + turn)
            if ground.steps >= each:
                break
    record("steps of the state machine", ground.steps)


def _walk(ground: Ground, seed: int) -> None:
    machine: Any = hypothesis.seed(seed)(lambda: Rights(ground))
    run_state_machine_as_test(
        machine,
        settings=hypothesis.settings(
            max_examples=20,
            stateful_step_count=STEPS,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
