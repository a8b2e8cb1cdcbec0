"""What the server knows of the OpenID Connect issuers that tenants name, and asks of them."""

import base64
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote_plus

import structlog

from maestro_ml.core.clock import Clock
from maestro_ml.outbound.addresses import target_of
from maestro_ml.outbound.client import Outbound
from maestro_ml.outbound.errors import AddressRefused, OutboundFailed

log = structlog.get_logger()
KEPT = timedelta(hours=1)
REFETCH_AFTER = timedelta(seconds=10)
_MOST = 256
_WELL_KNOWN = "/.well-known/openid-configuration"


class IssuerFailed(Exception):
    """It does not answer, or not as OpenID Connect asks it to; the text is for an admin."""


@dataclass(frozen=True, slots=True)
class Metadata:
    """What counts of a discovery document."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    takes_basic: bool
    names_itself: bool  # it says who it is on the way back, too (RFC 9207)


@dataclass(frozen=True, slots=True)
class Client:
    """Who we are to an issuer."""

    id: str
    secret: str | None
    redirect_uri: str


Keys = Mapping[str, Mapping[str, Any]]


class Issuers:
    """Remembers discovery documents and keys for an hour; keys are asked for anew when a token
    names one that is not among them, at most once in ten seconds."""

    def __init__(self, outbound: Outbound, clock: Clock) -> None:
        self._outbound = outbound
        self._clock = clock
        self._metadata: OrderedDict[str, tuple[datetime, Metadata]] = OrderedDict()
        self._keys: OrderedDict[str, tuple[datetime, Keys]] = OrderedDict()

    async def metadata(self, issuer: str, *, fresh: bool = False) -> Metadata:
        """Raises:
        IssuerFailed: there is no discovery document, or it is another issuer's.
        """
        found = self._metadata.get(issuer)
        if found is not None and not fresh and self._clock() - found[0] < KEPT:
            return found[1]
        document = await self._document(f"{issuer.rstrip('/')}{_WELL_KNOWN}", "discovery document")
        metadata = _metadata(issuer, document)
        _keep(self._metadata, issuer, (self._clock(), metadata))
        return metadata

    async def keys(self, metadata: Metadata, *, fresh: bool = False) -> Keys:
        """The issuer's public keys by their id.

        Raises:
            IssuerFailed: it does not show them.
        """
        now = self._clock()
        found = self._keys.get(metadata.jwks_uri)
        if found is not None and now - found[0] < (REFETCH_AFTER if fresh else KEPT):
            return found[1]
        document = await self._document(metadata.jwks_uri, "list of keys")
        listed = document.get("keys")
        if not isinstance(listed, list):
            raise IssuerFailed("Its list of keys has no `keys`.")
        keys = {
            key["kid"]: key
            for key in listed
            if isinstance(key, dict) and isinstance(key.get("kid"), str)
        }
        _keep(self._keys, metadata.jwks_uri, (now, keys))
        return keys

    async def exchange(self, metadata: Metadata, client: Client, code: str, verifier: str) -> str:
        """The ID token that the issuer gives for a code, unchecked.

        Raises:
            IssuerFailed: it gives none.
        """
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": client.redirect_uri,
            "code_verifier": verifier,
        }
        headers: dict[str, str] = {}
        if client.secret is None or not metadata.takes_basic:
            form["client_id"] = client.id
            if client.secret is not None:
                form["client_secret"] = client.secret
        else:
            pair = f"{quote_plus(client.id)}:{quote_plus(client.secret)}"
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        try:
            answer = await self._outbound.post_form(metadata.token_endpoint, form, headers)
            token = answer.json().get("id_token") if answer.status == 200 else None
        except (AddressRefused, OutboundFailed) as failed:
            raise IssuerFailed(f"Its token endpoint: {failed.detail}") from None
        if not isinstance(token, str):
            raise IssuerFailed(f"It gave no ID token for the code (HTTP status {answer.status}).")
        return token

    async def _document(self, url: str, what: str) -> dict[str, Any]:
        try:
            answer = await self._outbound.get(url)
            document = answer.json()
        except (AddressRefused, OutboundFailed) as failed:
            raise IssuerFailed(f"Its {what}: {failed.detail}") from None
        if answer.status != 200:
            raise IssuerFailed(f"Its {what}: {OutboundFailed().detail}")
        return document


def _metadata(issuer: str, document: Mapping[str, Any]) -> Metadata:
    if document.get("issuer") != issuer:
        raise IssuerFailed(
            "Its discovery document names another issuer: enter the issuer exactly as it is there."
        )
    challenges = document.get("code_challenge_methods_supported", ["S256"])
    if not isinstance(challenges, list) or "S256" not in challenges:
        raise IssuerFailed("It does not take PKCE with S256.")
    methods = document.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
    return Metadata(
        issuer=issuer,
        authorization_endpoint=_address(issuer, document, "authorization_endpoint"),
        token_endpoint=_address(issuer, document, "token_endpoint"),
        jwks_uri=_address(issuer, document, "jwks_uri"),
        takes_basic=isinstance(methods, list) and "client_secret_basic" in methods,
        names_itself=document.get("authorization_response_iss_parameter_supported") is True,
    )


def _address(issuer: str, document: Mapping[str, Any], name: str) -> str:
    """As safe as the issuer's own: never from https down to http."""
    found = document.get(name)
    try:
        target = target_of(found if isinstance(found, str) else "")
    except AddressRefused:
        raise IssuerFailed(f"Its discovery document has no proper `{name}`.") from None
    if target.scheme != "https" and issuer.startswith("https:"):
        raise IssuerFailed(f"The `{name}` of its discovery document is not encrypted.")
    return str(found)


def _keep(cache: "OrderedDict[str, Any]", name: str, value: object) -> None:
    cache[name] = value
    cache.move_to_end(name)
    if len(cache) > _MOST:
        cache.popitem(last=False)
