"""Tenants with people and projects, written straight into a migrated database."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from maestro_ml.core.access import Role, Scope
from maestro_ml.core.clock import utc_now
from maestro_ml.core.ids import new_id
from maestro_ml.db.engine import make_engines
from maestro_ml.db.tenants import SYSTEM
from maestro_ml.db.work import Sessions
from maestro_ml.identity import tokens
from maestro_ml.identity.models import ApiKey, Membership, User
from maestro_ml.projects.models import ProblemClass, Project, ProjectMember, Visibility
from maestro_ml.tenancy.models import Tenant

PEOPLE = 25  # in each tenant; they take turns as a project's maintainer
PRIVATE = 10  # one project in so many


@dataclass(frozen=True, slots=True)
class Seeded:
    """One person's API key for each tenant."""

    keys: list[str]
    tenants: list[UUID]


async def seed(
    url: str, *, tenants: int, projects: int, first: int = 0, people: int = PEOPLE
) -> Seeded:
    """`projects` is the number in all, `first` that of the first tenant."""
    engines = make_engines(url)
    sessions = Sessions(engines)
    keys: list[str] = []
    ids: list[UUID] = []
    for n in range(first, first + tenants):
        tenant, users = new_id(), [new_id() for _ in range(people)]
        key = tokens.mint(tokens.API_KEY)
        async with sessions.begin(SYSTEM) as session:
            session.add_all(_accounts(n, tenant, users, projects // tenants))
            await session.flush()
            session.add(_api_key(tenant, users[0], key))
        async with sessions.begin(tenant) as session:
            session.add_all(
                Membership(user_id=one, role=Role.MEMBER, created_at=utc_now()) for one in users
            )
            await session.flush()
            rows = [_project(n, i) for i in range(projects // tenants)]
            session.add_all(rows)
            await session.flush()
            session.add_all(
                ProjectMember(
                    project_id=row.id,
                    user_id=users[i % people],
                    role=Role.MAINTAINER,
                    created_at=row.created_at,
                )
                for i, row in enumerate(rows)
            )
        keys.append(key)
        ids.append(tenant)
    await engines.dispose()
    return Seeded(keys, ids)


def _accounts(n: int, tenant: UUID, people: list[UUID], projects: int) -> Iterator[Tenant | User]:
    now = utc_now()
    yield Tenant(
        id=tenant,
        name=f"Tenant {n}",
        slug=f"tenant-{n}",
        created_at=now,
        max_projects=projects,
        n_users=len(people),
        n_projects=projects,
    )
    for i, id in enumerate(people):
        email = f"person{i}@tenant{n}.test"
        yield User(
            id=id,
            email=email,
            email_norm=email,
            name=f"Person {i}",
            verified=True,
            created_at=now,
            updated_at=now,
        )


def _api_key(tenant: UUID, user: UUID, key: str) -> ApiKey:
    now = utc_now()
    return ApiKey(
        user_id=user,
        tenant_id=tenant,
        name="benchmark",
        hash=tokens.digest(key),
        prefix=key[:8],
        last_four=key[-4:],
        scopes=[str(scope) for scope in (Scope.READ, Scope.WRITE)],
        created_at=now,
        expires_at=now + timedelta(days=1),
    )


def _project(n: int, i: int) -> Project:
    now = utc_now()
    return Project(
        name=f"Project {i} of tenant {n}",
        slug=f"project-{i}",
        description=f"What the customers of region {i} will do next, and why. " * 3,
        problem_class=list(ProblemClass)[i % len(ProblemClass)],
        complexity_score=i % 100 + 1,
        goal_metric="auc",
        goal_target=0.9,
        visibility=Visibility.PRIVATE if i % PRIVATE == 0 else Visibility.INTERNAL,
        meta={"cost centre": i, "tags": ["benchmark", "seeded"]},
        created_at=now,
        updated_at=now,
    )
