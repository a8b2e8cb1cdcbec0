"""Every event that can be heard outside, and what is said of it. Nothing else leaves the house.

Whoever publishes an event may know more of it: only what stands here goes into a payload.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum
from types import MappingProxyType
from typing import Any


@dataclass(frozen=True, slots=True)
class Event:
    """`fields`: what its payload's `data` holds, and what each means."""

    name: str
    about: str
    fields: Mapping[str, str]
    mlflow: bool = False  # MLflow's clients know it, under the same name with `_` for `-`

    def data_of(self, facts: Mapping[str, Any]) -> dict[str, Any]:
        """What of the facts may be told; what is not known is null."""
        return {name: _plain(name, facts.get(name)) for name in self.fields}

    def example(self) -> dict[str, Any]:
        """What a test delivery says: of a model and a prompt what MLflow's own server says."""
        kind = self.name.partition("-")[0].partition(".")[0]
        known = {**_EXAMPLES, "name": "example_prompt" if kind == "prompt" else "example_model"}
        return {name: known.get(name, f"example_{name}") for name in self.fields}

    @property
    def filters(self) -> list[str]:
        """The fields that a filter may name: what is one word or number."""
        return [name for name in self.fields if name not in _MANY]


_MANY = frozenset({"fields", "tags"})
_EXAMPLES: Mapping[str, Any] = {
    "tags": {"example_key": "example_value"},
    "fields": ["description"],
    "description": "An example description",
    "version": "1",
    "source": "models:/123",
    "run_id": "abcd1234abcd5678",
    "template": "Hello {{name}}!",
    "status": "FINISHED",
    "state": "done",
    "error": None,
    "limit": "max_projects",
    "allowed": 200,
    "used": 180,
    "number": 1,
    "percent": 90,
}
_NAMED_PROJECT = {"name": "Its name.", "slug": "Its name in addresses and in MLflow."}
_MODEL = {"name": "The registered model's name."}
_VERSION = _MODEL | {"version": "The version's number, as text."}
_PROMPT = {"name": "The prompt's name."}
_PROMPT_VERSION = _PROMPT | {"version": "The version's number, as text."}
_TAG = {"key": "The tag's key."}
_TAG_SET = _TAG | {"value": "Its value."}
_ALIAS = {"alias": "The alias."}
_DESCRIBED = {"tags": "Its tags, by key.", "description": "What its author says of it."}
_APPROVAL = {
    "approval_id": "The request's id.",
    "name": "What it is about, as people call it.",
    "alias": "The alias that is to move.",
    "target": "Where to. Null: the alias is to be taken away.",
    "subject_kind": "What has the alias, such as a registered model.",
    "subject_id": "Its id.",
    "requested_by": "Who asked.",
    "reason": "What they gave as their reason.",
    "because": "Why it ended, if it did.",
}
IS_PROMPT = "mlflow.prompt.is_prompt"  # the tag by which MLflow's clients tell them from models
_TEMPLATE = "mlflow.prompt.text"
_INTERNAL = frozenset({IS_PROMPT, _TEMPLATE, "_mlflow_prompt_type"})
# What is told of a prompt in the place of what is told of a model.
PROMPTS: Mapping[str, str] = {
    "registered-model.created": "prompt.created",
    "registered-model-tag.set": "prompt-tag.set",
    "registered-model-tag.deleted": "prompt-tag.deleted",
    "model-version.created": "prompt-version.created",
    "model-version-tag.set": "prompt-version-tag.set",
    "model-version-tag.deleted": "prompt-version-tag.deleted",
    "model-version-alias.created": "prompt-alias.created",
    "model-version-alias.deleted": "prompt-alias.deleted",
}
_SESSION = {"session_id": "The session's id.", "user_id": "Whose it is."}
_KEY = {"key_id": "The key's id.", "name": "Its name.", "owner_id": "Whose it is."}

