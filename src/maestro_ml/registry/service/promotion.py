"""Registered models as what is put up for approval: their aliases move when it is granted."""

import re
from collections.abc import Mapping
from hashlib import sha256
from uuid import UUID

from pydantic import BaseModel
from sqlalchemy import func, select

from maestro_ml.approvals.ports import Asked, Gate, GateResult, Subject, Target
from maestro_ml.approvals.service import guard, policies
from maestro_ml.core.access import Permission
from maestro_ml.db.work import Work
from maestro_ml.jobs.context import JobContext
from maestro_ml.registry.gates import GATES, Measured, judge
from maestro_ml.registry.models import (
    ModelAlias,
    ModelVersion,
    ModelVersionFile,
    RegisteredModel,
)
from maestro_ml.registry.schemas import MAX_NUMBER
from maestro_ml.registry.service import authors, history, placing, reading
from maestro_ml.storage.models import StoredBlob

KIND = "model-alias"
_NUMBER = re.compile("[1-9][0-9]{0,9}")


async def check_move(work: Work, model: RegisteredModel, alias: str, to: ModelVersion) -> None:
    """Raises:
    ApprovalNeeded: the alias is protected, and means another version, or none.
    """
    work.require(Permission.MODEL_WRITE, model.project_id)
    now = await placing.meant(work, model, alias)
    if now is None or now.id != to.id:
        what = f"Moving the alias {alias!r} of {model.name!r} to version {to.number}"
        await _check(work, model, alias, str(to.number), what)


async def check_loss(work: Work, model: RegisteredModel, alias: str, what: str) -> None:
    """Before an alias is taken away, or what has it.

    Raises:
        ApprovalNeeded: the alias is protected.
    """
    work.require(Permission.MODEL_WRITE, model.project_id)
    if await placing.meant(work, model, alias) is not None:
        await _check(work, model, alias, None, what)


async def check_whole(work: Work, model: RegisteredModel, what: str) -> None:
    """The same for a model with all that its aliases mean.

    Raises:
        ApprovalNeeded: one of its aliases is protected.
        PolicyKept: it has a policy of its own, which whoever takes its name next would not have.
    """
    work.require(Permission.MODEL_WRITE, model.project_id)
    await guard.check_kept(work, model.project_id, model.id, what=what)
    (record,) = await reading.models(work, [model])
    for alias in record.aliases:
        await _check(work, model, alias, None, what)


async def check_project(work: Work, project_id: UUID) -> None:
    """The same for a project with all of its models.

    Raises:
        ApprovalNeeded, PolicyKept: as `check_whole`, of one of them.
    """
    work.require(Permission.PROJECT_MANAGE, project_id)
    own = await policies.own_in(work, project_id)
    above = (await policies.in_force(work, None)).content
    for id in sorted(own):
        model = await work.session.get(RegisteredModel, id)
        if model is not None:
            await check_whole(work, model, f"Deleting the project of {model.name!r}")
    held = select(ModelAlias.model_id, ModelAlias.alias)
    held = held.join(RegisteredModel, RegisteredModel.id == ModelAlias.model_id)
    held = held.where(RegisteredModel.project_id == project_id)
    for id, alias in await work.session.execute(held):
        if id not in own and above.protects(alias):
            model = await work.session.get_one(RegisteredModel, id)
            await _check(work, model, alias, None, f"Deleting the project of {model.name!r}")


async def _check(
    work: Work, model: RegisteredModel, alias: str, target: str | None, what: str
) -> None:
    await guard.check_free(work, model.project_id, model.id, alias, target=target, what=what)


