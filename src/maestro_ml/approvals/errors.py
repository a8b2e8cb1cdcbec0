"""What can go wrong with approvals and their policies."""

from collections.abc import Collection, Sequence
from uuid import UUID

from maestro_ml.core.errors import AlreadyExists, Conflict, Forbidden, Invalid, NotFound


class ApprovalNotFound(NotFound):
    """There is no such request for approval, or not for you."""

    code = "approval-not-found"

    def __init__(self) -> None:
        super().__init__("There is no such request for approval.")


class SubjectNotFound(NotFound):
    """What the approval is about is not there, or not for you."""

    code = "approval-subject-not-found"

    def __init__(self) -> None:
        super().__init__("What this is about does not exist.")


class EvidenceNotFound(NotFound):
    """The request has no such evidence."""

    code = "evidence-not-found"

    def __init__(self) -> None:
        super().__init__("There is no such evidence.")


class KindUnknown(Invalid):
    """Approvals are asked for things of a few kinds, and this is none of them."""

    code = "approval-kind-unknown"

    def __init__(self, kind: str, known: Collection[str]) -> None:
        kinds = ", ".join(sorted(known)) or "none on this server"
        super().__init__(
            f"Nothing of the kind {kind!r} is put up for approval. Known kinds: {kinds}.",
            known=sorted(known),
            faults=[{"at": ["body", "subject_kind"], "why": f"must be one of: {kinds}"}],
        )


class GateUnknown(Invalid):
    """A policy names an automatic gate that this server does not have."""

    code = "gate-unknown"

    def __init__(self, kind: str, known: Collection[str], at: Sequence[str | int]) -> None:
        kinds = ", ".join(sorted(known)) or "none on this server"
        super().__init__(
            f"There is no automatic gate {kind!r}. Known gates: {kinds}.",
            known=sorted(known),
            faults=[{"at": list(at), "why": f"must be one of: {kinds}"}],
        )


class PolicyTaken(Conflict):
    """Somebody else has written the policy at the same moment."""

    code = "approval-policy-taken"

    def __init__(self) -> None:
        super().__init__(
            "Somebody has written a new version of this policy meanwhile. Read it, and write "
            "yours again if it is still what you want."
        )


class PolicyKept(Conflict):
    """What has a policy of its own would be gone, and the policy with it: under the same name,
    another one would be free of it."""

    code = "approval-policy-kept"

    def __init__(self, what: str) -> None:
        super().__init__(
            f"{what} would leave behind the policy that it has of its own. An admin does it, or "
            "ends that policy first."
        )


class ApprovalUnneeded(Conflict):
    """The alias is not protected, so nobody has to be asked."""

    code = "approval-unneeded"

    def __init__(self, alias: str) -> None:
        super().__init__(
            f"The alias {alias!r} is not protected here: move it, there is nobody to ask.",
            alias=alias,
        )


class ApprovalOpen(AlreadyExists):
    """The same thing is asked for already."""

    code = "approval-open"

    def __init__(self, id: UUID | None = None) -> None:
        named = {} if id is None else {"approval_id": str(id)}
        super().__init__("The same is asked for already, and not decided yet.", **named)


class ApprovalEnded(Conflict):
    """The request is decided, withdrawn or expired: nothing about it changes any more."""

    code = "approval-ended"

    def __init__(self, state: str) -> None:
        super().__init__(
            f"This request is {state} already. What is still wanted is asked for anew.",
            state=state,
        )


class ApprovalExpired(Conflict):
    """The request has expired: its time ran out, or what it rests on has changed."""

    code = "approval-expired"

    def __init__(self, because: str) -> None:
        super().__init__(f"{because} So this request has expired: ask for approval anew.")


class EvidenceMissing(Conflict):
    """Nobody approves before all automatic gates have passed."""

    code = "evidence-missing"

    def __init__(self, missing: Sequence[str]) -> None:
        super().__init__(
            "Not all automatic gates have passed, so nothing can be approved yet. "
            + " ".join(missing),
            missing=list(missing),
        )


class EvidenceSettled(Conflict):
    """A gate is run again when it has failed or broke, and not before."""

    code = "evidence-settled"

    def __init__(self, state: str) -> None:
        super().__init__(
            f"This evidence is {state}, or has been followed by another: only the newest run of a "
            "gate is repeated, once it has failed or broken.",
            state=state,
        )


class OwnApproval(Forbidden):
    """Four eyes: who asked for something or made it does not vote on it."""

    code = "approval-own"

    def __init__(self, part: str) -> None:
        why = {
            "requester": "You have asked for this yourself",
            "author": "You have made what this is about",
            "behind": "A service account asked for this or made it, which you have made or given "
            "a key",
        }[part]
        super().__init__(f"{why}: somebody else has to decide.", part=part)


class OverrideOff(Conflict):
    """The policy in force knows no emergency override."""

    code = "approval-override-off"

    def __init__(self) -> None:
        super().__init__(
            "The policy in force allows no override. An admin can change the policy, which is "
            "written down as well."
        )


class ApprovalNeeded(Conflict):
    """The alias is protected: it moves when a request for approval is granted, and not else."""

    code = "approval-needed"

    def __init__(
        self, what: str, alias: str, missing: Sequence[str], *, approval_id: UUID | None
    ) -> None:
        if approval_id is None:
            way = "Ask for it: POST /api/v1/approvals, or `maestro approvals request`."
        else:
            way = (
                f"It is asked for: `maestro approvals show {approval_id}`, or "
                f"GET /api/v1/approvals/{approval_id}."
            )
        super().__init__(
            f"{what}: the alias {alias!r} is protected, so this needs an approval. "
            f"{' '.join(missing)} {way}",
            alias=alias,
            missing=list(missing),
            ask="/api/v1/approvals",
            **({} if approval_id is None else {"approval_id": str(approval_id)}),
        )


class SubjectHalfNamed(Invalid):
    """A subject is named by its kind and its id together."""

    code = "approval-subject-half-named"

    def __init__(self, missing: str) -> None:
        super().__init__(
            f"Name the subject by its kind and its id: {missing} is missing.",
            faults=[{"at": ["query", missing], "why": "is missing"}],
        )
