"""Policies: which one is in force, and new versions of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import ValidationError
from sqlalchemy import func, select

from maestro_ml.approvals.errors import GateUnknown, PolicyTaken, SubjectNotFound
from maestro_ml.approvals.models import (
    DONE,
    ApprovalEvidence,
    ApprovalParty,
    ApprovalPolicy,
    ApprovalRequest,
    ApprovalVote,
)
from maestro_ml.approvals.policy import stopped_by
from maestro_ml.approvals.ports import Subject
from maestro_ml.approvals.schemas_policies import (
    BUILT_IN,
    TENANT,
    GateWanted,
    PolicyContent,
    PolicyTry,
    PolicyWrite,
    Stopped,
    SubjectNamed,
    TrialView,
)
from maestro_ml.approvals.service.lookup import Kinds, subjects_of
from maestro_ml.audit.service import record
from maestro_ml.core.access import ActorKind, Permission
from maestro_ml.core.errors import Invalid
from maestro_ml.core.paging import Page, PageRequest
from maestro_ml.db.paging import page_of
from maestro_ml.db.work import Work
from maestro_ml.jobs.service import enqueue_internal, publish
from maestro_ml.projects.service import keep_place

SWEEP = "approvals.sweep"
_ATTEMPTS = 5
_LOOKED_AT = 500


@dataclass(frozen=True, slots=True)
class InForce:
    """A version that counts; the built-in one has no row."""

    chain: str
    number: int
    content: PolicyContent
    reason: str = ""
    created_by: UUID | None = None
    created_at: datetime | None = None


_BUILT_IN = InForce(BUILT_IN, 0, PolicyContent())


async def in_force(work: Work, subject_id: UUID | None) -> InForce:
    """The policy that counts for a subject; for none, the tenant's."""
    work.require(Permission.POLICY_READ)
    chains = [TENANT] if subject_id is None else [str(subject_id), TENANT]
    newest = (
        select(ApprovalPolicy.chain, func.max(ApprovalPolicy.number).label("number"))
        .where(ApprovalPolicy.chain.in_(chains))
        .group_by(ApprovalPolicy.chain)
        .subquery()
    )
    query = select(ApprovalPolicy).join(
        newest,
        (ApprovalPolicy.chain == newest.c.chain) & (ApprovalPolicy.number == newest.c.number),
    )
    found = {row.chain: row for row in await work.session.scalars(query)}
    for chain in chains:
        row = found.get(chain)
        if row is not None and row.content is not None:
            content = PolicyContent.model_validate(row.content)
            return InForce(chain, row.number, content, row.reason, row.created_by, row.created_at)
    return _BUILT_IN


async def own_in(work: Work, project_id: UUID) -> set[UUID]:
    """The subjects in a project that have, or had, a policy of their own."""
    work.require(Permission.POLICY_READ)
    query = select(ApprovalPolicy.subject_id).where(ApprovalPolicy.project_id == project_id)
    return {id for id in await work.session.scalars(query) if id is not None}


async def current(work: Work, kinds: Kinds, named: SubjectNamed | None) -> InForce:
    """The same, for a caller who names a subject.

    Raises:
        KindUnknown, SubjectNotFound: there is no such subject.
    """
    work.require(Permission.POLICY_READ)
    subject = await _subject(work, kinds, named)
    return await in_force(work, None if subject is None else subject.id)


async def history(
    work: Work, kinds: Kinds, named: SubjectNamed | None, request: PageRequest
) -> Page[ApprovalPolicy]:
    """A page of the versions of the tenant's policy, or of one subject's, the newest first.

    Raises:
        KindUnknown, SubjectNotFound: there is no such subject.
        Invalid: the cursor is not one of this list.
    """
    work.require(Permission.POLICY_READ)
    subject = await _subject(work, kinds, named)
    chain = _chain(subject)
    query = select(ApprovalPolicy).where(ApprovalPolicy.chain == chain)
    return await page_of(work.session, query, ApprovalPolicy, request)


async def write(work: Work, kinds: Kinds, command: PolicyWrite) -> ApprovalPolicy:
    """Put a new version in force. What is asked for under an older one expires.

    Raises:
        KindUnknown, SubjectNotFound: there is no such subject.
        GateUnknown, Invalid: it names a gate that there is not, or parameters that do not fit.
        PolicyTaken: somebody else has written one at the same moment.
    """
    work.require(Permission.POLICY_WRITE)
    await keep_place(work)
    subject = await _subject(work, kinds, command.subject)
    content = None
    if command.policy is not None:
        content = _with_sound_gates(command.policy, kinds, command.subject).model_dump(mode="json")
    chain = _chain(subject)
    last = select(func.max(ApprovalPolicy.number)).select_from(ApprovalPolicy)
    last = last.where(ApprovalPolicy.chain == chain)
    policy = ApprovalPolicy(
        chain=chain,
        number=(await work.session.scalar(last) or 0) + 1,
        content=content,
        reason=command.reason,
        project_id=None if subject is None else subject.project_id,
        subject_kind=None if command.subject is None else command.subject.kind,
        subject_id=None if subject is None else subject.id,
        created_by=None if work.access.kind is ActorKind.SYSTEM else work.access.actor_id,
        created_at=work.now,
    )
    work.session.add(policy)
    await work.flush_or(PolicyTaken())
    facts: dict[str, Any] = {"chain": chain, "number": policy.number, "reason": policy.reason}
    record(work, "approval_policy.written", "approval_policy", policy.id, **facts)
    facts["project_id"] = policy.project_id and str(policy.project_id)
    await publish(work, "approval-policy.written", policy_id=str(policy.id), **facts)
    await enqueue_internal(work, SWEEP, {}, max_attempts=_ATTEMPTS)
    return policy


