"""A run's files: logged, listed, fetched, deleted, refused."""

import importlib
from pathlib import Path
from typing import Any

import pytest

mlflow: Any = importlib.import_module("mlflow")
registry: Any = importlib.import_module("mlflow.store.artifact.artifact_repository_registry")

pytestmark = pytest.mark.usefixtures("experiment")


def repository(run: Any) -> Any:
    """The client's own way to a run's files."""
    uri = run.info.artifact_uri
    return registry.get_artifact_repository(uri)


def listed(run: Any, path: str | None = None) -> list[tuple[str, int | None]]:
    return [(one.path, one.file_size) for one in repository(run).list_artifacts(path)]


def test_files_are_logged_listed_and_fetched(tmp_path: Path) -> None:
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


def test_files_are_deleted() -> None:
    with mlflow.start_run() as run:
        for name in ("a/1", "a/2", "b"):
            mlflow.log_text(name, name)
    repository(run).delete_artifacts("a/1")
    assert [path for path, _ in listed(run, "a")] == ["a/2"]
    repository(run).delete_artifacts("a")
    repository(run).delete_artifacts()
    assert listed(run) == []


def test_a_large_file_comes_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_what_is_refused_is_told(tmp_path: Path) -> None:
    with mlflow.start_run() as run:
        mlflow.log_text("x", "a")
        with pytest.raises(Exception, match="file and a folder"):
            mlflow.log_text("x", "a/b")
    with pytest.raises(Exception, match="no such file"):
        repository(run)._download_file("nothing", str(tmp_path / "nothing"))
