"""Files of logged models, which go the way of a run's."""

from sqlalchemy import delete, select

from maestro_ml.db.work import Sessions, open_work
from maestro_ml.tracking.models import File, LoggedModel
from support import caller
from support.wire import Wire

FILES = "/api/2.0/mlflow-artifacts/artifacts"


async def test_a_models_files_are_listed_and_go_with_it(wire: Wire, sessions: Sessions) -> None:
    experiment = await wire.experiment()
    other, model = await wire.experiment("other"), await wire.model(experiment)
    root = f"{FILES}/{experiment}/models/{model}/artifacts"
    for path in ("MLmodel", "data/model.skops"):
        assert (await wire("PUT", f"{root}/{path}", b"abc")).is_success
    listed = f"logged-models/{model}/artifacts/directories"
    found = await wire.ok("GET", listed, as_="viewer")
    assert found["root_uri"] == f"mlflow-artifacts:/{experiment}/models/{model}/artifacts"
    whole = {"path": "MLmodel", "is_dir": False, "file_size": 3}
    assert found["files"] == [whole, {"path": "data", "is_dir": True}]
    below = await wire.ok("GET", listed, {"artifact_directory_path": "data"})
    assert below["files"] == [{"path": "data/model.skops", "is_dir": False, "file_size": 3}]
    await wire.invalid(listed, {"artifact_directory_path": "../x"}, "GET")
    await wire.missing("GET", listed, None, as_="stranger")
    for place in (
        f"{FILES}/{other}/models/{model}/artifacts/x",
        f"{FILES}/{experiment}/models/m-{'0' * 32}/artifacts/x",
    ):
        await wire.missing("PUT", place, b"abc")
    await wire.missing("PUT", f"{root}/x", b"abc", as_="stranger")
    await wire.refused(403, "PERMISSION_DENIED", "PUT", f"{root}/x", b"abc", as_="viewer")
    await wire.ok("DELETE", f"logged-models/{model}")
    await wire.missing("PUT", f"{root}/late", b"abc")
    await wire.missing("GET", listed, None)
    async with open_work(sessions, caller()) as work:
        await work.session.execute(delete(LoggedModel).where(LoggedModel.deleted_at.is_not(None)))
        assert (await work.session.scalars(select(File.name))).all() == []
