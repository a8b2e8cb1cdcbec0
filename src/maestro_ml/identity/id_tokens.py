"""An ID token: who it is about, if the issuer signed it for us, just now, for this sign-in."""

import hmac
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import import_key

from maestro_ml.identity import emails
from maestro_ml.identity.amr import MFA
from maestro_ml.identity.errors import EmailInvalid

LEEWAY = timedelta(minutes=1)
OLDEST = timedelta(minutes=10)
# One key, one algorithm: which keys may sign with which.
_KEYS: Mapping[str, Mapping[str, str]] = {
    "RS256": {"kty": "RSA"},
    "ES256": {"kty": "EC", "crv": "P-256"},
    "EdDSA": {"kty": "OKP", "crv": "Ed25519"},
    "Ed25519": {"kty": "OKP", "crv": "Ed25519"},
}
_TYPES = frozenset({None, "jwt", "application/jwt"})
_SHAPE = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_LONGEST = 128_000
_LEAST_RSA = 342  # base64 characters of a modulus of 2048 bits
_LONGEST_SUBJECT = 255
_LONGEST_NAME = 100


class TokenRefused(Exception):
    """Why, for the log; the person is told no more than that it is refused."""


@dataclass(frozen=True, slots=True)
class Header:
    alg: str
    kid: str


@dataclass(frozen=True, slots=True)
class Vouched:
    """Somebody, as their issuer vouches for them."""

    subject: str
    email: str | None  # only if the issuer says that it is verified
    name: str
    claims: Mapping[str, Any]

    @property
    def by_two_factors(self) -> bool:
        """The issuer says so, in the word that RFC 8176 has for it. Which others mean as much is
        for the issuer to know: a password and a code by mail are two methods, and one factor."""
        methods = self.claims.get("amr")
        return isinstance(methods, list) and MFA in methods

    def groups(self, claim: str | None) -> frozenset[str]:
        listed = self.claims.get(claim) if claim is not None else None
        found = [listed] if isinstance(listed, str) else listed
        return (
            frozenset(g for g in found if isinstance(g, str))
            if isinstance(found, list)
            else frozenset()
        )


class _Registry(jws.JWSRegistry):
    """`EdDSA` is what issuers still call Ed25519 (RFC 9864)."""

    def get_alg(self, name: str) -> Any:
        return super().get_alg("Ed25519" if name == "EdDSA" else name)


_REGISTRY = _Registry(algorithms=["RS256", "ES256", "Ed25519"], strict_check_header=False)


def header_of(token: str) -> Header:
    """Which key it claims to be signed with, and how.

    Raises:
        TokenRefused: it is none that we would look at.
    """
    if len(token) > _LONGEST or _SHAPE.fullmatch(token) is None:
        raise TokenRefused("it is no token")
    try:
        header = jws.extract_compact(token.encode(), registry=_REGISTRY).headers()
    except (JoseError, ValueError, RecursionError) as broken:
        raise TokenRefused(f"its header: {broken}") from None
    alg, kid, kind = header.get("alg"), header.get("kid"), header.get("typ")
    if not isinstance(alg, str) or alg not in _KEYS or not isinstance(kid, str):
        raise TokenRefused("its algorithm or key id")
    if (kind.lower() if isinstance(kind, str) else kind) not in _TYPES:
        raise TokenRefused("its type")
    return Header(alg, kid)


def verify(
    token: str,
    header: Header,
    key: Mapping[str, Any],
    *,
    issuer: str,
    client_id: str,
    nonce: str,
    now: datetime,
) -> Vouched:
    """Raises:
    TokenRefused: it is not the issuer's, not for us, not for this sign-in, or not of now.
    """
    claims = _signed(token, header, key)
    audience = claims.get("aud")
    audiences = [audience] if isinstance(audience, str) else audience
    if not isinstance(audiences, list) or client_id not in audiences:
        raise TokenRefused("its audience")
    presenter = claims.get("azp")
    if presenter != client_id and (presenter is not None or len(audiences) > 1):
        raise TokenRefused("its authorized party")
    if claims.get("iss") != issuer:
        raise TokenRefused("its issuer")
    sent = claims.get("nonce")
    if not isinstance(sent, str) or not hmac.compare_digest(sent.encode(), nonce.encode()):
        raise TokenRefused("its nonce")
    _check_time(claims, now)
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject) <= _LONGEST_SUBJECT:
        raise TokenRefused("its subject")
    if not subject.isascii() or not subject.isprintable():
        raise TokenRefused("its subject")
    email = _verified_email(claims)
    return Vouched(subject, email, _name(claims, email), claims)


def _signed(token: str, header: Header, key: Mapping[str, Any]) -> dict[str, Any]:
    wanted = {**_KEYS[header.alg], "kid": header.kid}
    if any(key.get(name) != value for name, value in wanted.items()):
        raise TokenRefused("its key is for something else")
    if key.get("use", "sig") != "sig" or key.get("alg", header.alg) not in {
        header.alg,
        *_same(header),
    }:
        raise TokenRefused("its key is for something else")
    if key["kty"] == "RSA" and len(str(key.get("n", ""))) < _LEAST_RSA:
        raise TokenRefused("its key is too short")
    public = {name: key[name] for name in ("kty", "crv", "n", "e", "x", "y") if name in key}
    try:
        signed = jws.deserialize_compact(token, import_key(public), registry=_REGISTRY)
        claims = msgspec.json.decode(signed.payload or b"")
    except (JoseError, ValueError, TypeError, msgspec.MsgspecError, RecursionError) as broken:
        raise TokenRefused(f"its signature or content: {broken}") from None
    if not isinstance(claims, dict):
        raise TokenRefused("its content")
    return claims


def _same(header: Header) -> frozenset[str]:
    return frozenset({"EdDSA", "Ed25519"}) if header.alg in {"EdDSA", "Ed25519"} else frozenset()


def _check_time(claims: Mapping[str, Any], now: datetime) -> None:
    moment, leeway = now.timestamp(), LEEWAY.total_seconds()
    times = [claims.get(name, claims.get("iat")) for name in ("exp", "iat", "nbf")]
    if any(isinstance(t, bool) or not isinstance(t, int | float) for t in times):
        raise TokenRefused("its times")
    expires, issued, begins = (float(t or 0) for t in times)
    if "exp" not in claims or moment >= expires + leeway:
        raise TokenRefused("it is too old")
    if moment < max(issued, begins) - leeway or moment > issued + (OLDEST + LEEWAY).total_seconds():
        raise TokenRefused("it is not of now")


def _verified_email(claims: Mapping[str, Any]) -> str | None:
    """Entra says `xms_edov` where others say `email_verified`."""
    email = claims.get("email")
    verified = claims.get("email_verified") is True or (
        "email_verified" not in claims and claims.get("xms_edov") in (True, "1", "true")
    )
    if not verified or not isinstance(email, str):
        return None
    try:
        return emails.address(email)
    except EmailInvalid:
        return None


def _name(claims: Mapping[str, Any], email: str | None) -> str:
    name = claims.get("name")
    if isinstance(name, str):
        shown = "".join(c for c in name if unicodedata.category(c) not in {"Cc", "Cs"}).strip()
        if shown:
            return shown[:_LONGEST_NAME].strip()
    return email.partition("@")[0][:_LONGEST_NAME] if email else "Somebody"
