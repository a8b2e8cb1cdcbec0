"""The installation's secret: where it comes from, and which are refused."""

import secrets
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from maestro_ml.core.settings import Settings
from maestro_ml.identity.errors import SecretKeyRefused
from maestro_ml.identity.secret import FILE, Secret, load_secret

WEAK = [
    "secret",
    "changeme",
    "your-secret-key",
    "short",
    "",
    "x" * 64,
    "changeme" * 8,
    "your_secret_key_here_please_change_it",
    "MY-SUPER-SECRET-KEY-0123456789abcdef",
    "password-password-0123456789-abcdef",
]


@pytest.mark.parametrize("key", WEAK)
def test_a_key_that_others_can_guess_is_refused_in_one_sentence(tmp_path: Path, key: str) -> None:
    with pytest.raises(SecretKeyRefused) as refused:
        load_secret(Settings(data=tmp_path, secret_key=key))
    assert refused.value.detail.count(". ") == 0
    assert not key or key not in refused.value.detail


@pytest.mark.parametrize("key", WEAK)
def test_dev_mode_takes_any_key(tmp_path: Path, key: str) -> None:
    load_secret(Settings(data=tmp_path, secret_key=key, dev=True))


def test_the_first_start_makes_a_file_only_its_owner_reads(tmp_path: Path) -> None:
    data = tmp_path / "data"
    first = load_secret(Settings(data=data))
    file = data / FILE
    assert file.stat().st_mode & 0o777 == 0o600
    assert data.stat().st_mode & 0o777 == 0o700
    assert [entry.name for entry in data.iterdir()] == [FILE]
    assert load_secret(Settings(data=data)).derive("x") == first.derive("x")


def test_a_file_that_cannot_be_read_is_told_in_one_sentence(tmp_path: Path) -> None:
    # A folder in its place: to root, no file is unreadable.
    (tmp_path / FILE).mkdir()
    with pytest.raises(SecretKeyRefused) as refused:
        load_secret(Settings(data=tmp_path))
    assert str(tmp_path / FILE) in refused.value.detail
    assert refused.value.detail.count(". ") == 0


def test_servers_that_start_at_once_agree(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path)
    with ThreadPoolExecutor(8) as threads:
        made = threads.map(lambda _: load_secret(settings).derive("x"), range(8))
    assert len(set(made)) == 1
    assert [entry.name for entry in tmp_path.iterdir()] == [FILE]


def test_a_weak_file_is_refused_by_its_name(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("secret")
    with pytest.raises(SecretKeyRefused, match=FILE):
        load_secret(Settings(data=tmp_path))


def test_what_is_sealed_opens_with_the_same_key_and_name_only() -> None:
    secret, other = Secret(secrets.token_bytes(32)), Secret(secrets.token_bytes(32))
    sealed = secret.seal(b"private", "a")
    assert secret.unseal(sealed, "a") == b"private"
    assert secret.seal(b"private", "a") != sealed
    for opener, text, name in (
        (other, sealed, "a"),
        (secret, sealed, "b"),
        (secret, sealed[:-1] + bytes([sealed[-1] ^ 1]), "a"),
    ):
        with pytest.raises(SecretKeyRefused):
            opener.unseal(text, name)


def test_each_purpose_has_a_key_of_its_own() -> None:
    secret = Secret(secrets.token_bytes(32))
    assert secret.derive("csrf") != secret.derive("seal")
