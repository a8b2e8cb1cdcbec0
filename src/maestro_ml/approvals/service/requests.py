"""Ask for approval, look at what is asked for, take it back; and let what is stale expire."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, or_, select

from maestro_ml.approvals.errors import (
    ApprovalEnded,
    ApprovalOpen,
    ApprovalUnneeded,
    SubjectNotFound,
)
from maestro_ml.approvals.models import (
    OPEN,
    ApprovalParty,
    ApprovalRequest,
    ApprovalState,
    ApprovalVote,
)
from maestro_ml.approvals.ports import Target
from maestro_ml.approvals.schemas import ApprovalCreate, ApprovalFilter
from maestro_ml.approvals.schemas_policies import plain
from maestro_ml.approvals.service import evidence, policies
from maestro_ml.approvals.service.ending import end, moved, note
from maestro_ml.approvals.service.lookup import Kinds, held, seen, subjects_of, target_of
from maestro_ml.approvals.service.notices import tell_deciders
from maestro_ml.approvals.service.voters import parts
from maestro_ml.core.access import RULES, ActorKind, Permission, Role
from maestro_ml.core.errors import Forbidden
from maestro_ml.core.paging import Page, PageRequest
from maestro_ml.db.among import among
from maestro_ml.db.paging import page_of
from maestro_ml.db.work import SystemWork, Work
from maestro_ml.projects.service import hold

BATCH = 200
_FIRST = UUID(int=0)


async def open_request(work: Work, kinds: Kinds, command: ApprovalCreate) -> ApprovalRequest:
    """Ask that an alias may move. The policy's automatic gates begin to run.

    Raises:
        KindUnknown, SubjectNotFound: there is no such subject or target.
        ApprovalUnneeded: the alias is not protected.
        ApprovalOpen: the same is asked for already.
    """
    if command.subject_kind not in kinds:
        work.require(Permission.APPROVAL_REQUEST)
    subjects = subjects_of(kinds, command.subject_kind)
    subject = await subjects.subject(work, command.subject_id)
    if subject is None or not work.allows(Permission.APPROVAL_READ, subject.project_id):
        raise SubjectNotFound
    work.require(Permission.APPROVAL_REQUEST, subject.project_id)
    await hold(work, subject.project_id)
    slot = _slot(command)
    # Held before what it is about, as by whoever decides.
    same = select(ApprovalRequest).where(ApprovalRequest.slot == slot).with_for_update()
    there = (await work.session.scalars(same)).one_or_none()
    target = await subjects.target(work, subject.id, command.alias, command.target)
    if target is None:
        raise SubjectNotFound
    policy = await policies.in_force(work, subject.id)
    if not policy.content.protects(command.alias):
        raise ApprovalUnneeded(command.alias)
    if there is not None:
        await _make_room(work, kinds, there, target)
    gates, people = policy.content.gates, policy.content.people
    request = ApprovalRequest(
        project_id=subject.project_id,
        subject_kind=command.subject_kind,
        subject_id=subject.id,
        alias=command.alias,
        target=command.target,
        name=target.name,
        fingerprint=target.fingerprint,
        policy_chain=policy.chain,
        policy_number=policy.number,
        votes_needed=people.votes,
        role_needed=Role(people.role),
        requested_by=work.access.actor_id,
        reason=command.reason,
        state=ApprovalState.COLLECTING if gates else ApprovalState.IN_REVIEW,
        expires_at=work.now + timedelta(hours=policy.content.expires_after_hours),
        slot=slot,
        created_at=work.now,
    )
    work.session.add(request)
    await work.flush_or(ApprovalOpen())
    for user_id, part in (await parts(work, work.access.actor_id, target.authors)).items():
        work.session.add(
            ApprovalParty(
                project_id=request.project_id,
                request_id=request.id,
                user_id=user_id,
                part=part,
                created_at=work.now,
            )
        )
    for position, gate in enumerate(gates):
        await evidence.start(work, request, gate, position)
    await work.session.flush()
    await note(work, "approval.requested", request, reason=request.reason)
    if not gates:
        await tell_deciders(work, request)
    return request


async def search(work: Work, wanted: ApprovalFilter, request: PageRequest) -> Page[ApprovalRequest]:
    """A page of what is and was asked for in sight, the newest first.

    Raises:
        Invalid: the cursor is not one of this list.
    """
    work.require(Permission.APPROVAL_READ)
    query = select(ApprovalRequest).where(*_conditions(work, wanted))
    return await page_of(work.session, query, ApprovalRequest, request)


async def withdraw(work: Work, id: UUID) -> ApprovalRequest:
    """Take it back: by who has asked, or who maintains the project.

    Raises:
        ApprovalEnded: it is decided by now.
        Forbidden: neither is the caller.
    """
    request = await seen(work, id)
    work.require(Permission.APPROVAL_REQUEST, request.project_id)
    mine = request.requested_by == work.access.actor_id
    if not mine and not work.allows(Permission.PROJECT_MANAGE, request.project_id):
        raise Forbidden(
            "Only who has asked for it, or a maintainer of the project, takes a request back."
        )
    await hold(work, request.project_id)
    request = await held(work, id)
    await end(work, request, ApprovalState.WITHDRAWN)
    return request


async def undecided(work: SystemWork, after: UUID = _FIRST) -> Sequence[tuple[UUID, UUID]]:
    """The next open requests of all tenants, by id: whose, and which. None: that was all."""
    query = select(ApprovalRequest.tenant_id, ApprovalRequest.id).where(
        ApprovalRequest.state.in_(OPEN), ApprovalRequest.id > after
    )
    found = await work.session.execute(query.order_by(ApprovalRequest.id).limit(BATCH))
    return [(tenant_id, id) for tenant_id, id in found]


async def expire_if_moved(work: Work, kinds: Kinds, id: UUID) -> None:
    """Close a request whose time ran out or whose ground has changed; and of one that stays open,
    see to it that no gate seems to run which does not. Of a kind that this server does not know,
    another one may."""
    request = await seen(work, id)
    work.require(Permission.APPROVAL_REQUEST, request.project_id)
    if request.subject_kind not in kinds:
        return
    await hold(work, request.project_id)
    try:
        request = await held(work, id)
    except ApprovalEnded:  # meanwhile
        return
    because = await moved(work, request, await target_of(work, kinds, request))
    because = because or await evidence.outdated(work, kinds, request)
    if because is not None:
        await end(work, request, ApprovalState.EXPIRED, because)
    else:
        await evidence.give_up_lost(work, request)


async def _make_room(work: Work, kinds: Kinds, there: ApprovalRequest, target: Target) -> None:
    """Raises:
    ApprovalOpen: the same is asked for already, and can still be decided.
    """
    because = await moved(work, there, target) or await evidence.outdated(work, kinds, there)
    if because is None:
        raise ApprovalOpen(there.id)
    await end(work, there, ApprovalState.EXPIRED, because)


def _slot(command: ApprovalCreate) -> str:
    target = "" if command.target is None else f"={command.target}"
    return f"{command.subject_id}:{plain(command.alias)}{target}"


def _conditions(work: Work, wanted: ApprovalFilter) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = [
        column == value
        for column, value in (
            (ApprovalRequest.state, wanted.state),
            (ApprovalRequest.project_id, wanted.project_id),
            (ApprovalRequest.subject_id, wanted.subject_id),
            (ApprovalRequest.alias, wanted.alias),
        )
        if value is not None
    ]
    if wanted.open is not None:
        is_open = ApprovalRequest.state.in_(OPEN)
        found.append(is_open if wanted.open else ~is_open)
    if wanted.mine:
        found.append(ApprovalRequest.requested_by == work.access.actor_id)
    if wanted.awaiting_me:
        found += _awaiting(work)
    return found


def _awaiting(work: Work) -> list[ColumnElement[bool]]:
    """What the caller may vote on in person, and has not."""
    me, roles = work.access.actor_id, RULES[Permission.APPROVAL_DECIDE].roles
    able = [role for role in roles if work.access.role and work.access.role.rank >= role.rank]
    own = {id for id, held in work.access.project_roles.items() if held in roles}
    # A role in a team reaches up to a maintainer's: only a tenant has admins.
    in_team = among(ApprovalRequest.project_id, own)
    enough = or_(
        ApprovalRequest.role_needed.in_(able),
        (ApprovalRequest.role_needed == Role.MAINTAINER) & in_team,
    )
    voted = select(ApprovalVote.request_id).where(ApprovalVote.voter_id == me)
    took_part = select(ApprovalParty.request_id).where(ApprovalParty.user_id == me)
    return [
        ApprovalRequest.state == ApprovalState.IN_REVIEW,
        ApprovalRequest.expires_at > work.now,
        ApprovalRequest.id.not_in(voted),
        ApprovalRequest.id.not_in(took_part),
        enough if work.access.kind is ActorKind.USER else ApprovalRequest.id == _FIRST,
    ]
