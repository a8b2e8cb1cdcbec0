"""Files through the real, unmodified MLflow client."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

mlflow = pytest.importorskip("mlflow")

# The client warns of its own affairs; a warning of ours still fails the test.
pytestmark = pytest.mark.filterwarnings("ignore:::mlflow")


@pytest.fixture
def client(address: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "member")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    mlflow.set_tracking_uri(address)
    mlflow.set_experiment("files")
    yield mlflow.MlflowClient()
    while mlflow.active_run():
        mlflow.end_run()


def repository(run: Any) -> Any:
    """The client's own way to a run's files."""
    uri = run.info.artifact_uri
    return mlflow.store.artifact.artifact_repository_registry.get_artifact_repository(uri)


def listed(run: Any, path: str | None = None) -> list[tuple[str, int | None]]:
    return [(one.path, one.file_size) for one in repository(run).list_artifacts(path)]


def test_files_are_logged_listed_and_fetched(client: Any, tmp_path: Path) -> None:
    here = tmp_path / "here"
    (here / "deep" / "er").mkdir(parents=True)
    (here / "a b.txt").write_text("text")
    (here / "deep" / "er" / "b.bin").write_bytes(b"\x00\xff" * 500_000)
    with mlflow.start_run() as run:
        mlflow.log_artifact(str(here / "a b.txt"))
        mlflow.log_artifacts(str(here), "all")
        mlflow.log_text("# hello", "notes/readme.md")
        mlflow.log_dict({"a": [1, 2]}, "conf.json")
        mlflow.log_dict({"a": [1, 2]}, "conf.yaml")
    assert [path for path, _ in listed(run)] == [
        *("a b.txt", "all", "conf.json", "conf.yaml", "notes"),
    ]
    assert listed(run, "all") == [("all/a b.txt", 4), ("all/deep", None)]
    assert listed(run, "all/deep/er") == [("all/deep/er/b.bin", 1_000_000)]
    assert listed(run, "a b.txt") == listed(run, "nothing") == []
    uri = run.info.artifact_uri
    assert mlflow.artifacts.load_text(f"{uri}/notes/readme.md") == "# hello"
    assert mlflow.artifacts.load_dict(f"{uri}/conf.json") == {"a": [1, 2]}
    got = Path(repository(run).download_artifacts("", str(tmp_path)))
    assert (got / "all" / "deep" / "er" / "b.bin").read_bytes() == b"\x00\xff" * 500_000
    one = Path(mlflow.artifacts.download_artifacts(artifact_uri=f"{uri}/a b.txt"))
    assert one.read_text() == "text"


def test_files_are_deleted(client: Any) -> None:
    with mlflow.start_run() as run:
        for name in ("a/1", "a/2", "b"):
            mlflow.log_text(name, name)
    repository(run).delete_artifacts("a/1")
    assert [path for path, _ in listed(run, "a")] == ["a/2"]
    repository(run).delete_artifacts("a")
    repository(run).delete_artifacts()
    assert listed(run) == []


def test_a_large_file_comes_in_parts(
    client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD", "true")
    monkeypatch.setenv("MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD", "true")
    monkeypatch.setenv("MLFLOW_MULTIPART_UPLOAD_MINIMUM_FILE_SIZE", "1")
    monkeypatch.setenv("MLFLOW_MULTIPART_UPLOAD_CHUNK_SIZE", str(2**20))
    sent = tmp_path / "large.bin"
    sent.write_bytes(bytes(range(251)) * 15_000)
    with mlflow.start_run() as run:
        mlflow.log_artifact(str(sent), "deep")
    assert listed(run, "deep") == [("deep/large.bin", 3_765_000)]
    (tmp_path / "got").mkdir()
    got = repository(run).download_artifacts("deep/large.bin", str(tmp_path / "got"))
    assert Path(got).read_bytes() == sent.read_bytes()


def test_what_is_refused_is_told(client: Any, tmp_path: Path) -> None:
    with mlflow.start_run() as run:
        mlflow.log_text("x", "a")
        with pytest.raises(Exception, match="file and a folder"):
            mlflow.log_text("x", "a/b")
    with pytest.raises(Exception, match="no such file"):
        repository(run)._download_file("nothing", str(tmp_path / "nothing"))
