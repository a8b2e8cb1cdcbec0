"""Settings: read from the environment, refused when senseless, shown without secrets."""

import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from maestro_ml.core.settings import Settings, describe, names_of


@pytest.fixture(autouse=True)
def _a_clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("MAESTRO_")]:
        monkeypatch.delenv(name)


def test_a_setting_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAESTRO_SERVER__PORT", "9000")
    monkeypatch.setenv("MAESTRO_SERVER__TRUSTED_PROXIES", "10.0.0.0/8, ::1")
    settings = Settings()
    assert (settings.server.port, settings.server.trusted_proxies) == (9000, ["10.0.0.0/8", "::1"])


def test_a_secret_may_come_from_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "url"
    file.write_text("postgresql+asyncpg://me:hidden@db/maestro\n")
    monkeypatch.setenv("MAESTRO_DATABASE__URL_FILE", str(file))
    assert Settings().database_url == "postgresql+asyncpg://me:hidden@db/maestro"
    monkeypatch.setenv("MAESTRO_DATABASE__URL", "sqlite+aiosqlite:///x.db")
    with pytest.raises(ValueError, match="keep one"):
        Settings()


def test_a_file_that_cannot_be_read_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MAESTRO_SECRET_KEY_FILE", str(tmp_path / "missing"))
    with pytest.raises(ValueError, match="MAESTRO_SECRET_KEY_FILE") as refused:
        Settings()
    assert "Errno" not in str(refused.value)


@pytest.mark.parametrize("name", ["MAESTRO_DATABSE__URL", "MAESTRO_PORT", "MAESTRO_LOGS__LEVEL"])
def test_a_misspelt_name_stops_the_start(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "x")
    with pytest.raises(ValidationError, match=name):
        Settings()


def test_names_of_clients_and_tests_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MAESTRO_TOKEN", "MAESTRO_URL", "MAESTRO_TEST_POSTGRES_URL"):
        monkeypatch.setenv(name, "x")
    assert Settings().dev is False


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MAESTRO_SERVER__PORT", "70000"),
        ("MAESTRO_SERVER__TRUSTED_PROXIES", "nobody"),
        ("MAESTRO_AUTH__PASSWORD_MIN_LENGTH", "3"),
        ("MAESTRO_LOG__LEVEL", "loud"),
        ("MAESTRO_REDIS__URL", "localhost:6379"),
        ("MAESTRO_SERVER__SSL_CERTFILE", "/nowhere.pem"),
    ],
)
def test_a_value_that_makes_no_sense_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError):
        Settings()


def test_what_is_in_force_is_shown_without_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAESTRO_DATABASE__URL", "postgresql+asyncpg://me:hidden@db/maestro")
    monkeypatch.setenv("MAESTRO_SERVER__METRICS_TOKEN", "hidden")
    told = describe(Settings())
    assert "hidden" not in str(told)
    assert told["MAESTRO_DATABASE__URL"] == told["MAESTRO_SERVER__METRICS_TOKEN"]
    assert told["MAESTRO_REDIS__URL"] == ""
    assert set(told) == {name for name, _ in names_of(Settings)}
