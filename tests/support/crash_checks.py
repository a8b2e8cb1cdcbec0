"""What must be true of a database whenever the server has come back.

Two kinds of facts: what was acknowledged is there, and what is there is whole, acknowledged or not.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx2
from sqlalchemy import select

from maestro_ml.api.main import make_worker
from maestro_ml.audit.models import AuditEvent
from maestro_ml.core.clock import utc_now
from maestro_ml.core.settings import Settings
from maestro_ml.db.engine import make_engines
from maestro_ml.db.tenants import SYSTEM
from maestro_ml.db.work import Sessions
from maestro_ml.identity import tokens
from maestro_ml.identity.models import ApiKey, Invitation, Membership, RefreshToken, Session
from maestro_ml.jobs.models import Job, JobState
from maestro_ml.mail.models import Mail, MailState
from maestro_ml.projects.models import Project, ProjectMember
from maestro_ml.tenancy.models import Tenant
from maestro_ml.tracking.models import LatestMetric, MetricChunk, Param, Run, RunTag
from support.crash import METRICS, PARAMS, QUOTA, Ledger

SAMPLE = 8  # dead tokens that are tried anew each time, the newest ones
AHEAD = timedelta(minutes=2)  # by then every lease has run out, and every event is old enough
Rows = list[tuple[Any, ...]]


class Truth:
    """The database, read beside the server."""

    def __init__(self, url: str) -> None:
        self.engines = make_engines(url)
        self.sessions = Sessions(self.engines)

    async def rows(self, *columns: Any) -> Rows:
        async with self.sessions.begin(SYSTEM, read_only=True) as session:
            return [tuple(row) for row in await session.execute(select(*columns))]

    async def by_id(self, id: Any, column: Any) -> dict[UUID, Any]:
        rows = await self.rows(id, column)
        return {key: value for key, value in rows}  # noqa: C416 - the types

    async def check(self, ledger: Ledger) -> None:
        """Raises AssertionError with the first thing that is lost, half or double."""
        found = await self.rows(AuditEvent.request_id, AuditEvent.action, AuditEvent.target_id)
        told: dict[str, Counter[str]] = defaultdict(Counter)
        of: dict[str, list[UUID]] = defaultdict(list)
        for request, action, target in found:
            told[request or ""][action] += 1
            of[action].append(_as_id(target))
        for deed in ledger.deeds:
            if deed.kind == "logout_all":
                continue  # as many records as there were sessions: counted with these
            whole, events = Counter(deed.records), told[deed.request]
            assert events == whole or not (deed.acknowledged or events), (deed, events)
        await self._check_sessions(ledger, of)
        await self._check_projects(ledger, of)
        await self._check_runs(ledger)
        await self._check_keys(ledger, of)
        await self._check_invitations(ledger, of)
        for user, may_be in ledger.roles.items():
            query = (Membership.user_id, Membership.role)
            role = {str(id): role.value for id, role in await self.rows(*query)}[user]
            assert role in may_be, (role, may_be)
            ledger.roles[user] = {role}

    async def _check_sessions(self, ledger: Ledger, of: dict[str, list[UUID]]) -> None:
        revoked = await self.by_id(Session.id, Session.revoked_at)
        _same(revoked, of["session.started"])
        _same((id for id, at in revoked.items() if at is not None), of["session.ended"])
        for deed in ledger.done("login"):
            assert UUID(deed.facts["session"]) in revoked, deed
        ended = [deed.facts["session"] for deed in ledger.done("logout")]
        for deed in ledger.done("logout_all"):
            ended += deed.facts["sessions"]
        for session in ended:
            assert revoked[UUID(session)] is not None, session
        refreshes = await self.rows(
            RefreshToken.hash, RefreshToken.session_id, RefreshToken.replaced_by
        )
        of_session: dict[UUID, dict[bytes, bytes | None]] = defaultdict(dict)
        for hash, session, after in refreshes:
            of_session[session][hash] = after
        assert of_session.keys() == revoked.keys(), "a session without a refresh token"
        refreshed = Counter(of["session.refreshed"])
        for session, chain in of_session.items():
            # One follows the other: all but one were used, each once.
            followers = [after for after in chain.values() if after is not None]
            assert len(followers) == len(set(followers)) == len(chain) - 1, session
            assert set(followers) < chain.keys()
            assert refreshed[session] == len(followers), session
        for deed in ledger.done("refresh"):
            chain = of_session[UUID(deed.facts["session"])]
            after = chain[tokens.digest(deed.facts["token"])]
            assert after == tokens.digest(deed.answer["refresh_token"]), deed

    async def _check_projects(self, ledger: Ledger, of: dict[str, list[UUID]]) -> None:
        columns = (Project.id, Project.tenant_id, Project.created_by)
        there = {id: (tenant, by) for id, tenant, by in await self.rows(*columns)}
        _same([*there, *of["project.deleted"]], of["project.created"])
        team = await self.rows(ProjectMember.project_id, ProjectMember.user_id)
        _same(team, [(id, by) for id, (_, by) in there.items()])
        for deed in ledger.done("project"):
            assert UUID(deed.answer["id"]) in there, deed
        gone = {UUID(deed.facts["project"]) for deed in ledger.done("unquota")}
        for deed in ledger.done("quota"):
            id = UUID(deed.answer["id"])
            assert id in there or id in of["project.deleted"], deed
        assert not gone & there.keys()
        counted = Counter(tenant for tenant, _ in there.values())
        users = Counter(tenant for (tenant,) in await self.rows(Membership.tenant_id))
        tenants = (Tenant.id, Tenant.slug, Tenant.n_projects, Tenant.n_users, Tenant.max_projects)
        for id, slug, projects, people, most in await self.rows(*tenants):
            assert (projects, people) == (counted[id], users[id]), slug
            assert projects <= most
            assert slug != "tenant-b" or most == QUOTA

    async def _check_runs(self, ledger: Ledger) -> None:
        names = await self.by_id(Run.id, Run.name)
        parts = {
            kind: Counter(id for (id,) in await self.rows(kind.run_id))
            for kind in (Param, MetricChunk, LatestMetric, RunTag)
        }
        for id in names:
            counts = (parts[Param][id], parts[MetricChunk][id], parts[LatestMetric][id])
            assert counts in {(0, 0, 0), (PARAMS, METRICS, METRICS)}, (id, counts)
            assert parts[RunTag][id] == 2, "a run without what it was made with"
        for deed in ledger.done("run"):
            assert names[UUID(deed.answer["run"]["info"]["run_id"])] == deed.facts["name"]
        for deed in ledger.done("batch"):
            assert parts[Param][UUID(deed.facts["run"])] == PARAMS, deed

    async def _check_keys(self, ledger: Ledger, of: dict[str, list[UUID]]) -> None:
        keys = await self.by_id(ApiKey.id, ApiKey.revoked_at)
        _same(keys, of["api_key.created"])
        _same((id for id, at in keys.items() if at is not None), of["api_key.revoked"])
        for deed in ledger.done("key"):
            assert UUID(deed.answer["id"]) in keys, deed
        for deed in ledger.done("key_end"):
            assert keys[UUID(deed.facts["key"])] is not None, deed

    async def _check_invitations(self, ledger: Ledger, of: dict[str, list[UUID]]) -> None:
        """An offer, its record, its mail and the job that sends it are there together."""
        offers = await self.by_id(Invitation.id, Invitation.email_norm)
        _same(offers, of["invitation.created"])
        mails = await self.rows(Mail.recipient, Mail.kind)
        _same([to for to, kind in mails if kind == "invitation"], offers.values())
        for deed in ledger.done("invitation"):
            assert offers[UUID(deed.answer["id"])] == deed.facts["email"], deed
        jobs = await self.rows(Job.kind, Job.payload)
        sent = [UUID(payload["mail_id"]) for kind, payload in jobs if kind == "mail.deliver"]
        _same(sent, [id for (id,) in await self.rows(Mail.id)])

    async def check_jobs_ended(self, settings: Settings) -> int:
        """A worker two minutes later finishes what the dead ones left. Gives how many jobs there
        were, each of which has ended once."""
        worker = make_worker(settings, self.sessions, clock=lambda: utc_now() + AHEAD)
        await worker.tend()
        while await worker.run_one():
            pass
        jobs = await self.rows(Job.kind, Job.state, Job.attempts, Job.result, Job.lease_id)
        assert {(state, lease) for _, state, _, _, lease in jobs} == {(JobState.DONE, None)}
        assert {state for (state,) in await self.rows(Mail.state)} == {MailState.KEPT}
        # A job whose process died after its work and before its end does the work again.
        verified = [job for job in jobs if job[0] == "audit.verify"]
        assert all(result["sound"] for _, _, _, result, _ in verified)
        records = Counter(action for (action,) in await self.rows(AuditEvent.action))
        most = sum(attempts for _, _, attempts, _, _ in verified)
        assert len(verified) <= records["audit.verified"] <= most
        return len(jobs)


async def check_doors(ledger: Ledger, url: str) -> None:
    """Through the front: what was revoked stays so, and what was not is let in."""
    async with httpx2.AsyncClient(base_url=f"{url}/api/v1", timeout=60) as http:

        async def knock(token: str) -> int:
            headers = {"Authorization": f"Bearer {token}"}
            path = "/projects"
            return (await http.get(path, headers=headers)).status_code

        dead, live = ledger.revoked_tokens[-SAMPLE:], list(ledger.live.values())
        assert set(await asyncio.gather(*map(knock, dead))) <= {401}
        assert set(await asyncio.gather(*map(knock, live))) <= {200}
        for token in ledger.spent[-SAMPLE // 2 :]:
            again = await http.post("/auth/refresh", json={"refresh_token": token})
            assert again.status_code == 401, again.text


def _same(one: Iterable[Any], other: Iterable[Any]) -> None:
    """The same things, each exactly once."""
    first, second = Counter([*one]), Counter([*other])
    assert first == second, (first - second, second - first)
    assert all(count == 1 for count in first.values())


def _as_id(text: str | None) -> UUID:
    try:
        return UUID(text or "")
    except ValueError:  # a signing key is known by another name
        return UUID(int=0)
