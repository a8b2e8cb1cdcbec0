"""Group B: a token that somebody else made, changed, or uses for another purpose, is nobody's."""

import secrets
import socket
import time
from collections.abc import Iterable
from pathlib import Path
from uuid import UUID, uuid4

import httpx2
import pytest
from joserfc.jwk import OKPKey

from maestro_ml.core.clock import utc_now
from maestro_ml.core.settings import Settings
from maestro_ml.db.work import Sessions, open_system_work
from maestro_ml.identity import tokens
from maestro_ml.identity.keys import KeyRing, new_key
from maestro_ml.identity.models import KeyState
from maestro_ml.identity.secret import Secret, load_secret
from maestro_ml.identity.service import signing_keys
from support import forgery
from support.issuer import Issuer
from support.live import Cast, LiveServer, a_name, ok
from support.proof import record, scale
from support.sources import FromEverywhere
from support.starts import is_one_sentence, refused

WEAK_STARTS = ("secret", "changeme-changeme-changeme-changeme", "your-secret-key", "changeme", "")


def all_refused(cast: Cast, forged: Iterable[str], statuses: frozenset[int] = frozenset()) -> int:
    """How many there were; the good one that they were made of still opens."""
    count = 0
    with httpx2.Client(base_url=cast.url, timeout=30, transport=FromEverywhere(50)) as http:
        for token in forged:
            answer = http.get("/api/v1/auth/me", headers={"Authorization": f"Bearer {token}"})
            assert answer.status_code in statuses | {401}, (token, answer.text)
            count += 1
        good = http.get("/api/v1/auth/me", headers=cast["adminA"].bearer)
        assert good.status_code == 200
    record("forged tokens sent", count)
    return count


@pytest.mark.rows(23)
def test_no_algorithm_of_the_callers_choice(cast: Cast) -> None:
    assert all_refused(cast, forgery.without_signature(cast["adminA"].token)) > 15


@pytest.mark.rows(24)
def test_no_changed_payload_and_no_changed_signature(cast: Cast) -> None:
    for name in ("adminA", "viewerA"):
        assert all_refused(cast, forgery.changed(cast[name].token)) > 25


@pytest.mark.rows(25, 31)
def test_no_public_key_and_no_well_known_word_is_a_secret(cast: Cast) -> None:
    keys = httpx2.get(f"{cast.url}/.well-known/jwks.json").json()["keys"]
    for public in keys:
        assert all_refused(cast, forgery.confused(cast["adminA"].token, public)) >= 10


@pytest.mark.rows(26)
def test_no_key_that_the_token_brings_and_none_is_fetched(cast: Cast) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        assert all_refused(cast, forgery.own_keys(cast["adminA"].token, url)) >= 8
        time.sleep(scale(1, 10))
        with pytest.raises(BlockingIOError):
            listener.accept()


@pytest.mark.rows(27)
def test_no_strange_key_id(cast: Cast) -> None:
    """That unknown ones have the keys read once, `tests/api/test_auth_credentials` counts."""
    good = cast["adminA"].token
    head, claims, signature = forgery.unpack(good)
    assert all_refused(cast, (t for t in forgery.named_keys(good))) > 8

    def named(kid: str) -> str:
        return f"{forgery.part(head | {'kid': kid})}.{forgery.part(claims)}.{signature}"

    unknown = scale(100, 1000)
    all_refused(cast, (named(str(uuid4())) for _ in range(unknown)))
    all_refused(cast, (named(secrets.token_hex(8)) for _ in range(unknown)))
    all_refused(cast, [named("x" * 2**16)], frozenset({400, 431}))


@pytest.fixture
async def own(live: LiveServer, truth: Sessions) -> OKPKey:
    """The key that the server signs with, as whoever stole its folder has it."""
    secret = load_secret(Settings(data=live.data))
    async with open_system_work(truth, read_only=True) as work:
        row = await signing_keys.active(work)
    return OKPKey.import_key(secret.unseal(row.private_sealed, row.kid))


