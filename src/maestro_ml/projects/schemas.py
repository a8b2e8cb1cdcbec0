"""What a caller may say about a project and its team, and what they see of them."""

import json
import math
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import (
    MISSING,
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from maestro_ml.core.access import Role
from maestro_ml.core.schemas import Command, Name, Slug, Text, View
from maestro_ml.projects.currencies import CURRENCIES
from maestro_ml.projects.kinds import ProblemClass, ProjectStatus, Visibility
from maestro_ml.projects.slugs import sound_slug

METADATA_BYTES = 16_384
METADATA_DEPTH = 8
_LARGEST_INT = 2**63


def _no_truth(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("must be a number")  # noqa: TRY004 - pydantic takes no TypeError
    return value


def _known_currency(code: str) -> str:
    if code not in CURRENCIES:
        raise ValueError("must be a currency code of ISO 4217, such as EUR")
    return code


def _with_cents(amount: Decimal) -> Decimal:
    return amount.quantize(Decimal("0.01"))


def _sound_metadata(sent: object) -> object:
    """What both databases can hold and give back: bounded, finite, no NUL, no lone surrogate."""
    if not isinstance(sent, Mapping):
        raise ValueError("must be an object")  # noqa: TRY004
    level: list[object] = [sent]
    for _ in range(METADATA_DEPTH):
        level = [inner for outer in level for inner in _parts(outer)]
        if not level:
            break
    else:
        raise ValueError(f"must be nested at most {METADATA_DEPTH} levels deep")
    try:
        size = len(json.dumps(sent, ensure_ascii=False).encode())
    except UnicodeEncodeError:
        raise ValueError("must not contain a lone surrogate") from None
    if size > METADATA_BYTES:
        raise ValueError(f"must be at most {METADATA_BYTES} bytes of JSON, and is {size}")
    return sent


def _parts(value: object) -> list[object]:
    """What a value holds; a plain one is checked."""
    match value:
        case Mapping():
            return [*value, *value.values()]
        case list():
            return value
        case str() if "\x00" in value:
            raise ValueError("must not contain a NUL character")
        case float() if not math.isfinite(value):
            raise ValueError("must not contain NaN or an infinity")
        case int() if not -_LARGEST_INT <= value < _LARGEST_INT:
            raise ValueError("must not contain an integer of more than 64 bits")
    return []


ProjectSlug = Annotated[Slug, AfterValidator(sound_slug)]
Description = Annotated[Text, Field(max_length=10_000)]
Complexity = Annotated[
    int,
    BeforeValidator(_no_truth),
    Field(ge=1, le=100, description="How hard it looks, from 1 to 100."),
]
GoalMetric = Annotated[Name, Field(description="What success is measured by, such as `auc`.")]
GoalTarget = Annotated[float, BeforeValidator(_no_truth), Field(allow_inf_nan=False)]
# SQLite keeps decimals as doubles, which hold 15 digits exactly.
Budget = Annotated[
    Decimal, Field(ge=0, max_digits=15, decimal_places=2), AfterValidator(_with_cents)
]
Currency = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Z]{3}$"),
    AfterValidator(_known_currency),
    Field(description="ISO 4217, such as `EUR`."),
]
Metadata = Annotated[dict[str, Any], BeforeValidator(_sound_metadata)]
# A role in a team reaches up to a maintainer's; only a tenant has admins.
TeamRole = Literal[Role.VIEWER, Role.MEMBER, Role.MAINTAINER]


class ProjectCreate(Command):
    name: Name
    slug: ProjectSlug | None = Field(
        default=None, description="Its name in addresses and in MLflow; it never changes."
    )
    description: Description = ""
    problem_class: ProblemClass | None = None
    complexity_score: Complexity | None = None
    goal_metric: GoalMetric | None = None
    goal_target: GoalTarget | None = None
    planned_start: date | None = None
    planned_end: date | None = None
    actual_start: date | None = None
    actual_end: date | None = None
    budget: Budget | None = None
    budget_currency: Currency | None = None
    visibility: Visibility = Visibility.INTERNAL
    status: ProjectStatus = ProjectStatus.PLANNED
    metadata: Metadata = Field(default={})


class ProjectChange(Command):
    """What is left out stays as it is; null empties what may be empty."""

    name: Name | MISSING = MISSING
    description: Description | MISSING = MISSING
    problem_class: ProblemClass | MISSING | None = MISSING
    complexity_score: Complexity | MISSING | None = MISSING
    goal_metric: GoalMetric | MISSING | None = MISSING
    goal_target: GoalTarget | MISSING | None = MISSING
    planned_start: date | MISSING | None = MISSING
    planned_end: date | MISSING | None = MISSING
    actual_start: date | MISSING | None = MISSING
    actual_end: date | MISSING | None = MISSING
    budget: Budget | MISSING | None = MISSING
    budget_currency: Currency | MISSING | None = MISSING
    visibility: Visibility | MISSING = MISSING
    status: ProjectStatus | MISSING = MISSING
    metadata: Metadata | MISSING = MISSING


class ProjectFilter(BaseModel):
    """Which projects a list is of. What is left out does not matter."""

    model_config = ConfigDict(frozen=True)  # no `forbid`: an address holds the page as well

    q: Annotated[
        Text | None, Field(max_length=200, description="Found in the name, slug or description.")
    ] = None
    slug: Annotated[Text | None, Field(max_length=63)] = None
    status: ProjectStatus | None = None
    problem_class: ProblemClass | None = None
    visibility: Visibility | None = None
    archived: Annotated[
        bool | None, Field(description="Only archived ones, or only the others; both if left out.")
    ] = None
    member: Annotated[UUID | None, Field(description="A user in the project's team.")] = None


class ProjectOrder(StrEnum):
    """By what a list is sorted; `-` turns it round."""

    NAME = "name"
    NAME_DOWN = "-name"
    OLDEST = "created_at"
    NEWEST = "-created_at"
    LEAST_RECENT = "updated_at"
    MOST_RECENT = "-updated_at"


class ProjectView(View):
    id: UUID
    name: str
    slug: str
    description: str
    problem_class: ProblemClass | None
    complexity_score: int | None
    goal_metric: str | None
    goal_target: float | None
    planned_start: date | None
    planned_end: date | None
    actual_start: date | None
    actual_end: date | None
    budget: Decimal | None
    budget_currency: str | None
    visibility: Visibility
    status: ProjectStatus
    archived_at: datetime | None
    metadata: dict[str, Any] = Field(validation_alias="meta")
    created_at: datetime
    updated_at: datetime
    created_by: UUID | None


class MemberAdd(Command):
    """Somebody of the tenant, by id or by address."""

    user_id: UUID | None = None
    email: Annotated[Text, Field(max_length=320)] | None = None
    role: TeamRole

    @model_validator(mode="after")
    def _one_name(self) -> Self:
        if (self.user_id is None) == (self.email is None):
            raise ValueError("name the person by either user_id or email")
        return self


class MemberChange(Command):
    role: TeamRole


class MemberView(View):
    user_id: UUID
    name: str
    email: str
    role: Role
    created_at: datetime
