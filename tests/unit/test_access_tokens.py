"""Access tokens: which are read at all, and which of those are believed."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from joserfc.jwk import OKPKey

from maestro_ml.identity.keys import Claims, KeyRing, UnknownKey, new_key
from maestro_ml.identity.models import KeyState, SigningKey
from maestro_ml.identity.secret import Secret
from support import forgery

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
SECRET = Secret(b"a secret key of 32 bytes or more")
USER, SESSION, TENANT = uuid4(), uuid4(), uuid4()


@pytest.fixture(scope="module")
def row() -> SigningKey:
    return new_key(SECRET, KeyState.ACTIVE, NOW)


@pytest.fixture
def ring(row: SigningKey) -> KeyRing:
    ring = KeyRing(SECRET)
    ring.take([row])
    return ring


@pytest.fixture
def token(ring: KeyRing, row: SigningKey) -> str:
    return issued(ring, row)


def issued(ring: KeyRing, row: SigningKey, tenant: UUID | None = TENANT) -> str:
    return ring.issue(row.kid, user=USER, session=SESSION, tenant=tenant, now=NOW)


def read(ring: KeyRing, token: str, now: datetime = NOW) -> Claims | None:
    try:
        return ring.verify(token, now)
    except UnknownKey:
        return None


def our_key(row: SigningKey) -> OKPKey:
    return OKPKey.import_key(SECRET.unseal(row.private_sealed, row.kid))


def test_a_token_points_to_a_session_and_says_nothing_of_rights(ring: KeyRing, token: str) -> None:
    header, claims, _ = forgery.unpack(token)
    assert list(header) == ["alg", "typ", "kid"]
    assert (header["alg"], header["typ"]) == ("Ed25519", "at+jwt")
    assert set(claims) == {"iss", "aud", "sub", "sid", "jti", "tid", "iat", "nbf", "exp"}
    assert claims["exp"] - claims["iat"] == 900
    found = read(ring, token)
    assert found is not None
    assert (found.sub, found.sid, found.tid) == (USER, SESSION, TENANT)


def test_a_caller_without_a_tenant_has_a_token_too(ring: KeyRing, row: SigningKey) -> None:
    found = read(ring, issued(ring, row, tenant=None))
    assert found is not None
    assert found.tid is None


def test_the_control_of_the_forger_is_believed(ring: KeyRing, row: SigningKey, token: str) -> None:
    """So that the refusals below are for the change and not for the forger's spelling."""
    header, claims, _ = forgery.unpack(token)
    assert read(ring, forgery.signed(header, claims, our_key(row))) is not None


@pytest.mark.parametrize(
    "forge",
    [
        forgery.without_signature,
        forgery.changed,
        forgery.own_keys,
        forgery.named_keys,
        forgery.extended,
        forgery.misshapen,
    ],
)
def test_a_forged_token_is_refused(
    ring: KeyRing, token: str, forge: Callable[[str], Iterator[str]]
) -> None:
    assert read(ring, token) is not None
    forged = list(forge(token))
    assert len(forged) >= 8
    assert [text for text in forged if read(ring, text) is not None] == []


def test_the_public_key_is_no_shared_secret(ring: KeyRing, row: SigningKey, token: str) -> None:
    forged = list(forgery.confused(token, row.public_jwk))
    assert len(forged) >= 8
    assert [text for text in forged if read(ring, text) is not None] == []


def test_even_our_own_key_makes_no_other_header_true(
    ring: KeyRing, row: SigningKey, token: str
) -> None:
    forged = list(forgery.extended(token, our_key(row)))
    assert [text for text in forged if read(ring, text) is not None] == []


def test_even_our_own_key_makes_no_wrong_claim_true(
    ring: KeyRing, row: SigningKey, token: str
) -> None:
    header, claims, _ = forgery.unpack(token)
    key = our_key(row)
    for wrong in forgery.mistimed(claims, int(NOW.timestamp())):
        assert read(ring, forgery.signed(header, wrong, key)) is None, wrong


