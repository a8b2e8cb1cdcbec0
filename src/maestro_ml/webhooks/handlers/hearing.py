"""From an event to the deliveries of those who hear it, in the transaction that made it happen.

A project's webhook hears the project. A tenant's hears the tenant, and in it the projects that
everybody sees: who is in no private project's team hears nothing of it here either.
"""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import String, Table, cast, func, inspect, or_, select, update

from maestro_ml.audit.service import record_for
from maestro_ml.core.ids import new_id
from maestro_ml.db.work import SystemWork, Work
from maestro_ml.projects.kinds import Visibility
from maestro_ml.projects.models import Project
from maestro_ml.registry.models import RegisteredModel, RegisteredModelTag
from maestro_ml.webhooks import policy
from maestro_ml.webhooks.catalogue import EVENTS, IS_PROMPT, PROMPTS, as_prompts
from maestro_ml.webhooks.models import (
    DeliveryState,
    Webhook,
    WebhookDelivery,
    WebhookFormat,
    WebhookStatus,
)
from maestro_ml.webhooks.service import deliveries
from maestro_ml.webhooks.signing import Told, payload_of


async def listen(work: Work, event: str, facts: Mapping[str, Any]) -> None:
    """Queue one delivery for each webhook that hears of it."""
    await _hear(work, work.tenant_id, event, facts)


async def listen_above(
    work: SystemWork, tenant_id: UUID, event: str, facts: Mapping[str, Any]
) -> None:
    """The same of what happens to a tenant outside of its sessions: sign-ins, ends of jobs."""
    await _hear(work, tenant_id, event, facts)


async def _hear(
    work: Work | SystemWork, tenant_id: UUID, event: str, facts: Mapping[str, Any]
) -> None:
    if event not in EVENTS:
        return
    project_id = UUID(str(facts["project_id"])) if facts.get("project_id") else None
    candidates = await _candidates(work, tenant_id, project_id, event)
    if candidates and event in PROMPTS and await _is_prompt(work, tenant_id, facts):
        event, facts = as_prompts(event, facts)
    known = EVENTS[event]
    data = known.data_of(facts)
    hooks = [
        hook
        for hook in candidates
        if event in hook.events and policy.passes(hook.filters, event, data)
    ]
    if not hooks:
        return
    seen_by_all, slug = await _place(work, tenant_id, project_id, facts)
    told = Told(
        id=new_id(),
        event=known,
        at=work.now,
        tenant_id=tenant_id,
        project_id=project_id,
        workspace=slug,
        data=data,
    )
    for hook in hooks:
        if (hook.project_id or seen_by_all) and await _keeps_up(work, tenant_id, hook.id):
            delivery = WebhookDelivery(
                webhook_id=hook.id,
                project_id=hook.project_id,
                event_id=told.id,
                event=event,
                payload=payload_of(told, WebhookFormat(hook.format)),
                created_at=work.now,
            )
            await deliveries.post(work, tenant_id, delivery)


async def _candidates(
    work: Work | SystemWork, tenant_id: UUID, project_id: UUID | None, event: str
) -> Sequence[Any]:
    """Those whose words name the event. Past the session's sight on purpose: who makes something
    happen may not see who hears it."""
    hooks = _table(Webhook)
    names = {event, PROMPTS.get(event, event)}
    words = cast(hooks.c.events, String)
    place = or_(hooks.c.project_id.is_(None), hooks.c.project_id == project_id)
    query = select(
        hooks.c.id, hooks.c.project_id, hooks.c.events, hooks.c.filters, hooks.c.format
    ).where(
        hooks.c.tenant_id == tenant_id,
        hooks.c.status == WebhookStatus.ACTIVE,
        place,
        or_(*(words.contains(f'"{name}"', autoescape=True) for name in sorted(names))),
    )
    return (await work.session.execute(query)).all()


async def _is_prompt(work: Work | SystemWork, tenant_id: UUID, facts: Mapping[str, Any]) -> bool:
    models, tags = _table(RegisteredModel), _table(RegisteredModelTag)
    query = select(models.c.id).where(
        models.c.tenant_id == tenant_id,
        models.c.project_id == UUID(str(facts["project_id"])),
        models.c.name == facts["name"],
        tags.c.tenant_id == tenant_id,
        tags.c.model_id == models.c.id,
        tags.c.key == IS_PROMPT,
        func.lower(tags.c.value) == "true",
    )
    return (await work.session.execute(query)).first() is not None


async def _place(
    work: Work | SystemWork, tenant_id: UUID, project_id: UUID | None, facts: Mapping[str, Any]
) -> tuple[bool, str | None]:
    """Whether everybody in the tenant sees where it happened, and what that is called. An event
    may say so itself, of a project that is there no more or not yet as it is to be."""
    if project_id is None:
        return True, None
    projects = _table(Project)
    query = select(projects.c.visibility, projects.c.slug).where(
        projects.c.tenant_id == tenant_id, projects.c.id == project_id
    )
    row = (await work.session.execute(query)).one_or_none()
    visibility, slug = row or (Visibility.PRIVATE, None)
    if event_says := facts.get("visibility"):
        visibility, slug = event_says, slug or facts.get("slug")
    return visibility == Visibility.INTERNAL, slug


async def _keeps_up(work: Work | SystemWork, tenant_id: UUID, id: UUID) -> bool:
    """Whether a webhook has room for one more; one that is too far behind is disabled."""
    waiting, hooks = _table(WebhookDelivery), _table(Webhook)
    query = (
        select(waiting.c.id)
        .where(
            waiting.c.tenant_id == tenant_id,
            waiting.c.webhook_id == id,
            waiting.c.state == DeliveryState.WAITING,
        )
        .offset(policy.MOST_WAITING - 1)
        .limit(1)
    )
    if (await work.session.execute(query)).first() is None:
        return True
    mine = update(hooks).where(hooks.c.tenant_id == tenant_id, hooks.c.id == id)
    why = {"status": WebhookStatus.DISABLED, "disabled_reason": policy.OVERFULL}
    await work.session.execute(mine.values(**why, updated_at=work.now))
    record_for(work, tenant_id, "webhook.disabled", "webhook", id, reason=policy.OVERFULL)
    return False


def _table(kind: type[Any]) -> Table:
    table = inspect(kind).local_table
    assert isinstance(table, Table)
    return table
