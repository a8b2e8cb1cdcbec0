"""Projects, and who works in them."""

from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, Index, Numeric, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from maestro_ml.core.access import Role
from maestro_ml.db.base import ProjectOwned, Row, TenantOwned
from maestro_ml.projects.kinds import ProblemClass, ProjectStatus, Visibility

__all__ = ["ProblemClass", "Project", "ProjectMember", "ProjectStatus", "Visibility"]


class Project(TenantOwned, Row, kw_only=True):
    """One machine-learning undertaking, with a goal, a team and, in the end, an outcome."""

    __tablename__ = "projects"
    __table_args__ = (
        UniqueConstraint("tenant_id", "slug"),
        UniqueConstraint("tenant_id", "name"),
        CheckConstraint("complexity_score BETWEEN 1 AND 100", "complexity_range"),
    )

    name: Mapped[str]
    slug: Mapped[str]
    description: Mapped[str] = mapped_column(default="")
    problem_class: Mapped[ProblemClass | None] = mapped_column(default=None)
    complexity_score: Mapped[int | None] = mapped_column(default=None)
    goal_metric: Mapped[str | None] = mapped_column(default=None)
    goal_target: Mapped[float | None] = mapped_column(default=None)
    planned_start: Mapped[date | None] = mapped_column(default=None)
    planned_end: Mapped[date | None] = mapped_column(default=None)
    actual_start: Mapped[date | None] = mapped_column(default=None)
    actual_end: Mapped[date | None] = mapped_column(default=None)
    budget: Mapped[Decimal | None] = mapped_column(Numeric(16, 2), default=None)
    budget_currency: Mapped[str | None] = mapped_column(default=None)
    visibility: Mapped[Visibility] = mapped_column(default=Visibility.INTERNAL)
    status: Mapped[ProjectStatus] = mapped_column(default=ProjectStatus.PLANNED)
    archived_at: Mapped[datetime | None] = mapped_column(default=None)
    meta: Mapped[dict[str, Any]] = mapped_column(default_factory=dict)
    updated_at: Mapped[datetime]
    created_by: Mapped[UUID | None] = mapped_column(default=None)


class ProjectMember(ProjectOwned, Row, kw_only=True):
    """A user in a project's team; their role in it may be higher than in the tenant."""

    __tablename__ = "project_members"
    __table_args__ = (
        UniqueConstraint("tenant_id", "project_id", "user_id"),
        Index(None, "tenant_id", "user_id"),
        ForeignKeyConstraint(
            ["tenant_id", "user_id"],
            ["memberships.tenant_id", "memberships.user_id"],
            ondelete="CASCADE",
        ),
    )

    user_id: Mapped[UUID]
    role: Mapped[Role]
