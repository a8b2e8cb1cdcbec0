"""`/api/v1/approval-policies`."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query

from maestro_ml.approvals.errors import SubjectHalfNamed
from maestro_ml.approvals.models import ApprovalPolicy
from maestro_ml.approvals.routes import TheKinds
from maestro_ml.approvals.schemas_policies import (
    ApprovalPolicyView,
    PolicyTry,
    PolicyWrite,
    SubjectNamed,
    TrialView,
    Word,
)
from maestro_ml.approvals.service import policies
from maestro_ml.approvals.service.policies import InForce
from maestro_ml.core.paging import Page
from maestro_ml.core.schemas import PageView
from maestro_ml.http.deps import Paging, Reading, Writing

router = APIRouter(prefix="/approval-policies", tags=["approvals"])


async def _named(
    subject_kind: Annotated[Word | None, Query(description="With `subject_id`.")] = None,
    subject_id: Annotated[UUID | None, Query(description="None: of your tenant.")] = None,
) -> SubjectNamed | None:
    if (subject_kind is None) != (subject_id is None):
        raise SubjectHalfNamed("subject_kind" if subject_kind is None else "subject_id")
    if subject_kind is None or subject_id is None:
        return None
    return SubjectNamed(kind=subject_kind, id=subject_id)


Named = Annotated[SubjectNamed | None, Depends(_named)]


@router.get("/current", response_model=ApprovalPolicyView)
async def read_approval_policy(work: Reading, kinds: TheKinds, named: Named) -> InForce:
    """The policy in force, for your tenant or for one subject. Without any of your own it is the
    built-in one, which has the number 0."""
    return await policies.current(work, kinds, named)


@router.get("", response_model=PageView[ApprovalPolicyView])
async def list_approval_policies(
    work: Reading, kinds: TheKinds, paging: Paging, named: Named
) -> Page[ApprovalPolicy]:
    """Every version there was of your tenant's policy, or of one subject's, the newest first."""
    return await policies.history(work, kinds, named, paging)


@router.post("", status_code=201, response_model=ApprovalPolicyView)
async def write_approval_policy(
    work: Writing, kinds: TheKinds, body: PolicyWrite
) -> ApprovalPolicy:
    """Put a new version in force, of your tenant's policy or of one subject's. What is asked for
    under the version before expires. For admins, in a session."""
    return await policies.write(work, kinds, body)


@router.post("/dry-run", response_model=TrialView)
async def try_approval_policy(work: Reading, kinds: TheKinds, body: PolicyTry) -> TrialView:
    """Hold a policy against what went through before: what would it have stopped, and why?"""
    return await policies.dry_run(work, kinds, body)
