"""Access tokens that somebody else might make: parts taken apart, changed, and put together."""

import base64
import hmac
import json
from collections.abc import Iterator, Mapping
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from joserfc import jwt
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey

WEAK_SECRETS = (b"secret", b"changeme", b"your-secret-key", b"maestro", b"password", b"")


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def part(value: Any) -> str:
    return b64(json.dumps(value, separators=(",", ":")).encode())


def unpack(token: str) -> tuple[dict[str, Any], dict[str, Any], str]:
    """Header, claims and the signature's text."""
    header, claims, signature = token.split(".")
    return _json(header), _json(claims), signature


def signed(header: Mapping[str, Any], claims: Any, key: Key) -> str:
    """Signed by that key, whatever the header and the claims say; claims may be raw text."""
    body = claims if isinstance(claims, str) else json.dumps(claims, separators=(",", ":"))
    text = f"{part(header)}.{b64(body.encode())}"
    private = key.get_op_key("sign")
    assert isinstance(private, Ed25519PrivateKey)
    return f"{text}.{b64(private.sign(text.encode()))}"


def without_signature(token: str) -> Iterator[str]:
    """An algorithm of the caller's choice, with the old signature and with none."""
    header, claims, signature = unpack(token)
    for algorithm in ("none", "None", "nOnE", "NONE", "", None, ["Ed25519"], "EdDSA", "HS256"):
        for kept in (signature, ""):
            yield f"{part(header | {'alg': algorithm})}.{part(claims)}.{kept}"
    missing = {name: value for name, value in header.items() if name != "alg"}
    yield f"{part(missing)}.{part(claims)}.{signature}"


def changed(token: str) -> Iterator[str]:
    """The payload or the signature changed, one thing at a time."""
    header, claims, signature = unpack(token)
    other = "00000000-0000-7000-8000-0000000000aa"
    flipped = ("B" if signature[0] == "A" else "A") + signature[1:]
    for change in (
        {"role": "admin"},
        {"tid": other},
        {"sub": other},
        {"sid": other},
        {"exp": 9_999_999_999},
        {"scope": "admin"},
    ):
        for kept in (signature, signature[:-4], flipped, ""):
            yield f"{part(header)}.{part(claims | change)}.{kept}"
    head, body, _ = token.split(".")
    spare = signature[:-1] + next(c for c in "ABCD" if c != signature[-1])
    for bad in (flipped, spare, signature[:-4], signature + "=", signature + "A", ""):
        yield f"{head}.{body}.{bad}"


def confused(token: str, public: Mapping[str, Any]) -> Iterator[str]:
    """The public key, in each form it is written in, as a shared secret; and weak secrets."""
    header, claims, _ = unpack(token)
    key = OKPKey.import_key(dict(public))
    raw = base64.urlsafe_b64decode(public["x"] + "==")
    forms = (key.as_pem(private=False), key.as_der(private=False), raw, json.dumps(public).encode())
    for secret in (*forms, *WEAK_SECRETS):
        # By hand: the library refuses to sign with such a secret.
        text = f"{part(header | {'alg': 'HS256'})}.{part(claims)}"
        yield f"{text}.{b64(hmac.digest(secret, text.encode(), 'sha256'))}"


def own_keys(token: str, listener: str = "http://127.0.0.1:9/") -> Iterator[str]:
    """Signed by the forger, who says where to find the key."""
    header, claims, _ = unpack(token)
    own = OKPKey.generate_key("Ed25519")
    public = own.as_dict(private=False)
    for extra in (
        {},
        {"jwk": public},
        {"jku": f"{listener}jwks.json"},
        {"x5u": f"{listener}chain.pem"},
        {"x5c": [b64(own.as_der(private=False))]},
        {"kid": own.thumbprint()},
    ):
        yield signed(header | extra, claims, own)
    yield jwt.encode(header | {"alg": "ES256"}, claims, ECKey.generate_key("P-256"))
    yield jwt.encode(header | {"alg": "RS256"}, claims, RSAKey.generate_key(2048))


def named_keys(token: str) -> Iterator[str]:
    """Keys named to break whoever looks them up."""
    header, claims, signature = unpack(token)
    for kid in (
        "../../../../dev/null",
        "' UNION SELECT 'k'--",
        "|id",
        "x" * 3000,
        ["a"],
        {"a": 1},
        None,
        "\x00",
        "",
    ):
        yield f"{part(header | {'kid': kid})}.{part(claims)}.{signature}"


def extended(token: str, key: Key | None = None) -> Iterator[str]:
    """Headers that change what is read; with our own key they are refused all the same."""
    header, claims, signature = unpack(token)
    for extra in (
        {"crit": ["x"], "x": 1},
        {"crit": ["b64"], "b64": False},
        {"b64": False},
        {"zip": "DEF"},
        {"cty": "JWT"},
        {"typ": "JWT"},
        {"typ": "rt+jwt"},
        {"typ": "application/at+jwt"},
    ):
        if key is not None:
            yield signed(header | extra, claims, key)
        yield f"{part(header | extra)}.{part(claims)}.{signature}"


def misshapen(token: str) -> Iterator[str]:
    """What is no token of three parts, or nests another one."""
    head, body, signature = token.split(".")
    deep = b64(b"[" * 1200 + b"]" * 1200)
    deepest = b64(b"[" * 20_000 + b"]" * 20_000)
    encrypted = part({"alg": "dir", "enc": "A128GCM"})
    yield from (
        f"{head}.{body}",
        f"{token}.{signature}",
        f"{token}.x.y",
        f"{token}.",
        f".{body}.{signature}",
        "..",
        json.dumps({"protected": head, "payload": body, "signature": signature}),
        f"{head}.{deep}.{signature}",
        f"{head}.{deepest}.{signature}",
        f"{deep}.{body}.{signature}",
        f"{encrypted}..{b64(b'i' * 12)}.{body}.{b64(b't' * 16)}",
        f"{head}.{part([1])}.{signature}",
        f"{head}.{b64(token.encode())}.{signature}",
        f"{token} {token}",
        f" {token}",
        f"{token}\x0b",
        "x" * 5000,
    )


def mistimed(claims: Mapping[str, Any], now: int) -> Iterator[Any]:
    """Claims that even our own key does not make true."""
    for wrong in (
        {"exp": now - 60},
        {"exp": "9999999999"},
        {"exp": 1e300},
        {"exp": True},
        {"exp": None},
        {"nbf": now + 600},
        {"iat": now + 600},
        {"iss": "urn:maestro-ml:00000000000000000000000000000000"},
        {"aud": "another-api"},
        {"aud": ["maestro-api"]},
        {"sub": 7},
        {"sub": ""},
        {"sid": None},
        {"role": "admin"},
    ):
        yield dict(claims) | wrong
    for name in claims:
        yield {other: value for other, value in claims.items() if other != name}
    text = json.dumps(dict(claims))
    yield text.replace(str(claims["exp"]), "NaN")
    yield text.replace(str(claims["exp"]), "1e400")
    yield "[" * 5000 + "]" * 5000
    yield "[]"
    yield ""


def _json(segment: str) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(base64.urlsafe_b64decode(segment + "=="))
    return value
