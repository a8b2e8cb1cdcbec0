"""The one secret of an installation, and what is derived from it."""

import os
import secrets
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from maestro_ml.core.settings import Settings
from maestro_ml.identity.errors import SecretKeyRefused

FILE = "secret.key"
_LEAST_BYTES = 32
_NONCE = 12
_KNOWN = ("secret", "changeme", "change-me", "password", "your-secret", "example", "placeholder")


class Secret:
    """Keys for each purpose, so that what one of them gives away opens nothing else."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._box = AESGCM(self.derive("seal"))

    def derive(self, purpose: str) -> bytes:
        return HKDF(SHA256(), 32, None, f"maestro-ml {purpose}".encode()).derive(self._key)

    def seal(self, plain: bytes, name: str) -> bytes:
        nonce = secrets.token_bytes(_NONCE)
        return nonce + self._box.encrypt(nonce, plain, name.encode())

    def unseal(self, sealed: bytes, name: str) -> bytes:
        """Raises:
        SecretKeyRefused: it was sealed with another secret key, under another name, or changed.
        """
        try:
            return self._box.decrypt(sealed[:_NONCE], sealed[_NONCE:], name.encode())
        except InvalidTag:
            raise SecretKeyRefused(
                "The signing keys in the database were sealed with another secret key: give the "
                f"one they were made with, as MAESTRO_SECRET_KEY or as the file {FILE} in the data "
                "folder."
            ) from None


def load_secret(settings: Settings) -> Secret:
    """The setting, or the file in the data folder, which the first start makes.

    Raises:
        SecretKeyRefused: it is short, or one that everybody knows.
    """
    if settings.secret_key is None:
        _make(settings.data / FILE)
    key = check_secret(settings)
    assert key is not None
    return Secret(key)


def check_secret(settings: Settings) -> bytes | None:
    """The setting or the file, if there is one yet. Nothing is made.

    Raises:
        SecretKeyRefused: it is short, or one that everybody knows.
    """
    file = settings.data / FILE
    if settings.secret_key is not None:
        key, name = settings.secret_key.get_secret_value().encode(), "MAESTRO_SECRET_KEY"
    elif file.exists():
        key, name = _read(file), str(file)
    else:
        return None
    if not settings.dev and _weak(key):
        raise SecretKeyRefused(
            f"{name} is too weak: give {_LEAST_BYTES} random bytes or more, such as the output of "
            "`openssl rand -hex 32`."
        )
    return key


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes().strip()
    except OSError as failed:
        raise SecretKeyRefused(
            f"The secret key {file} cannot be read ({failed.strerror}): start the server as "
            "whoever started it first, or make the file yours."
        ) from None


def _weak(key: bytes) -> bool:
    text = key.decode("utf-8", "replace").casefold().replace("_", "-")
    return len(key) < _LEAST_BYTES or len(set(key)) < 8 or any(known in text for known in _KNOWN)


def _make(file: Path) -> None:
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not file.exists():
        # Written in full before it has its name: two servers that start at once agree.
        new = file.with_name(f"{FILE}.{secrets.token_hex(8)}")
        with os.fdopen(os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as handle:
            handle.write(secrets.token_hex(_LEAST_BYTES))
            handle.flush()
            os.fsync(handle.fileno())
        try:
            os.link(new, file)
        except FileExistsError:
            pass
        finally:
            new.unlink()
