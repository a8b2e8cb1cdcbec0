"""Mail as a row: there if and only if its cause is, delivered by a job, gone when it has left."""

from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import select, update

from maestro_ml.core.clock import utc_now
from maestro_ml.core.settings import Settings
from maestro_ml.core.settings_groups import Mail as MailSettings
from maestro_ml.db.guard import TenantViolation
from maestro_ml.db.tenants import SYSTEM
from maestro_ml.db.work import Sessions, SystemWork, Work, open_system_work, open_work
from maestro_ml.identity.secret import Secret, load_secret
from maestro_ml.jobs.models import Job, JobState
from maestro_ml.jobs.worker import Worker
from maestro_ml.mail import handlers, service
from maestro_ml.mail.models import Mail, MailState
from maestro_ml.mail.post import LINK, SEALED_AS, Post
from support import caller
from support.mail import Inbox, a_mail_server, mails
from support.signin import MovingClock


class Undone(Exception):
    """What the mail would have told of did not happen."""


@pytest.fixture
def box(tmp_path: Path) -> Secret:
    return load_secret(Settings(data=tmp_path))


@pytest.fixture
def inbox(tmp_path: Path) -> Iterator[Inbox]:
    with a_mail_server(tmp_path) as inbox:
        yield inbox


async def send(work: SystemWork | Work, box: Secret, to: str = "ada@lab.test") -> None:
    sealed = box.seal(b"https://maestro.test/page#mll_token", SEALED_AS)
    await service.send(
        work, to=to, subject="Hello", text=f"Words.\n{LINK}\n", kind="a.kind", link=sealed
    )


def a_worker(sessions: Sessions, post: Post, clock: MovingClock) -> Worker:
    return Worker(sessions, {"mail.deliver": partial(handlers.deliver, post=post)}, clock=clock)


async def work_off(worker: Worker) -> int:
    done = 0
    while await worker.run_one():
        done += 1
    return done


async def test_a_mail_exists_if_and_only_if_its_cause_does(sessions: Sessions, box: Secret) -> None:
    with pytest.raises(Undone):
        async with open_system_work(sessions) as work:
            await send(work, box)
            raise Undone
    assert await mails(sessions) == []
    async with open_system_work(sessions) as work:
        await send(work, box)
    assert [mail.state for mail in await mails(sessions)] == [MailState.WAITING]


async def test_a_tenants_session_posts_mail_and_sees_none(sessions: Sessions, box: Secret) -> None:
    async with open_work(sessions, caller()) as work:
        await send(work, box)
    assert len(await mails(sessions)) == 1
    for forbidden in (select(Mail), update(Mail).values(recipient="eve@x.test")):
        with pytest.raises(TenantViolation):
            async with open_work(sessions, caller()) as work:
                await work.session.execute(forbidden)


@pytest.mark.rows(78)
async def test_a_link_is_never_at_rest_in_clear(sessions: Sessions, box: Secret) -> None:
    async with open_system_work(sessions) as work:
        await send(work, box)
    mail = (await mails(sessions))[0]
    async with sessions.begin(SYSTEM) as session:
        payloads = str(list(await session.scalars(select(Job.payload))))
    assert "mll_" not in f"{mail.text}{mail.link_sealed!r}{payloads}"


@pytest.mark.rows(78)
async def test_what_was_sent_keeps_neither_text_nor_link(
    sessions: Sessions, box: Secret, inbox: Inbox
) -> None:
    async with open_system_work(sessions) as work:
        await send(work, box)
    worker = a_worker(sessions, Post(inbox.settings, box), MovingClock())
    assert await work_off(worker) == 1
    mail = (await mails(sessions))[0]
    assert (mail.state, mail.text, mail.link_sealed) == (MailState.SENT, None, None)
    assert mail.ended_at is not None
    assert len(inbox.got) == 1


