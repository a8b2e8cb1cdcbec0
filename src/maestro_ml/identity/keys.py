"""The signing keys that this process knows, and the access tokens they sign.

An access token is a signed pointer to a session row and says nothing of rights. It is read only
if its header is, byte for byte, one that we write: what no parser is given, no parser can be
fooled with (`alg`, `crit`, `jwk`, `jku`, `x5u`, `zip` of a caller's choice).
"""

import re
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID

import msgspec
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey
from joserfc.util import json_b64encode

from maestro_ml.core.ids import new_id
from maestro_ml.identity.models import KeyState, SigningKey
from maestro_ml.identity.secret import Secret

ALGORITHM = "Ed25519"
AUDIENCE = "maestro-api"
LIFETIME = timedelta(minutes=15)
LEEWAY = timedelta(seconds=5)
_MAX_LENGTH = 4096
_REMEMBERED = 4096
_KID_LENGTH = 16
_SHAPE = re.compile(r"([A-Za-z0-9_-]+)\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_ONE = [ALGORITHM]


class Claims(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    iss: str
    aud: str
    sub: UUID
    sid: UUID
    jti: UUID
    tid: UUID | None
    iat: int
    nbf: int
    exp: int


class UnknownKey(Exception):
    """The header is one that we could have written, with a key that this process has not met."""


@dataclass(frozen=True, slots=True)
class Key:
    kid: str
    jwk: OKPKey
    state: KeyState
    retires_at: datetime | None

    def trusted(self, now: datetime) -> bool:
        return self.retires_at is None or now < self.retires_at


def new_key(secret: Secret, state: KeyState, now: datetime) -> SigningKey:
    jwk = OKPKey.generate_key("Ed25519")
    kid = jwk.thumbprint()[:_KID_LENGTH]
    return SigningKey(
        kid=kid,
        alg=ALGORITHM,
        public_jwk=dict(jwk.as_dict(private=False)),
        private_sealed=secret.seal(jwk.as_pem(private=True), kid),
        state=state,
        created_at=now,
    )


class KeyRing:
    """Verifies with every key that counts, and signs with the one it is told."""

    def __init__(self, secret: Secret) -> None:
        self._secret = secret
        self._by_header: dict[str, Key] = {}
        self._verified: OrderedDict[bytes, tuple[str, Claims]] = OrderedDict()
        # Another installation has another secret: its tokens are strangers here.
        self.issuer = f"urn:maestro-ml:{secret.derive('issuer')[:16].hex()}"
        self.verified = 0

    def take(self, rows: Iterable[SigningKey]) -> None:
        """These are the keys there are: others are forgotten."""
        self._by_header = {_header_of(row.kid): self._known(row) for row in rows}

    def learn(self, row: SigningKey) -> None:
        """A key that may sign from now on: the newest."""
        newest = {_header_of(row.kid): self._known(row)}
        self._by_header = newest | self._by_header | newest

    def signs_with(self, kid: str) -> bool:
        """Whether this process knows that it is the key that signs."""
        key = self._by_header.get(_header_of(kid))
        return key is not None and key.state is KeyState.ACTIVE

    def jwks(self, now: datetime) -> dict[str, Any]:
        """What others may verify with: the keys that have signed and still count, newest first.

        The next key waits in the database: every process of ours knows it before it signs.
        """
        keys = sorted(self._by_header.values(), key=lambda key: key.state is KeyState.RETIRED)
        return {
            "keys": [
                {**key.jwk.as_dict(private=False), "kid": key.kid, "alg": ALGORITHM, "use": "sig"}
                for key in keys
                if key.state is not KeyState.NEXT and key.trusted(now)
            ]
        }

    def issue(
        self, kid: str, *, user: UUID, session: UUID, tenant: UUID | None, now: datetime
    ) -> str:
        moment = int(now.timestamp())
        claims = Claims(
            iss=self.issuer,
            aud=AUDIENCE,
            sub=user,
            sid=session,
            jti=new_id(),
            tid=tenant,
            iat=moment,
            nbf=moment,
            exp=moment + int(LIFETIME.total_seconds()),
        )
        key = self._by_header[_header_of(kid)].jwk
        return jws.serialize_compact(_header(kid), msgspec.json.encode(claims), key, _ONE)

    def verify(self, token: str, now: datetime) -> Claims | None:
        """What the token says, if one of our keys signed it and it is its time.

        Raises:
            UnknownKey: ask the database for the keys, then once more.
        """
        if len(token) > _MAX_LENGTH or (shape := _SHAPE.fullmatch(token)) is None:
            return None
        header = shape[1]
        key = self._by_header.get(header)
        if key is None:
            if _OURS.fullmatch(header):
                raise UnknownKey
            return None
        if not key.trusted(now):
            return None
        claims = self._claims(token, key)
        if claims is None or claims.iss != self.issuer or claims.aud != AUDIENCE:
            return None
        moment, leeway = now.timestamp(), LEEWAY.total_seconds()
        if moment >= claims.exp + leeway or moment < max(claims.nbf, claims.iat) - leeway:
            return None
        return claims

    def _claims(self, token: str, key: Key) -> Claims | None:
        """Remembered by the exact text; whether the key, the time and the session still count is
        asked each time."""
        name = sha256(token.encode()).digest()
        if (found := self._verified.get(name)) is not None:
            self._verified.move_to_end(name)
            return found[1] if found[0] == key.kid else None
        self.verified += 1
        try:
            signed = jws.deserialize_compact(token, key.jwk, _ONE)
            claims = msgspec.json.decode(signed.payload or b"", type=Claims)
        except (JoseError, ValueError, msgspec.MsgspecError, RecursionError):
            return None
        self._verified[name] = (key.kid, claims)
        if len(self._verified) > _REMEMBERED:
            self._verified.popitem(last=False)
        return claims

    def _known(self, row: SigningKey) -> Key:
        held = self._by_header.get(_header_of(row.kid))
        if held is not None and (held.state, held.retires_at) == (row.state, row.retires_at):
            return held
        if held is not None:
            return Key(row.kid, held.jwk, row.state, row.retires_at)
        pem = self._secret.unseal(row.private_sealed, row.kid)
        return Key(row.kid, OKPKey.import_key(pem), row.state, row.retires_at)


def _header(kid: str) -> dict[str, Any]:
    return {"alg": ALGORITHM, "typ": "at+jwt", "kid": kid}


def _header_of(kid: str) -> str:
    return json_b64encode(_header(kid)).decode()


# Up to the key's id the header fills whole base64 groups, so that all of ours begin alike.
_BEGIN, _WHOLE = _header_of("")[:52], len(_header_of("#" * _KID_LENGTH))
_OURS = re.compile(f"{_BEGIN}[A-Za-z0-9_-]{{{_WHOLE - len(_BEGIN)}}}")