_ALL = (
    Event("project.created", "A project was begun.", _NAMED_PROJECT),
    Event(
        "project.changed",
        "Something about a project was changed.",
        _NAMED_PROJECT | {"fields": "The names of the fields that were changed."},
    ),
    Event("project.archived", "A project was put away.", _NAMED_PROJECT),
    Event("project.restored", "An archived project was taken up again.", _NAMED_PROJECT),
    Event(
        "project.deleted",
        "A project was destroyed. Only a tenant's webhook hears it: the project's went with it.",
        _NAMED_PROJECT,
    ),
    Event(
        "experiment.created",
        "An experiment was made.",
        {"experiment_id": "The experiment's id.", "name": "Its name."},
    ),
    Event(
        "run.finished",
        "A run has ended, whichever way.",
        {
            "experiment_id": "Its experiment.",
            "run_id": "The run's id.",
            "name": "Its name.",
            "status": "`FINISHED`, `FAILED` or `KILLED`.",
        },
    ),
    Event(
        "job.finished",
        "Background work has ended, whichever way.",
        {
            "job_id": "The job's id.",
            "kind": "What kind of work it is.",
            "state": "`done`, `failed` (no attempt is left) or `cancelled`.",
            "error": "Why its last attempt failed.",
        },
    ),
    Event(
        "quota.reached",
        "A limit of the tenant was just filled, or nine tenths of it.",
        {
            "limit": "`max_users`, `max_projects` or `max_storage_bytes`.",
            "allowed": "The limit.",
            "used": "How much of it is used.",
            "percent": "90 or 100.",
        },
    ),
    Event(
        "session.started",
        "Somebody signed in.",
        _SESSION | {"kind": "`api` or `web`."},
    ),
    Event(
        "session.stolen",
        "A refresh token was used twice, so somebody else may have it; the session was ended.",
        _SESSION,
    ),
    Event(
        "sign-in.blocked",
        "A hundred wrong passwords in a row: this account's password is switched off.",
        {"user_id": "Whose account it is."},
    ),
    Event("api-key.created", "An API key was made.", _KEY),
    Event("api-key.revoked", "An API key was ended.", _KEY),
    Event("registered-model.created", "A model was registered.", _MODEL | _DESCRIBED, mlflow=True),
    Event(
        "registered-model.deleted",
        "A registered model, or a prompt, was deleted with its versions.",
        _MODEL,
    ),
    Event("registered-model-tag.set", "A registered model's tag was set.", _MODEL | _TAG_SET),
    Event("registered-model-tag.deleted", "A registered model's tag was deleted.", _MODEL | _TAG),
    Event(
        "model-version.deleted",
        "A version of a registered model, or of a prompt, was deleted.",
        _VERSION,
    ),
    Event(
        "model-version.created",
        "A version of a registered model was made.",
        _VERSION
        | {"source": "Where its files came from.", "run_id": "The run that made it."}
        | _DESCRIBED,
        mlflow=True,
    ),
    Event(
        "model-version-tag.set",
        "A model version's tag was set.",
        _VERSION | _TAG_SET,
        mlflow=True,
    ),
    Event(
        "model-version-tag.deleted",
        "A model version's tag was deleted.",
        _VERSION | _TAG,
        mlflow=True,
    ),
    Event(
        "model-version-alias.created",
        "An alias was set, or moved to another version.",
        _MODEL | _ALIAS | {"version": "The version's number, as text."},
        mlflow=True,
    ),
    Event(
        "model-version-alias.deleted",
        "An alias was taken from its version.",
        _MODEL | _ALIAS,
        mlflow=True,
    ),
    Event("prompt.created", "A prompt was registered.", _PROMPT | _DESCRIBED, mlflow=True),
    Event(
        "prompt-version.created",
        "A version of a prompt was made.",
        _PROMPT_VERSION | {"template": "The prompt's text."} | _DESCRIBED,
        mlflow=True,
    ),
    Event("prompt-tag.set", "A prompt's tag was set.", _PROMPT | _TAG_SET, mlflow=True),
    Event("prompt-tag.deleted", "A prompt's tag was deleted.", _PROMPT | _TAG, mlflow=True),
    Event(
        "prompt-version-tag.set",
        "A prompt version's tag was set.",
        _PROMPT_VERSION | _TAG_SET,
        mlflow=True,
    ),
    Event(
        "prompt-version-tag.deleted",
        "A prompt version's tag was deleted.",
        _PROMPT_VERSION | _TAG,
        mlflow=True,
    ),
    Event(
        "prompt-alias.created",
        "A prompt's alias was set, or moved to another version.",
        _PROMPT | _ALIAS | {"version": "The version's number, as text."},
        mlflow=True,
    ),
    Event(
        "prompt-alias.deleted",
        "A prompt's alias was taken from its version.",
        _PROMPT | _ALIAS,
        mlflow=True,
    ),
    Event(
        "approval-policy.written",
        "A policy of what approvals need was written anew, or given up.",
        {
            "policy_id": "The policy's id.",
            "chain": "Of what it is: the tenant, or one subject.",
            "number": "Its number among those before it.",
            "reason": "Why, as its author says.",
        },
    ),
    *(
        Event(f"approval.{what}", about, _APPROVAL)
        for what, about in (
            ("requested", "Somebody asked for an alias to be moved."),
            ("in_review", "Its automatic gates passed: people may vote."),
            ("granted", "The request was granted, and the alias has moved."),
            ("rejected", "The request was rejected."),
            ("withdrawn", "Who asked has taken the request back."),
            (
                "expired",
                "The request expired: its files or its policy changed, or its time was up.",
            ),
            ("overridden", "An admin moved the alias past the policy."),
        )
    ),
)
EVENTS: Mapping[str, Event] = MappingProxyType({event.name: event for event in _ALL})


def nearest(name: str, known: Mapping[str, object] | list[str]) -> str | None:
    """The known name that a mistyped one may have been meant as."""
    found = get_close_matches(name, known, n=1, cutoff=0.5)
    return found[0] if found else None


def as_prompts(event: str, facts: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """The same of a prompt: MLflow keeps it as a registered model, with its text in a tag."""
    tags = dict(facts.get("tags") or {})
    template = tags.get(_TEMPLATE)
    shown = {key: value for key, value in tags.items() if key not in _INTERNAL}
    return PROMPTS[event], {**facts, "tags": shown, "template": template}


def _plain(name: str, value: Any) -> Any:
    if name == "version" and value is not None:
        return str(value)  # as MLflow's receivers know it
    return str(value) if isinstance(value, StrEnum) else value
