"""Row 76: an ID token that is not the issuer's own word, for us, of now, opens nothing."""

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from joserfc.jwk import OctKey, RSAKey

from maestro_ml.core.clock import utc_now
from support.issuer import CLIENT, SECRET, Claims, Forge, Issuer, a_key, a_person, an_issuer, b64
from support.live import Cast
from support.sso import SESSION, Browser, code_of, registered

REFUSED = (401, "single-sign-on-refused")
Head = dict[str, Any]


def forged(header: Head | None = None, /, **claims: Any) -> Forge:
    """The issuer's own signature over other words."""

    def make(issuer: Issuer, head: Head, honest: Claims) -> str:
        body = {k: v for k, v in (honest | claims).items() if v is not None}
        return issuer.sign(head | (header or {}), body)

    return make


def unsigned(alg: str) -> Forge:
    def make(issuer: Issuer, head: Head, claims: Claims) -> str:
        parts = [b64(json.dumps(part).encode()) for part in (head | {"alg": alg}, claims)]
        return ".".join([*parts, ""])

    return make


def with_secret(secret: Callable[[Issuer], bytes]) -> Forge:
    def make(issuer: Issuer, head: Head, claims: Claims) -> str:
        key = OctKey.import_key(secret(issuer))
        return issuer.sign(head | {"alg": "HS256"}, claims, key)

    return make


def with_own_key(**header: Any) -> Forge:
    def make(issuer: Issuer, head: Head, claims: Claims) -> str:
        key = a_key("RS256")
        public = key.as_dict(private=False)
        return issuer.sign(head | (header or {"jwk": public}), claims, key)

    return make


def spoiled(change: Callable[[str], str]) -> Forge:
    return lambda issuer, head, claims: change(issuer.sign(head, claims))


def _other_payload(token: str) -> str:
    head, body, signature = token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "==")) | {"sub": "admin"}
    return f"{head}.{b64(json.dumps(claims).encode())}.{signature}"


def _pem(issuer: Issuer) -> bytes:
    key = issuer.keys[issuer.kid]
    assert isinstance(key, RSAKey)
    pem: bytes = key.as_pem(private=False)
    return pem


NOW = int(utc_now().timestamp())
FORGERIES: dict[str, Forge] = {
    **{f"alg {alg}": unsigned(alg) for alg in ("none", "None", "NONE", "")},
    "HS256 with the client secret": with_secret(lambda _: SECRET.encode()),
    "HS256 with the public key": with_secret(_pem),
    "another RSA": unsigned("RS384"),
    "own key in the header": with_own_key(),
    "own key under the issuer's id": with_own_key(x="y"),
    "own key by an address": with_own_key(jku="http://127.0.0.1:1/keys", kid="mine"),
    "no key id": forged({"kid": None}),
    "key id of a path": forged({"kid": "../../keys"}),
    "critical header": lambda issuer, head, claims: ".".join(
        [
            b64(json.dumps(head | {"crit": ["x"], "x": 1}).encode()),
            *issuer.sign(head, claims).split(".")[1:],
        ]
    ),
    "other payload": spoiled(_other_payload),
    "no signature": spoiled(lambda token: token.rpartition(".")[0] + "."),
    "padded signature": spoiled(lambda token: token + "="),
    "cut signature": spoiled(lambda token: token[:-4]),
    "two tokens": spoiled(lambda token: f"{token}.{token}"),
    "no token": spoiled(lambda _: "x"),
    "an access token": forged({"typ": "at+jwt"}),
    "a logout token": forged({"typ": "logout+jwt"}),
    "audience of another": forged(aud="somebody else"),
    "no audience": forged(aud=None),
    "audience of many": forged(aud=[CLIENT, "somebody else"]),
    "audience of many, for another": forged(aud=[CLIENT, "other"], azp="other"),
    "authorized party of another": forged(azp="other"),
    "audience of the wrong kind": forged(aud={"client": CLIENT}),
    "another issuer": forged(iss="https://evil.test"),
    "issuer with a slash more": lambda i, h, c: i.sign(h, c | {"iss": i.url + "/"}),
    "no issuer": forged(iss=None),
    "another nonce": forged(nonce="x"),
    "no nonce": forged(nonce=None),
    "nonce of the wrong kind": forged(nonce=["x"]),
    "expired": forged(exp=NOW - 3600, iat=NOW - 4000),
    "no expiry": forged(exp=None),
    "expiry of the wrong kind": forged(exp="9999999999"),
    "expiry true": forged(exp=True),
    "issued in the future": forged(iat=NOW + 3600, exp=NOW + 7200),
    "issued long ago": forged(iat=NOW - 7200, exp=NOW + 7200),
    "no time of issue": forged(iat=None),
    "not yet valid": forged(nbf=NOW + 3600),
    "no subject": forged(sub=None),
    "empty subject": forged(sub=""),
    "subject of the wrong kind": forged(sub={"$ne": ""}),
    "long subject": forged(sub="x" * 256),
    "subject with NUL": forged(sub="x\x00"),
    "a lone surrogate": forged(name="\ud800"),
}


@pytest.mark.rows(76)
@pytest.mark.parametrize("what", FORGERIES)
async def test_a_token_that_is_not_the_truth(
    browser: Browser, issuer: Issuer, start: str, what: str
) -> None:
    issuer.forge = FORGERIES[what]
    assert code_of(await browser.sign_in(start)) == REFUSED
    assert SESSION not in browser.cookies
    issuer.forge = None
    assert (await browser.sign_in(start)).status_code == 303  # the same person, honestly


@pytest.mark.rows(76)
@pytest.mark.parametrize(
    "key",
    [
        {"use": "enc"},
        {"alg": "ES256"},
        {"kty": "oct", "k": b64(b"x" * 32)},
        {"n": b64(b"x" * 128)},
        {"kid": "another"},
    ],
    ids=str,
)
async def test_a_key_that_is_for_something_else(
    cast: Cast, browser: Browser, key: dict[str, Any]
) -> None:
    with an_issuer(alg="RS256") as issuer:
        honest = issuer.jwks
        issuer.jwks = lambda: {"keys": [honest()["keys"][0] | key]}  # type: ignore[method-assign]
        issuer.person = a_person()
        assert code_of(await browser.sign_in(registered(cast, issuer))) == REFUSED


@pytest.mark.parametrize("claims", [{"aud": [CLIENT]}, {"aud": [CLIENT, "b"], "azp": CLIENT}])
async def test_what_the_standard_allows(
    browser: Browser, issuer: Issuer, start: str, claims: Claims
) -> None:
    issuer.extra = claims
    assert (await browser.sign_in(start)).status_code == 303