@pytest.mark.rows(28)
def test_no_strange_header_and_no_strange_form(cast: Cast, own: OKPKey) -> None:
    good = cast["adminA"].token
    assert all_refused(cast, forgery.extended(good, own)) > 15
    shapes = [token for token in forgery.misshapen(good) if token.strip() == token]
    assert all_refused(cast, shapes) > 12
    header, _, _ = forgery.unpack(good)
    inside = forgery.signed(header | {"cty": "JWT"}, good, own)
    assert all_refused(cast, [inside, forgery.signed(header, good, own)]) == 2


@pytest.mark.rows(29)
def test_the_servers_own_key_vouches_for_no_wrong_claim(cast: Cast, own: OKPKey) -> None:
    header, claims, _ = forgery.unpack(cast["adminA"].token)
    right = httpx2.get(
        f"{cast.url}/api/v1/auth/me",
        headers={"Authorization": f"Bearer {forgery.signed(header, claims, own)}"},
    )
    assert right.status_code == 200  # so that only the claim is wrong with the others
    now = int(utc_now().timestamp())
    wrong = [forgery.signed(header, lie, own) for lie in forgery.mistimed(claims, now)]
    wrong += [forgery.signed(header | {"typ": typ}, claims, own) for typ in ("JWT", "rt+jwt")]
    assert all_refused(cast, (token for token in wrong if len(token) < 60_000)) > 25


@pytest.mark.rows(30)
def test_one_kind_of_token_is_never_another(cast: Cast, issuer: Issuer) -> None:
    person = cast.somebody()
    with cast.client("adminA") as admin:
        key = ok(admin.post("/api-keys", json={"name": a_name()}))["secret"]
        offer = {"email": f"{secrets.token_hex(6)}@a.test", "role": "viewer"}
        invitation = ok(admin.post("/users/invitations", json=offer))["token"]
    header, claims, _ = forgery.unpack(person.token)
    vouched = {"alg": issuer.alg, "kid": issuer.kid, "typ": "JWT"}
    kinds = (tokens.REFRESH, tokens.SETUP, tokens.LINK, tokens.MFA, tokens.DEVICE, tokens.STATE)
    bearers = [
        person.refresh,
        invitation,
        *(tokens.mint(kind) for kind in (*kinds, tokens.COOKIE)),
        issuer.sign(vouched, claims),
        issuer.sign(vouched, {"iss": issuer.url, "sub": "x", "aud": "maestro", "exp": 2**33}),
    ]
    assert all_refused(cast, bearers) == len(bearers)
    with cast.client() as nobody:
        refreshing = (person.token, key, invitation, *(tokens.mint(kind) for kind in kinds))
        for token in (*refreshing, "", "mlr_" + "x" * 49):
            answer = nobody.post("/auth/refresh", json={"refresh_token": token})
            assert answer.status_code in {401, 422}, token
    assert header["typ"] == "at+jwt"


@pytest.mark.rows(30)
def test_a_token_of_another_installation_is_a_strangers(cast: Cast) -> None:
    _, claims, _ = forgery.unpack(cast["adminA"].token)
    elsewhere, now = Secret(secrets.token_bytes(32)), utc_now()
    ring, key = KeyRing(elsewhere), new_key(elsewhere, KeyState.ACTIVE, now)
    ring.learn(key)
    user, session, tenant = (UUID(claims[name]) for name in ("sub", "sid", "tid"))
    theirs = ring.issue(key.kid, user=user, session=session, tenant=tenant, now=now)
    head, _, _ = forgery.unpack(cast["adminA"].token)
    _, their_claims, signature = forgery.unpack(theirs)
    renamed = f"{forgery.part(head)}.{forgery.part(their_claims)}.{signature}"
    assert all_refused(cast, [theirs, renamed]) == 2


@pytest.mark.rows(31)
@pytest.mark.parametrize("key", WEAK_STARTS[: scale(1, len(WEAK_STARTS))])
def test_no_server_starts_with_a_well_known_key(tmp_path: Path, key: str) -> None:
    code, words = refused("--data", str(tmp_path / "data"), MAESTRO_SECRET_KEY=key)
    assert code != 0
    assert is_one_sentence(words)
    assert "MAESTRO_SECRET_KEY" in words
