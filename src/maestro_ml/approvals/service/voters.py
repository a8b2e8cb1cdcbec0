"""Who may decide about a request, and whose votes count: as things stand now."""

from collections.abc import Collection, Mapping
from uuid import UUID

from sqlalchemy import Select, or_, select

from maestro_ml.approvals.models import (
    ApprovalParty,
    ApprovalRequest,
    ApprovalVote,
    Part,
    Verdict,
)
from maestro_ml.core.access import RULES, Permission, Role
from maestro_ml.db.work import Work
from maestro_ml.identity.models import Membership, User, UserKind
from maestro_ml.identity.service.makers import people_behind
from maestro_ml.projects.models import Project, ProjectMember, Visibility
from maestro_ml.projects.service import hold

_DECIDE = RULES[Permission.APPROVAL_DECIDE].roles


async def hold_deciders(work: Work, request: ApprovalRequest) -> dict[UUID, Role]:
    """As `deciders`. Nobody lowers one of them, nor changes the project or its team, until this
    work ends: whoever counts votes counts them as they stand then."""
    work.require(Permission.APPROVAL_READ, request.project_id)
    places = _places(work, request.project_id).with_for_update(read=True)
    roles = dict(list(await work.session.execute(places)))
    await hold(work, request.project_id)
    return await _among(work, request.project_id, roles)


async def deciders(work: Work, request: ApprovalRequest) -> dict[UUID, Role]:
    """The people who may decide about a request of this project, and as what."""
    work.require(Permission.APPROVAL_READ, request.project_id)
    places = await work.session.execute(_places(work, request.project_id))
    return await _among(work, request.project_id, dict(list(places)))


async def parties_to(work: Work, request_id: UUID) -> dict[UUID, Part]:
    """Who does not vote on it, and why."""
    work.require(Permission.APPROVAL_READ)
    query = select(ApprovalParty.user_id, ApprovalParty.part).where(
        ApprovalParty.request_id == request_id
    )
    return dict(list(await work.session.execute(query)))


async def parts(work: Work, requester: UUID, authors: Collection[UUID]) -> dict[UUID, Part]:
    """Who has a part in something that is asked for: the weightiest of each."""
    work.require(Permission.APPROVAL_READ)
    found = dict.fromkeys(await people_behind(work, {requester, *authors}), Part.BEHIND)
    found |= dict.fromkeys(authors, Part.AUTHOR)
    return found | {requester: Part.REQUESTER}


def counts(
    vote: ApprovalVote,
    request: ApprovalRequest,
    deciders: Mapping[UUID, Role],
    parties: Collection[UUID],
) -> bool:
    """Whether who cast it may still decide, as what the policy asks for."""
    role = deciders.get(vote.voter_id)
    return (
        role is not None and role.rank >= request.role_needed.rank and vote.voter_id not in parties
    )


def approvals(
    votes: Collection[ApprovalVote],
    request: ApprovalRequest,
    deciders: Mapping[UUID, Role],
    parties: Collection[UUID],
) -> int:
    """How many approvals count."""
    return sum(
        vote.verdict is Verdict.APPROVE and counts(vote, request, deciders, parties)
        for vote in votes
    )


def _places(work: Work, project_id: UUID) -> Select[UUID, Role]:
    """Places in the tenant that may suffice, the caller's among them, in the order in which
    everybody takes them (decision 0008)."""
    team = select(ProjectMember.user_id).where(
        ProjectMember.project_id == project_id, ProjectMember.role.in_(_DECIDE)
    )
    return (
        select(Membership.user_id, Membership.role)
        .where(
            Membership.active,
            or_(
                Membership.role.in_(_DECIDE),
                Membership.user_id.in_(team),
                Membership.user_id == work.access.actor_id,
            ),
        )
        .order_by(Membership.id)
    )


async def _among(work: Work, project_id: UUID, places: Mapping[UUID, Role]) -> dict[UUID, Role]:
    query = select(ProjectMember.user_id, ProjectMember.role).where(
        ProjectMember.project_id == project_id
    )
    team = dict(list(await work.session.execute(query)))
    shown = select(Project.visibility).where(Project.id == project_id)
    private = await work.session.scalar(shown) is Visibility.PRIVATE
    people = select(User.id).where(
        User.id.in_(set(places)), User.active, User.kind == UserKind.PERSON
    )
    found: dict[UUID, Role] = {}
    for id in await work.session.scalars(people):
        role = max(places[id], team.get(id, places[id]), key=lambda one: one.rank)
        if role in _DECIDE and (id in team or not private):
            found[id] = role
    return found
