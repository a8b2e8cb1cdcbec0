"""Asking for approval, deciding about it, and the policies behind that."""

from collections.abc import Iterator, Mapping
from typing import Any
from uuid import UUID

from maestro_ml.client.paging import pages
from maestro_ml.client.transport import Transport, segment
from maestro_ml.client.views_approvals import (
    Approval,
    ApprovalDetail,
    ApprovalPolicy,
    PolicyTrial,
)

MODEL_ALIAS = "model-alias"


class Approvals:
    """Voting takes an access token: the server lets no API key vote, whoever's it is."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(
        self,
        *,
        state: str | None = None,
        open: bool | None = None,
        mine: bool = False,
        awaiting_me: bool = False,
        subject_id: UUID | str | None = None,
        alias: str | None = None,
    ) -> Iterator[Approval]:
        """What is and was asked for, the newest first; `awaiting_me` is the caller's inbox."""
        asked = {
            "state": state,
            "open": open,
            "mine": mine or None,
            "awaiting_me": awaiting_me or None,
            "subject_id": None if subject_id is None else str(subject_id),
            "alias": alias,
        }
        return pages(self._transport, "/approvals", Approval, params=asked)

    def get(self, id: UUID | str) -> ApprovalDetail:
        """Read one, with its evidence, its votes and what is missing."""
        return self._read(self._transport.ask("GET", _path(id)))

    def request(
        self,
        subject_id: UUID | str,
        alias: str,
        target: str | None,
        *,
        reason: str = "",
        subject_kind: str = MODEL_ALIAS,
    ) -> ApprovalDetail:
        """Ask that an alias may move to a target; without one, that it may be taken away."""
        body = {
            "subject_kind": subject_kind,
            "subject_id": str(subject_id),
            "alias": alias,
            "target": target,
            "reason": reason,
        }
        return self._read(self._transport.ask("POST", "/approvals", json=body))

    def approve(self, id: UUID | str, *, comment: str = "") -> ApprovalDetail:
        """Vote for it. With the last vote that it takes, the alias has moved."""
        return self._vote(id, "approve", comment)

    def reject(self, id: UUID | str, *, reason: str) -> ApprovalDetail:
        """Vote against it, which ends it."""
        return self._vote(id, "reject", reason)

    def withdraw(self, id: UUID | str) -> ApprovalDetail:
        """Take a request back."""
        return self._read(self._transport.ask("POST", f"{_path(id)}/withdrawal"))

    def override(self, id: UUID | str, *, reason: str) -> ApprovalDetail:
        """In an emergency, as an admin: let it happen without what is missing."""
        return self._read(
            self._transport.ask("POST", f"{_path(id)}/override", json={"reason": reason})
        )

    def retry(self, id: UUID | str, evidence_id: UUID | str) -> ApprovalDetail:
        """Run an automatic gate again that has failed or broken."""
        path = f"{_path(id)}/evidence/{segment(evidence_id)}/retry"
        return self._read(self._transport.ask("POST", path))

    def _vote(self, id: UUID | str, verdict: str, comment: str) -> ApprovalDetail:
        body = {"verdict": verdict, "comment": comment}
        return self._read(self._transport.ask("POST", f"{_path(id)}/votes", json=body))

    @staticmethod
    def _read(answer: Any) -> ApprovalDetail:
        return ApprovalDetail.model_validate(answer)


class ApprovalPolicies:
    """A policy is of the tenant, or of one subject if that is named."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def current(
        self, subject_id: UUID | str | None = None, *, subject_kind: str = MODEL_ALIAS
    ) -> ApprovalPolicy:
        """The one in force."""
        asked = _named(subject_id, subject_kind)
        answer = self._transport.ask("GET", "/approval-policies/current", params=asked)
        return ApprovalPolicy.model_validate(answer)

    def history(
        self, subject_id: UUID | str | None = None, *, subject_kind: str = MODEL_ALIAS
    ) -> Iterator[ApprovalPolicy]:
        """Every version there was, the newest first."""
        asked = _named(subject_id, subject_kind)
        return pages(self._transport, "/approval-policies", ApprovalPolicy, params=asked)

    def write(
        self,
        policy: Mapping[str, Any] | None,
        *,
        reason: str = "",
        subject_id: UUID | str | None = None,
        subject_kind: str = MODEL_ALIAS,
    ) -> ApprovalPolicy:
        """Put a new version in force; None lets what is above it count again. For admins, with an
        access token."""
        body = _body(policy, subject_id, subject_kind) | {"reason": reason}
        answer = self._transport.ask("POST", "/approval-policies", json=body)
        return ApprovalPolicy.model_validate(answer)

    def dry_run(
        self,
        policy: Mapping[str, Any],
        *,
        subject_id: UUID | str | None = None,
        subject_kind: str = MODEL_ALIAS,
    ) -> PolicyTrial:
        """What would it have stopped?"""
        body = _body(policy, subject_id, subject_kind)
        answer = self._transport.ask("POST", "/approval-policies/dry-run", json=body)
        return PolicyTrial.model_validate(answer)


def _path(id: UUID | str) -> str:
    return f"/approvals/{segment(id)}"


def _named(subject_id: UUID | str | None, kind: str) -> dict[str, Any]:
    return {} if subject_id is None else {"subject_kind": kind, "subject_id": str(subject_id)}


def _body(
    policy: Mapping[str, Any] | None, subject_id: UUID | str | None, kind: str
) -> dict[str, Any]:
    body: dict[str, Any] = {"policy": policy if policy is None else dict(policy)}
    if subject_id is not None:
        body["subject"] = {"kind": kind, "id": str(subject_id)}
    return body
