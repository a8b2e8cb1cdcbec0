"""Registered models as what is put up for approval: their aliases move when it is granted."""

from collections.abc import Mapping
from hashlib import sha256
from uuid import UUID

from pydantic import BaseModel
from sqlalchemy import func, select

from maestro_ml.approvals.ports import Asked, Gate, GateResult, Subject, Target
from maestro_ml.approvals.service import guard
from maestro_ml.core.access import Permission
from maestro_ml.db.work import Work
from maestro_ml.jobs.context import JobContext
from maestro_ml.registry.gates import GATES, Measured, judge
from maestro_ml.registry.models import ModelVersion, ModelVersionFile, RegisteredModel
from maestro_ml.registry.service import history, placing, reading
from maestro_ml.storage.models import StoredBlob
from maestro_ml.tracking.models import LoggedModel, Run

KIND = "model-alias"


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
    """
    work.require(Permission.MODEL_WRITE, model.project_id)
    (record,) = await reading.models(work, [model])
    for alias in record.aliases:
        await _check(work, model, alias, None, what)


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
            await _authors(work, version),
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
            model = await work.session.get_one(RegisteredModel, asked.subject_id)
            version = await _meant(work, model, asked.alias, asked.target)
            assert version is not None
            champion = await placing.meant(work, model, asked.alias)
            measured = await _measured(work, model, version)
            known = None if champion is None else await _measured(work, model, champion)
        return judge(gate.kind, gate.parameters, measured, known)


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
    if not target.isascii() or not target.isdecimal() or len(target) > 10:
        return None
    query = select(ModelVersion).where(
        ModelVersion.model_id == model.id, ModelVersion.number == int(target)
    )
    return (await work.session.scalars(query)).one_or_none()


def _fingerprint(version: ModelVersion) -> str:
    """Of what is decided about: the version, and its files or where they are said to be."""
    files = version.fingerprint or sha256(version.source.encode()).hexdigest()
    return f"{version.id.hex}:{files}"


async def _authors(work: Work, version: ModelVersion) -> frozenset[UUID]:
    """Whoever registered it, ran its run, or logged its model."""
    found = {version.created_by}
    for row, id in ((Run, version.run_id), (LoggedModel, version.logged_model_id)):
        if id is not None:
            query = select(row.created_by).where(row.id == id)
            found.add((await work.session.scalars(query)).one_or_none())
    return frozenset(one for one in found if one is not None)


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