def test_a_token_of_another_installation_is_a_stranger(token: str) -> None:
    theirs = Secret(b"another secret key, also 32 bytes")
    row = new_key(theirs, KeyState.ACTIVE, NOW)
    ring = KeyRing(theirs)
    ring.take([row])
    assert read(ring, token) is None
    header, claims, _ = forgery.unpack(token)
    key = OKPKey.import_key(theirs.unseal(row.private_sealed, row.kid))
    assert read(ring, forgery.signed(header | {"kid": row.kid}, claims, key)) is None


def test_time_is_asked_of_a_remembered_token_too(ring: KeyRing, token: str) -> None:
    assert read(ring, token) is not None
    assert read(ring, token, NOW + timedelta(minutes=15, seconds=4)) is not None
    assert read(ring, token, NOW + timedelta(minutes=15, seconds=5)) is None
    assert read(ring, token, NOW - timedelta(seconds=6)) is None
    assert read(ring, token, NOW - timedelta(seconds=4)) is not None


def test_a_signature_is_verified_once_and_its_neighbour_again(ring: KeyRing, token: str) -> None:
    for _ in range(5):
        assert read(ring, token) is not None
    assert ring.verified == 1
    assert read(ring, token[:-1] + ("A" if token[-1] != "A" else "Q")) is None
    assert ring.verified == 2


def test_only_so_many_tokens_are_remembered(
    ring: KeyRing, row: SigningKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("maestro_ml.identity.keys._REMEMBERED", 3)
    first, *others = [issued(ring, row) for _ in range(4)]
    for token in (first, *others, first):
        assert read(ring, token) is not None
    assert ring.verified == 5


def test_a_retired_key_counts_until_its_time_and_never_after(
    ring: KeyRing, row: SigningKey, token: str
) -> None:
    assert read(ring, token) is not None
    retired = SigningKey(
        kid=row.kid,
        alg=row.alg,
        public_jwk=row.public_jwk,
        private_sealed=row.private_sealed,
        state=KeyState.RETIRED,
        created_at=NOW,
        retires_at=NOW + timedelta(minutes=1),
    )
    after = new_key(SECRET, KeyState.ACTIVE, NOW)
    ring.take([retired, after])
    assert read(ring, token, NOW + timedelta(seconds=59)) is not None
    assert read(ring, token, NOW + timedelta(seconds=60)) is None
    kids = [key["kid"] for key in ring.jwks(NOW)["keys"]]
    assert kids == [after.kid, row.kid]
    assert [key["kid"] for key in ring.jwks(NOW + timedelta(minutes=2))["keys"]] == [after.kid]


def test_a_key_that_is_gone_takes_its_remembered_tokens_along(ring: KeyRing, token: str) -> None:
    assert read(ring, token) is not None
    ring.take([new_key(SECRET, KeyState.ACTIVE, NOW)])
    with pytest.raises(UnknownKey):
        ring.verify(token, NOW)


def test_a_header_that_we_never_write_asks_for_no_key(ring: KeyRing, token: str) -> None:
    for forged in forgery.named_keys(token):
        assert ring.verify(forged, NOW) is None


def test_what_is_published_is_public(ring: KeyRing) -> None:
    (key,) = ring.jwks(NOW)["keys"]
    assert set(key) == {"kty", "crv", "x", "kid", "alg", "use"}
    assert (key["kty"], key["crv"], key["alg"], key["use"]) == ("OKP", "Ed25519", "Ed25519", "sig")


def test_the_next_key_is_known_and_not_published(ring: KeyRing, row: SigningKey) -> None:
    coming = new_key(SECRET, KeyState.NEXT, NOW)
    ring.take([row, coming])
    assert [key["kid"] for key in ring.jwks(NOW)["keys"]] == [row.kid]
    assert read(ring, issued(ring, coming)) is not None
