"""What a version keeps of files that somebody changes at the same moment."""

import asyncio
from uuid import UUID

from maestro_ml.core.errors import MaestroError
from maestro_ml.core.ids import new_id
from maestro_ml.db.work import Sessions, Work, open_work
from maestro_ml.registry.schemas import ModelCreate, Origin, VersionCreate
from maestro_ml.registry.service import models, versions
from maestro_ml.storage.blobs import Stored
from maestro_ml.tenancy.service import storage
from maestro_ml.tracking.schemas import RunCreate
from maestro_ml.tracking.service import experiments, files, runs
from maestro_ml.tracking.service.files import Root
from support.world import LAB, caller

ANN = caller()


async def put(work: Work, run: UUID, path: str) -> None:
    id = await storage.reserve(work, 1)
    await files.put(work, Root(run_id=run), path, id, Stored(1, new_id().hex * 2))


async def a_run(sessions: Sessions, *paths: str) -> UUID:
    async with open_work(sessions, ANN) as work:
        experiment = await experiments.default(work, LAB)
        run = (await runs.create(work, RunCreate(experiment_id=experiment.id))).run.id
        for path in paths:
            await put(work, run, path)
        await models.create(work, LAB, ModelCreate(name="churn"))
    return run


async def taken(sessions: Sessions, origin: Origin, name: str = "churn") -> int:
    async with open_work(sessions, ANN) as work:
        made = await versions.create(work, LAB, name, VersionCreate(source="x:/y", origin=origin))
        return made.version.n_files


async def test_of_a_file_that_is_replaced_a_version_keeps_the_old_one_or_the_new(
    sessions: Sessions,
) -> None:
    run = await a_run(sessions, "m/model.pkl", "m/MLmodel")
    async with open_work(sessions, ANN) as work:
        await put(work, run, "m/model.pkl")
        taking = asyncio.create_task(taken(sessions, Origin(run_id=run, path="m")))
        await asyncio.sleep(0.3)
    assert await taking == 2


async def test_who_takes_files_and_who_deletes_them_do_not_wait_in_a_ring(
    sessions: Sessions,
) -> None:
    run = await a_run(sessions)

    async def delete() -> None:
        async with open_work(sessions, ANN) as work:
            await files.remove(work, Root(run_id=run), "m")

    for _ in range(3):
        async with open_work(sessions, ANN) as work:
            for n in range(40):
                await put(work, run, f"m/{n}")
        found = await asyncio.gather(
            delete(), *(taken(sessions, Origin(run_id=run, path="m")) for _ in range(5))
        )
        assert set(found[1:]) <= {0, 40}


async def test_two_models_that_take_each_others_names_do_not_wait_in_a_ring(
    sessions: Sessions,
) -> None:
    async def rename(name: str, new_name: str) -> None:
        async with open_work(sessions, ANN) as work:
            await models.rename(work, LAB, name, new_name)

    for n in range(10):
        async with open_work(sessions, ANN) as work:
            for name in (f"a{n}", f"b{n}"):
                await models.create(work, LAB, ModelCreate(name=name))
        for one in await asyncio.gather(
            rename(f"a{n}", f"b{n}"), rename(f"b{n}", f"a{n}"), return_exceptions=True
        ):
            assert isinstance(one, MaestroError)
            assert one.code == "registered-model-name-taken"