async def dry_run(work: Work, kinds: Kinds, command: PolicyTry) -> TrialView:
    """Hold a policy against what went through before, as far as the caller sees it: what would it
    have stopped, and why? The tenant's is held against subjects without a policy of their own.

    Raises:
        KindUnknown, SubjectNotFound: there is no such subject.
        GateUnknown, Invalid: it names a gate that there is not, or parameters that do not fit.
    """
    work.require(Permission.POLICY_READ)
    work.require(Permission.APPROVAL_READ)
    subject = await _subject(work, kinds, command.subject)
    policy = _with_sound_gates(command.policy, kinds, command.subject)
    query = select(ApprovalRequest).where(ApprovalRequest.state.in_(DONE))
    if subject is None:
        query = query.where(ApprovalRequest.policy_chain.in_([TENANT, BUILT_IN]))
    else:
        query = query.where(ApprovalRequest.subject_id == subject.id)
    past = (
        await work.session.scalars(query.order_by(ApprovalRequest.id.desc()).limit(_LOOKED_AT))
    ).all()
    evidence, votes, parties = await _facts(work, [request.id for request in past])
    stopped, unprotected = [], 0
    for request in past:
        if not policy.protects(request.alias):
            unprotected += 1
            continue
        reasons = stopped_by(
            policy,
            request,
            [one for one in evidence if one.request_id == request.id],
            [one for one in votes if one.request_id == request.id],
            {one.user_id for one in parties if one.request_id == request.id},
        )
        if reasons:
            stopped.append(
                Stopped(
                    approval_id=request.id,
                    name=request.name,
                    alias=request.alias,
                    target=request.target,
                    state=request.state,
                    ended_at=request.ended_at,
                    reasons=reasons,
                )
            )
    return TrialView(looked_at=len(past), stopped=stopped, unprotected=unprotected)


async def _facts(
    work: Work, ids: Sequence[UUID]
) -> tuple[Sequence[ApprovalEvidence], Sequence[ApprovalVote], Sequence[ApprovalParty]]:
    evidence = select(ApprovalEvidence).where(ApprovalEvidence.request_id.in_(ids))
    votes = select(ApprovalVote).where(ApprovalVote.request_id.in_(ids))
    parties = select(ApprovalParty).where(ApprovalParty.request_id.in_(ids))
    return (
        (await work.session.scalars(evidence)).all(),
        (await work.session.scalars(votes)).all(),
        (await work.session.scalars(parties)).all(),
    )


async def _subject(work: Work, kinds: Kinds, named: SubjectNamed | None) -> Subject | None:
    if named is None:
        return None
    subject = await subjects_of(kinds, named.kind).subject(work, named.id)
    if subject is None or not work.allows(Permission.APPROVAL_READ, subject.project_id):
        raise SubjectNotFound
    return subject


def _chain(subject: Subject | None) -> str:
    return TENANT if subject is None else str(subject.id)


def _with_sound_gates(
    content: PolicyContent, kinds: Kinds, named: SubjectNamed | None
) -> PolicyContent:
    """The same policy, its gates' parameters as each gate reads them."""
    known = {
        gate: shape
        for kind, subjects in kinds.items()
        if named is None or kind == named.kind
        for gate, shape in subjects.gates.items()
    }
    gates: list[GateWanted] = []
    for n, gate in enumerate(content.gates):
        at: list[str | int] = ["body", "policy", "gates", n]
        if gate.kind not in known:
            raise GateUnknown(gate.kind, known, [*at, "kind"])
        try:
            parameters = known[gate.kind].model_validate(gate.parameters)
        except ValidationError as wrong:
            faults = [
                {"at": [*at, "parameters", *fault["loc"]], "why": fault["msg"]}
                for fault in wrong.errors(include_url=False, include_input=False)
            ]
            said = f"The gate {gate.kind} does not take these parameters: see the faults."
            raise Invalid(said, faults=faults) from None
        sound = {"parameters": parameters.model_dump(mode="json")}
        gates.append(gate.model_copy(update=sound))
    return content.model_copy(update={"gates": gates})