class ModelAliases:
    """A target is the number of a version."""

    gates: Mapping[str, type[BaseModel]] = GATES

    async def subject(self, work: Work, id: UUID) -> Subject | None:
        """As `approvals.ports.Subjects`."""
        model = await work.session.get(RegisteredModel, id)
        if model is None or not work.allows(Permission.MODEL_READ, model.project_id):
            return None
        return Subject(model.id, model.project_id, model.name)

    async def target(
        self, work: Work, subject_id: UUID, alias: str, target: str | None
    ) -> Target | None:
        """As `approvals.ports.Subjects`. Whoever moves or deletes something of the model waits."""
        model = await _held(work, subject_id)
        if model is None:
            return None
        version = await _meant(work, model, alias, target)
        if version is None:
            return None
        return Target(
            f"{model.name} version {version.number}",
            _fingerprint(version),
            await authors.of(work, version),
        )

    async def on_granted(self, work: Work, asked: Asked) -> None:
        """As `approvals.ports.Subjects`."""
        model = await _held(work, asked.subject_id)
        assert model is not None
        version = await _meant(work, model, asked.alias, asked.target)
        assert version is not None
        if asked.target is None:
            await placing.take_away(work, model, asked.alias)
        else:
            await placing.move(work, model, asked.alias, version)

    async def run(self, job: JobContext, asked: Asked, gate: Gate) -> GateResult:
        """As `approvals.ports.Subjects`."""
        async with job.open_work(read_only=True) as work:
            measured, champion = await _looked_at(work, asked)
        return judge(gate.kind, gate.parameters, measured, champion)

    async def inputs(self, work: Work, asked: Asked, gate: Gate) -> Mapping[str, str]:
        """As `approvals.ports.Subjects`."""
        return judge(gate.kind, gate.parameters, *await _looked_at(work, asked)).inputs


async def _held(work: Work, id: UUID) -> RegisteredModel | None:
    model = await work.session.get(
        RegisteredModel, id, with_for_update={"key_share": True}, populate_existing=True
    )
    if model is None or not work.allows(Permission.MODEL_READ, model.project_id):
        return None
    return model


async def _meant(
    work: Work, model: RegisteredModel, alias: str, target: str | None
) -> ModelVersion | None:
    if target is None:
        return await placing.meant(work, model, alias)
    if not _NUMBER.fullmatch(target) or int(target) > MAX_NUMBER:
        return None
    query = select(ModelVersion).where(
        ModelVersion.model_id == model.id, ModelVersion.number == int(target)
    )
    return (await work.session.scalars(query)).one_or_none()


def _fingerprint(version: ModelVersion) -> str:
    """Of what is decided about: the version, and its files or where they are said to be."""
    files = version.fingerprint or sha256(version.source.encode()).hexdigest()
    return f"{version.id.hex}:{files}"


async def _looked_at(work: Work, asked: Asked) -> tuple[Measured, Measured | None]:
    """What is asked about, and what the alias means now."""
    model = await work.session.get_one(RegisteredModel, asked.subject_id)
    version = await _meant(work, model, asked.alias, asked.target)
    assert version is not None
    champion = await placing.meant(work, model, asked.alias)
    known = None if champion is None else await _measured(work, model, champion)
    return await _measured(work, model, version), known


async def _measured(work: Work, model: RegisteredModel, version: ModelVersion) -> Measured:
    found = await history.lineage(work, model.project_id, model.name, version.number)
    (about,) = await reading.models(work, [model])
    size = select(func.coalesce(func.sum(StoredBlob.size), 0)).select_from(StoredBlob)
    size = size.join(ModelVersionFile, ModelVersionFile.blob_id == StoredBlob.id)
    n_bytes = await work.session.scalar(size.where(ModelVersionFile.version_id == version.id))
    used = found.run.links.datasets if found.run else []
    return Measured(
        number=version.number,
        fingerprint=_fingerprint(version),
        kept_here=version.fingerprint is not None,
        n_files=version.n_files,
        n_bytes=int(n_bytes or 0),
        tags={**about.tags, **found.version.tags},
        metrics=history.metrics_of(found),
        data={one.dataset.name: one.dataset.digest for one in used},
    )