async def test_without_smtp_it_is_kept_and_not_sent_when_there_is_one(
    sessions: Sessions, box: Secret, inbox: Inbox
) -> None:
    async with open_system_work(sessions) as work:
        await send(work, box)
    await work_off(a_worker(sessions, Post(MailSettings(), box), MovingClock()))
    mail = (await mails(sessions))[0]
    assert mail.state is MailState.KEPT
    assert "mll_token" in str(Post(MailSettings(), box).shown(mail))
    await work_off(a_worker(sessions, Post(inbox.settings, box), MovingClock()))
    assert inbox.got == []


async def test_a_job_that_runs_twice_sends_once(
    sessions: Sessions, box: Secret, inbox: Inbox
) -> None:
    async with open_system_work(sessions) as work:
        await send(work, box)
    worker = a_worker(sessions, Post(inbox.settings, box), MovingClock())
    await work_off(worker)
    async with sessions.begin(SYSTEM) as session:
        await session.execute(update(Job).values(state=JobState.QUEUED))
    assert await work_off(worker) == 1
    assert len(inbox.got) == 1


async def test_a_server_that_is_away_is_tried_again_later_each_time(
    sessions: Sessions, box: Secret, inbox: Inbox
) -> None:
    async with open_system_work(sessions) as work:
        await send(work, box)
    clock = MovingClock()
    worker = a_worker(sessions, Post(inbox.settings, box), clock)
    inbox.answers = ["451 later", "451 later"]
    for seconds in (7, 13):  # at first after 5 s, then after 10, with some jitter
        assert await work_off(worker) == 1
        mail = (await mails(sessions))[0]
        assert mail.state is MailState.WAITING
        assert "451 later" in str(mail.error)
        assert await work_off(worker) == 0  # not yet
        clock.move(seconds=seconds)
    assert await work_off(worker) == 1
    assert (await mails(sessions))[0].state is MailState.SENT
    assert len({got["Message-ID"] for got in inbox.got}) == 1


async def test_it_is_given_up_in_the_end(sessions: Sessions, box: Secret, inbox: Inbox) -> None:
    async with open_system_work(sessions) as work:
        await send(work, box)
    async with sessions.begin(SYSTEM) as session:
        await session.execute(update(Job).values(attempts=service.MAX_ATTEMPTS - 1))
    inbox.answers = ["451 later"]
    await work_off(a_worker(sessions, Post(inbox.settings, box), MovingClock()))
    assert (await mails(sessions))[0].state is MailState.FAILED
    async with sessions.begin(SYSTEM) as session:
        assert (await session.scalars(select(Job.state))).all() == [JobState.FAILED]


async def test_what_is_refused_for_good_is_tried_once(
    sessions: Sessions, box: Secret, inbox: Inbox
) -> None:
    async with open_system_work(sessions) as work:
        await send(work, box)
    inbox.answers = ["550 no such person"]
    clock = MovingClock()
    worker = a_worker(sessions, Post(inbox.settings, box), clock)
    await work_off(worker)
    clock.move(days=1)
    assert await work_off(worker) == 0
    mail = (await mails(sessions))[0]
    assert (mail.state, "no such person" in str(mail.error)) == (MailState.FAILED, True)


async def test_mails_are_forgotten_after_thirty_days(sessions: Sessions, box: Secret) -> None:
    for to in ("old@lab.test", "new@lab.test"):
        async with open_system_work(sessions) as work:
            await send(work, box, to)
    async with sessions.begin(SYSTEM) as session:
        old = utc_now() - timedelta(days=30, minutes=1)
        await session.execute(
            update(Mail).where(Mail.recipient == "old@lab.test").values(created_at=old)
        )
        await session.execute(update(Job).values(kind="mail.prune"))
    await work_off(Worker(sessions, {"mail.prune": handlers.prune}))
    assert [mail.recipient for mail in await mails(sessions)] == ["new@lab.test"]


@pytest.mark.parametrize("end", ["\r\n", "\n", "\r", "\u2028", "\x00", "\u202e"])
def test_a_name_never_starts_a_line(end: str) -> None:
    assert service.one_line(f" Ada{end}Bcc: eve ") == "Ada Bcc: eve"
