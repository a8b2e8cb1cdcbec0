"""Opaque tokens: their shape, their checksum, and what is kept of them."""

import re

import pytest

from maestro_ml.identity import tokens
from maestro_ml.identity.tokens import digest, mint, well_formed

PREFIXES = [tokens.API_KEY, tokens.REFRESH, tokens.INVITATION, tokens.SETUP, tokens.COOKIE]


@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_minted_token_is_well_formed_and_of_its_kind_only(prefix: str) -> None:
    token = mint(prefix)
    assert [kind for kind in PREFIXES if well_formed(token, kind)] == [prefix]
    assert mint(prefix) != token


def test_an_api_key_has_the_shape_that_scanners_look_for() -> None:
    assert re.fullmatch(r"mlp_[0-9A-Za-z]{46}", mint(tokens.API_KEY))


def test_every_single_typing_error_is_seen_without_a_query() -> None:
    token = mint(tokens.API_KEY)
    for at in range(len(token)):
        for other in "aZ0":
            wrong = token[:at] + other + token[at + 1 :]
            assert well_formed(wrong, tokens.API_KEY) == (wrong == token)


@pytest.mark.parametrize(
    "text", ["", "mlp_", "mlp_" + "x" * 46, "mlp_" + "0" * 46, "mlp_" + "é" * 46, "x" * 100_000]
)
def test_what_nobody_minted_is_not_well_formed(text: str) -> None:
    assert not well_formed(text, tokens.API_KEY)


def test_white_space_around_a_token_is_not_part_of_it() -> None:
    token = mint(tokens.REFRESH)
    for wrong in (f"{token}\n", f" {token}", token + "\x00"):
        assert not well_formed(wrong, tokens.REFRESH)


def test_only_the_digest_is_kept() -> None:
    token = mint(tokens.SETUP)
    assert len(digest(token)) == 32
    assert digest(token) == digest(token) != digest(token + "x")
