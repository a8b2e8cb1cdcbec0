"""Who is told of what. A project's webhooks are its maintainers', a tenant's its admins'."""

from collections.abc import Callable
from datetime import timedelta
from urllib.parse import urlsplit
from uuid import UUID

from sqlalchemy import ColumnElement, Table, false, inspect, or_, select

from maestro_ml.audit.service import record
from maestro_ml.core.access import ActorKind, Permission
from maestro_ml.core.paging import Page, PageRequest
from maestro_ml.db.among import among
from maestro_ml.db.paging import page_of
from maestro_ml.db.work import Work
from maestro_ml.projects import service as projects
from maestro_ml.webhooks import courier, policy
from maestro_ml.webhooks.errors import TooManyWebhooks, WebhookNotFound
from maestro_ml.webhooks.models import Webhook, WebhookFormat
from maestro_ml.webhooks.schemas import WebhookChange, WebhookCreate

MOST = 500
OVERLAP = timedelta(hours=24)
Seal = Callable[[UUID, str], bytes]


def reading(project_id: UUID | None) -> Permission:
    return Permission.TENANT_WEBHOOK_READ if project_id is None else Permission.WEBHOOK_READ


def writing(project_id: UUID | None) -> Permission:
    return Permission.TENANT_WEBHOOK_WRITE if project_id is None else Permission.WEBHOOK_WRITE


async def may_create(work: Work, project_id: UUID | None) -> None:
    """Whether the caller may have one there: asked before its address is looked up.

    Raises:
        ProjectNotFound: there is no such project, or not for them.
        Forbidden: they may not.
    """
    if project_id is not None:
        await projects.get(work, project_id)
    work.require(writing(project_id), project_id)


async def create(
    work: Work,
    command: WebhookCreate,
    seal: Seal,
    *,
    format: WebhookFormat = WebhookFormat.MAESTRO,
    unsigned: bool = False,
) -> tuple[Webhook, str | None]:
    """Have an address told, and the secret if one was made. The address has been checked.

    `unsigned`: nothing is signed if no secret is given, as MLflow's clients know it.

    Raises:
        ProjectNotFound: there is no such project, or not for the caller.
        WebhookInvalid: its events and filters do not fit together.
        TooManyWebhooks: the tenant has as many as it may.
    """
    if command.project_id is not None:
        await projects.stay(work, command.project_id)
    work.require(writing(command.project_id), command.project_id)
    policy.check(command.events, command.filters, format)
    await _check_room(work)
    webhook = Webhook(
        **command.model_dump(exclude={"secret"}),
        format=format,
        created_by=None if work.access.kind is ActorKind.SYSTEM else work.access.actor_id,
        created_at=work.now,
        updated_at=work.now,
    )
    made = None
    if command.secret is not None:
        _sign_with(webhook, courier.key_id(), seal(webhook.id, command.secret.get_secret_value()))
    elif not unsigned:
        id, made = courier.mint()
        _sign_with(webhook, id, seal(webhook.id, made))
    work.session.add(webhook)
    await work.session.flush()
    told = {"name": webhook.name, "host": _host(webhook.url), "events": webhook.events}
    place = webhook.project_id and str(webhook.project_id)
    record(work, "webhook.created", "webhook", webhook.id, **told, project_id=place)
    return webhook, made


async def search(
    work: Work,
    request: PageRequest,
    *,
    project_id: UUID | None = None,
    format: WebhookFormat | None = None,
) -> Page[Webhook]:
    """A page of the webhooks that the caller may read, the newest first; or of one project's.

    Raises:
        Forbidden: in that project they may read none.
        ProjectNotFound: there is no such project, or not for the caller.
        Invalid: the cursor is not one of this list.
    """
    query = select(Webhook)
    if project_id is not None:
        await projects.get(work, project_id)
        work.require(Permission.WEBHOOK_READ, project_id)
        query = query.where(Webhook.project_id == project_id)
    else:
        work.require(Permission.PROJECT_READ)
        query = query.where(_readable(work))
    if format is not None:
        query = query.where(Webhook.format == format)
    return await page_of(work.session, query, Webhook, request)


async def get(work: Work, id: UUID) -> Webhook:
    """Read one.

    Raises:
        WebhookNotFound: there is none, or not in the caller's sight.
    """
    webhook = await _found(work, id)
    work.require(reading(webhook.project_id), webhook.project_id)
    return webhook


async def check_place(work: Work, id: UUID, project_id: UUID, format: WebhookFormat) -> None:
    """For whoever calls from inside one project and knows one format: others are not there.

    Raises:
        WebhookNotFound: it is none of these.
    """
    webhook = await _found(work, id)
    here = webhook.project_id == project_id and webhook.format is format
    if not here or not work.allows(Permission.PROJECT_READ, project_id):
        raise WebhookNotFound


