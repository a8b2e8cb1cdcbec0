"""Decisions without a database: what is still missing, and what a policy would have stopped."""

from collections.abc import Collection, Iterable, Sequence
from datetime import timedelta
from uuid import UUID

from maestro_ml.approvals.models import (
    ApprovalEvidence,
    ApprovalRequest,
    ApprovalState,
    ApprovalVote,
    EvidenceState,
    Verdict,
)
from maestro_ml.approvals.schemas_policies import PolicyContent
from maestro_ml.core.access import Role


def newest(evidence: Iterable[ApprovalEvidence]) -> list[ApprovalEvidence]:
    """Of each gate the run that counts, in the policy's order."""
    last: dict[int, ApprovalEvidence] = {}
    for one in sorted(evidence, key=lambda row: (row.position, row.attempt)):
        last[one.position] = one
    return list(last.values())


def unpassed(evidence: Iterable[ApprovalEvidence]) -> list[str]:
    """A sentence for each gate that has not passed."""
    return [_about(one) for one in newest(evidence) if one.state is not EvidenceState.PASSED]


def _about(one: ApprovalEvidence) -> str:
    match one.state:
        case EvidenceState.WAITING | EvidenceState.RUNNING:
            return f"The gate {one.kind} is {one.state}."
        case EvidenceState.FAILED:
            return f"The gate {one.kind} failed: {one.summary}"
        case _:
            return f"The gate {one.kind} broke and has to be run again: {one.summary}"


def unvoted(request: ApprovalRequest, approvals: int) -> list[str]:
    """A sentence, if there are too few approvals."""
    more = request.votes_needed - approvals
    return [votes_wanted(more, request.role_needed)] if more > 0 else []


def votes_wanted(more: int, role: Role) -> str:
    """The same for people who have not asked yet."""
    who = f"{_an(role)} {role}"
    if more == 1:
        return f"It takes an approval by {who} who neither asked for it nor made it."
    return f"It takes {more} approvals, each by {who} who neither asked for it nor made it."


def _an(word: str) -> str:
    return "an" if word[0] in "aeiou" else "a"


def stopped_by(
    policy: PolicyContent,
    request: ApprovalRequest,
    evidence: Sequence[ApprovalEvidence],
    votes: Sequence[ApprovalVote],
    parties: Collection[UUID],
) -> list[str]:
    """Why a request that went through would not have, a sentence each."""
    if request.state is ApprovalState.OVERRIDDEN:
        return [] if policy.override else ["It was overridden, which would not be allowed."]
    reasons = [
        f"The gate {gate.kind} would have had to pass, and did not run as this policy wants it."
        for gate in policy.gates
        if not any(
            one.kind == gate.kind
            and one.parameters == gate.parameters
            and one.state is EvidenceState.PASSED
            for one in newest(evidence)
        )
    ]
    counted = sum(
        vote.verdict is Verdict.APPROVE
        and vote.role.rank >= Role(policy.people.role).rank
        and vote.voter_id not in parties
        for vote in votes
    )
    if counted < policy.people.votes:
        reasons.append(
            f"It had {counted} of {policy.people.votes} approvals by "
            f"{_an(policy.people.role)} {policy.people.role} or above."
        )
    if request.ended_at is not None:
        took = request.ended_at - request.created_at
        if took > timedelta(hours=policy.expires_after_hours):
            hours = int(took.total_seconds() // 3600)
            reasons.append(
                f"It was decided after {hours} hours, and would have expired after "
                f"{policy.expires_after_hours}."
            )
    return reasons
