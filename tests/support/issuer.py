"""An OpenID Connect issuer of our own, which speaks the real protocol over loopback HTTP and can
be told to misbehave.

It has an address of its own on loopback, so that a server may be allowed to call it and nothing
else there.
"""

import base64
import json
import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote_plus, urlencode, urlsplit

from joserfc import jws
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey

from maestro_ml.core.clock import Clock, utc_now
from support.leaks import secret

HOST = "127.0.0.2"
CLIENT, SECRET = "maestro & co", secret("not/so:secret")
Claims = dict[str, Any]
Forge = Callable[["Issuer", dict[str, Any], Claims], str]


def a_key(alg: str) -> Key:
    if alg == "RS256":
        return RSAKey.generate_key(2048)
    return ECKey.generate_key("P-256") if alg == "ES256" else OKPKey.generate_key("Ed25519")


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@dataclass
class Asked:
    """What one browser came with."""

    nonce: str
    challenge: str
    redirect_uri: str
    claims: Claims


@dataclass
class Issuer:
    """Whoever comes to it is `person`, at once and without a password."""

    url: str = ""
    alg: str = "ES256"
    clock: Clock = utc_now
    person: Claims = field(default_factory=dict)
    document: dict[str, Any] = field(default_factory=dict)  # in place of what is so
    forge: Forge | None = None  # makes the ID token in place of the issuer
    extra: Claims = field(default_factory=dict)  # in every token's claims; None takes one out
    asked: dict[str, Asked] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    called: threading.Event = field(default_factory=threading.Event)
    keys: dict[str, Key] = field(default_factory=dict)
    answers: Callable[[BaseHTTPRequestHandler], bool] = lambda _: False  # True: it has answered

    def __post_init__(self) -> None:
        self.rotate()

    def rotate(self) -> str:
        """Sign with a new key, and forget the others."""
        kid = secrets.token_hex(4)
        self.keys = {kid: a_key(self.alg)}
        return kid

    @property
    def kid(self) -> str:
        return next(iter(self.keys))

    def sign(self, header: dict[str, Any], claims: Claims, key: Key | None = None) -> str:
        key = key or self.keys[self.kid]
        registry = jws.JWSRegistry(algorithms=["RS256", "ES256", "Ed25519", "HS256"])
        return jws.serialize_compact(header, json.dumps(claims), key, registry=registry)

    def discovery(self) -> dict[str, Any]:
        return {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "jwks_uri": f"{self.url}/keys",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": [self.alg],
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": True,
        } | self.document

    def jwks(self) -> dict[str, Any]:
        return {
            "keys": [
                {**key.as_dict(private=False), "kid": kid, "use": "sig", "alg": self.alg}
                for kid, key in self.keys.items()
            ]
        }

    def authorize(self, query: dict[str, str]) -> str:
        """Where the browser is sent back to."""
        assert query["response_type"] == "code"
        assert query["client_id"] == CLIENT
        assert query["code_challenge_method"] == "S256"
        assert "openid" in query["scope"].split()
        code = secrets.token_urlsafe(16)
        self.asked[code] = Asked(
            query["nonce"], query["code_challenge"], query["redirect_uri"], dict(self.person)
        )
        back = urlencode({"code": code, "state": query["state"], "iss": self.url})
        return f"{query['redirect_uri']}?{back}"

    def token(self, form: dict[str, str], authorization: str) -> dict[str, Any] | None:
        """None: refused, as a real one would."""
        pair = base64.b64decode(authorization.removeprefix("Basic ")).decode().split(":")
        asked = self.asked.pop(form["code"], None)
        if [unquote_plus(part) for part in pair] != [CLIENT, SECRET] or asked is None:
            return None
        made = b64(sha256(form["code_verifier"].encode()).digest())
        if made != asked.challenge or form["redirect_uri"] != asked.redirect_uri:
            return None
        now = int(self.clock().timestamp())
        claims = {"iss": self.url, "aud": CLIENT, "iat": now, "exp": now + 300}
        claims |= {"nonce": asked.nonce} | asked.claims | self.extra
        claims = {name: value for name, value in claims.items() if value is not None}
        header = {"alg": self.alg, "kid": self.kid, "typ": "JWT"}
        made_by = self.forge or Issuer.sign
        return {
            "token_type": "Bearer",
            "access_token": "x",
            "id_token": made_by(self, header, claims),
        }


def a_person(**claims: Any) -> Claims:
    """Somebody new, with a verified address at sso.test."""
    name = secrets.token_hex(6)
    return {
        "sub": name,
        "email": f"{name}@sso.test",
        "email_verified": True,
        "name": "Some One",
    } | claims


@contextmanager
def an_issuer(clock: Clock = utc_now, **options: Any) -> Iterator[Issuer]:
    issuer = Issuer(clock=clock, **options)

    class Door(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            at = urlsplit(self.path)
            issuer.requests.append(at.path)
            issuer.called.set()
            if issuer.answers(self):
                return
            query = {name: values[0] for name, values in parse_qs(at.query).items()}
            match at.path:
                case "/.well-known/openid-configuration":
                    self.give(issuer.discovery())
                case "/keys":
                    self.give(issuer.jwks())
                case "/authorize":
                    self.send_response(303)
                    self.send_header("Location", issuer.authorize(query))
                    self.end_headers()
                case _:
                    self.send_error(404)

        def do_POST(self) -> None:
            issuer.requests.append(self.path)
            if issuer.answers(self):
                return
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            form = {name: values[0] for name, values in parse_qs(body).items()}
            found = issuer.token(form, self.headers.get("Authorization", ""))
            self.give(found or {"error": "invalid_grant"}, 200 if found else 400)

        def give(self, what: Any, status: int = 200) -> None:
            body = json.dumps(what).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            return

    server = ThreadingHTTPServer((HOST, 0), Door)
    issuer.url = f"http://{HOST}:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield issuer
    finally:
        server.shutdown()
        server.server_close()
        thread.join(30)