async def may_change(work: Work, id: UUID) -> Webhook:
    """One that the caller may change: asked before its new address is looked up.

    Raises:
        WebhookNotFound: there is none, or not in the caller's sight.
    """
    webhook = await _found(work, id)
    work.require(writing(webhook.project_id), webhook.project_id)
    return webhook


async def change(work: Work, id: UUID, command: WebhookChange) -> Webhook:
    """Change what is sent. Whoever enables one gives it another chance. Its address has been
    checked.

    Raises:
        WebhookNotFound: there is none, or not in the caller's sight.
        WebhookInvalid: its events and filters do not fit together.
    """
    webhook = await hold(work, id)
    work.require(writing(webhook.project_id), webhook.project_id)
    sent = command.model_dump()
    # A filter of what is no longer heard goes with it.
    if "events" in sent and "filters" not in sent:
        kept = {name: of for name, of in webhook.filters.items() if name in sent["events"]}
        sent["filters"] = kept
    changed = {name: value for name, value in sent.items() if getattr(webhook, name) != value}
    if not changed:
        return webhook
    for name, value in changed.items():
        setattr(webhook, name, value)
    policy.check(webhook.events, webhook.filters, webhook.format)
    if "status" in changed:
        webhook.disabled_reason, webhook.failures, webhook.failing_since = None, 0, None
    webhook.updated_at = work.now
    await work.session.flush()
    told = {"host": _host(webhook.url)} if "url" in changed else {}
    told |= {"status": webhook.status} if "status" in changed else {}
    record(work, "webhook.changed", "webhook", id, fields=sorted(changed), **told)
    return webhook


async def delete(work: Work, id: UUID) -> None:
    """Tell it nothing more, and forget what it was told.

    Raises:
        WebhookNotFound: there is none, or not in the caller's sight.
    """
    webhook = await hold(work, id)
    work.require(writing(webhook.project_id), webhook.project_id)
    await work.session.delete(webhook)
    await work.session.flush()
    told = {"name": webhook.name, "host": _host(webhook.url)}
    record(work, "webhook.deleted", "webhook", id, **told)


async def rotate_secret(
    work: Work, id: UUID, secret: str | None, seal: Seal
) -> tuple[Webhook, str | None]:
    """Sign with another secret, and for a day with the one before as well. Gives the secret if it
    was made here.

    Raises:
        WebhookNotFound: there is none, or not in the caller's sight.
    """
    webhook = await hold(work, id)
    work.require(writing(webhook.project_id), webhook.project_id)
    made = None
    new_id = courier.key_id()
    if secret is None:
        new_id, made = courier.mint()
    webhook.previous_key_id = webhook.key_id
    webhook.previous_secret_sealed = webhook.secret_sealed
    webhook.previous_key_until = work.now + OVERLAP if webhook.key_id else None
    _sign_with(webhook, new_id, seal(id, secret or made or ""))
    webhook.updated_at = work.now
    await work.session.flush()
    record(work, "webhook.secret_rotated", "webhook", id, key_id=new_id)
    return webhook, made


async def hold(work: Work, id: UUID) -> Webhook:
    """One that nobody else changes until this work ends; its project stays.

    Raises:
        WebhookNotFound: there is none, or not in the caller's sight.
    """
    webhook = await _found(work, id)
    work.require(writing(webhook.project_id), webhook.project_id)
    if webhook.project_id is not None:
        await projects.stay(work, webhook.project_id)
    held = await work.session.get(
        Webhook, id, with_for_update={"key_share": True}, populate_existing=True
    )
    if held is None:
        raise WebhookNotFound
    return held


async def _found(work: Work, id: UUID) -> Webhook:
    webhook = await work.session.get(Webhook, id)
    if webhook is None:
        raise WebhookNotFound
    return webhook


async def _check_room(work: Work) -> None:
    # Past the session's sight on purpose: what others have counts as well.
    webhooks = inspect(Webhook).local_table
    assert isinstance(webhooks, Table)
    query = select(webhooks.c.id).where(webhooks.c.tenant_id == work.tenant_id).limit(MOST)
    if len((await work.session.execute(query)).all()) >= MOST:
        raise TooManyWebhooks(MOST)


def _readable(work: Work) -> ColumnElement[bool]:
    """Those of projects where the caller may read webhooks, and the tenant's for its admins."""
    own = [id for id in work.access.project_roles if work.allows(Permission.WEBHOOK_READ, id)]
    everywhere = work.allows(Permission.WEBHOOK_READ)
    placed = Webhook.project_id.is_not(None) if everywhere else among(Webhook.project_id, own)
    above = work.allows(Permission.TENANT_WEBHOOK_READ)
    return or_(placed, Webhook.project_id.is_(None) if above else false())


def _sign_with(webhook: Webhook, id: str, sealed: bytes) -> None:
    webhook.key_id, webhook.secret_sealed = id, sealed


def _host(url: str) -> str | None:
    """What the trail says of an address: the rest of some is as good as a password."""
    return urlsplit(url).hostname
