"""Opaque tokens: a prefix that says the kind, base62, and a checksum that needs no query.

    mlp_ + 40 characters + 6 of CRC32      an API key

Typing errors and fakes die before the database is asked, and scanners for leaked secrets find
them by their shape. At rest there is only the SHA-256.
"""

import re
import secrets
import string
import zlib
from hashlib import sha256

ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
API_KEY, REFRESH, INVITATION, SETUP, COOKIE = "mlp_", "mlr_", "mli_", "mls_", "mlc_"
MFA, LINK, STATE, DEVICE, WEBHOOK = "mlm_", "mll_", "mlo_", "mld_", "mlw_"
_LENGTHS = {API_KEY: 40} | dict.fromkeys(
    (REFRESH, INVITATION, SETUP, COOKIE, MFA, LINK, STATE, DEVICE, WEBHOOK), 43
)
_CHECK = 6
_SHAPES = {
    prefix: re.compile(f"{prefix}[0-9A-Za-z]{{{length + _CHECK}}}")
    for prefix, length in _LENGTHS.items()
}


def mint(prefix: str) -> str:
    """A new secret of that kind."""
    body = prefix + "".join(secrets.choice(ALPHABET) for _ in range(_LENGTHS[prefix]))
    return body + _checksum(body)


def well_formed(token: str, prefix: str) -> bool:
    """Whether this can be a token of that kind at all."""
    if _SHAPES[prefix].fullmatch(token) is None:
        return False
    return _checksum(token[:-_CHECK]) == token[-_CHECK:]


def digest(token: str) -> bytes:
    """What is stored in a token's place."""
    return sha256(token.encode()).digest()


def _checksum(body: str) -> str:
    rest = zlib.crc32(body.encode())
    letters = ""
    for _ in range(_CHECK):
        rest, at = divmod(rest, 62)
        letters = ALPHABET[at] + letters
    return letters
