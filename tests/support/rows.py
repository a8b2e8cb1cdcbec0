"""A job of ACME and a member of its project, both called `viewer`: what others must not find."""

from maestro_ml.core.access import Role
from maestro_ml.db.work import Sessions, open_work
from maestro_ml.jobs.models import Job
from maestro_ml.projects.models import ProjectMember
from support.world import ACME, LAB, USERS, caller


async def some_rows(sessions: Sessions) -> None:
    async with open_work(sessions, caller()) as work:
        job = Job(kind="viewer", payload={}, run_at=work.now, created_at=work.now)
        viewer = USERS[ACME, Role.VIEWER]
        member = ProjectMember(
            project_id=LAB, user_id=viewer, role=Role.VIEWER, created_at=work.now
        )
        work.session.add_all([job, member])
