"""Which passwords are taken, and how they are kept."""

import asyncio
import os
import random
import secrets
import string
import sys
import threading
import unicodedata
from pathlib import Path
from typing import Any

import bcrypt
import pytest
from argon2 import PasswordHasher

from maestro_ml.core.settings import Settings
from maestro_ml.identity import passwords
from maestro_ml.identity.errors import PasswordRefused, TooManyPasswords
from maestro_ml.identity.passwords import QUEUE, SLOTS, Passwords

WORDS = ("ada.lovelace@acme-labs.example", "Ada Lovelace", "Acme Labs", "acme")
EMOJI = "😀😎🚀🎉🔥🌈🍕🎸🐍🦊🌵🍩🎯🚲🛸🧩🪐🥑🐙🦄🍄🎻🧊🪁🐝🌻🍇🎲🧭🪶"


def made(**options: Any) -> Passwords:
    return Passwords(Settings(data=Path("unused"), **options))


def rule_of(password: str, kept: Passwords | None = None) -> str | None:
    try:
        (kept or made()).check(password, words=WORDS)
    except PasswordRefused as refused:
        return str(refused.facts["rule"])
    return None


@pytest.mark.parametrize(
    ("password", "rule"),
    [
        ("a", "length"),
        ("sevench", "length"),
        ("fourteen chars", "length"),
        ("password123", "length"),
        ("secure123", "length"),
        ("test123", "length"),
        ("pass123", "length"),
        ("admin123", "length"),
        ("passwordpassword", "common"),
        ("PasswordPassword", "common"),
        ("correct horse battery staple", "common"),
        ("Correct-Horse-Battery-Staple", "common"),
        ("1q2w3e4r5t6y7u8i9o0p", "common"),
        ("123456789012345", "sequence"),
        ("qwertyuiopasdfgh", "sequence"),
        ("abcdefghijklmnopqrst", "sequence"),
        ("fedcba9876543210", "sequence"),
        ("aaaaaaaaaaaaaaaa", "repeated"),
        ("abcabcabcabcabcabc", "repeated"),
        ("x7Kx7Kx7Kx7Kx7Kx7K", "repeated"),
        ("P@ssw0rdP@ssw0rd", "weak"),
        ("Summer2026Summer2026", "weak"),
        ("maestro-ml-admin", "context"),
        ("m4estro-ml-adm1n", "context"),
        ("maestro2026maestro", "context"),
        ("Maestro ML 2026!", "context"),
        ("m.a.e.s.t.r.o-m-l-1", "context"),
        ("maestro-ml-platform", "context"),
        ("ada.lovelace@acme-labs.example", "context"),
        ("ADA.LOVELACE@ACME-LABS.EXAMPLE", "context"),
        ("Ada LovelaceAda Lovelace", "context"),
        ("Lovelace1815Lovelace", "context"),
        ("acme-labs-admin-2026", "context"),
        ("Acme2026AcmeLabs", "context"),
        ("x" * 129, "long"),
        ("é" * 513, "long"),
        ("x" * 1_000_000, "long"),
        ("x" * 10_000_000, "long"),
    ],
    ids=lambda value: value[:30],
)
def test_what_attackers_try_is_refused_by_its_rule(password: str, rule: str) -> None:
    assert rule_of(password) == rule


def test_the_refusal_is_a_sentence_that_does_not_repeat_the_password() -> None:
    for password in ("fourteen chars", "passwordpassword", "maestro-ml-admin", "x" * 129):
        with pytest.raises(PasswordRefused) as refused:
            made().check(password)
        assert refused.value.detail.endswith(".")
        assert password not in refused.value.detail


@pytest.mark.parametrize(
    "password",
    [
        "".join(random.Random(1).choices(string.ascii_lowercase, k=15)),
        "".join(random.Random(2).choices(string.digits, k=20)),
        "lamp tunnel ocean violin",
        "maestro violin tunnel ocean",
        "ada likes purple cheese",
        EMOJI,
        EMOJI[:15],
        secrets.token_urlsafe(48)[:64],
        secrets.token_urlsafe(80)[:100],
        "".join(random.Random(3).choices(string.printable[:94], k=128)),
        "  between two spaces  ",
        "Grüße-aus-dem-Bärental",
    ],
    ids=lambda password: str(len(password)),
)
def test_no_kind_of_character_is_asked_for_or_forbidden(password: str) -> None:
    assert rule_of(password) is None


def test_hardly_any_random_password_is_refused() -> None:
    kept, dice = made(), random.Random(4)
    tried = ["".join(dice.choices(string.ascii_letters + string.digits, k=15)) for _ in range(300)]
    tried += ["".join(dice.choices(string.digits, k=20)) for _ in range(300)]
    assert [rule_of(password, kept) for password in tried] == [None] * 600


def test_the_length_is_counted_in_code_points_after_composing() -> None:
    assert rule_of(EMOJI[:15]) is None
    assert rule_of(EMOJI[:14]) == "length"
    letters = "äëïöüáéíóúàèìò"
    decomposed = unicodedata.normalize("NFD", letters)
    assert len(decomposed) == 28
    assert rule_of(decomposed) == "length"


def test_the_least_length_is_a_setting() -> None:
    kept = made(auth={"password_min_length": 8})
    assert rule_of("vK3-pq9ZxT", kept) is None
    assert rule_of("vK3-pq9", kept) == "length"
    assert rule_of("password", kept) == "weak"


def test_dev_mode_asks_for_six_characters_and_nothing_else() -> None:
    kept = made(dev=True)
    for example in ("admin123", "test123", "secure123", "password123", "pass123", "aaaaaa"):
        assert rule_of(example, kept) is None
    assert rule_of("short", kept) == "length"
    assert rule_of("x" * 129, kept) == "long"


async def test_a_hash_is_argon2id_of_the_stated_cost_and_fits_its_password_only() -> None:
    kept = made()
    stored = await kept.hash("lamp tunnel ocean violin")
    assert stored.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert await kept.verify("lamp tunnel ocean violin", stored)
    assert not await kept.verify("lamp tunnel ocean violin ", stored)
    assert not kept.needs_rehash(stored)


async def test_composed_and_decomposed_text_are_one_password() -> None:
    kept = made()
    composed, decomposed = "caf\u00e9 violin ocean", "cafe\u0301 violin ocean"
    assert await kept.verify(decomposed, await kept.hash(composed))
    assert await kept.verify(composed, await kept.hash(decomposed))


@pytest.mark.parametrize(
    "stored", [None, "", "junk", "$argon2id$junk", "$2b$junk", "$2b$04$" + "x"]
)
async def test_an_unknown_account_costs_one_hash_as_well(stored: str | None) -> None:
    kept = made()
    assert not await kept.verify("nobody has this password", stored)
    assert kept.hashed == 1


async def test_what_is_too_long_is_not_hashed_at_all() -> None:
    kept = made()
    for long in ("x" * 129, "x" * 1_000_000):
        assert not await kept.verify(long, None)
    assert kept.hashed == 0


async def test_old_bcrypt_hashes_fit_and_are_due_for_renewal() -> None:
    kept = made()
    for password in ("an old password", "x" * 100):
        old = bcrypt.hashpw(password.encode()[:72], bcrypt.gensalt(4)).decode()
        assert await kept.verify(password, old)
        assert not await kept.verify("another password", old)
        assert kept.needs_rehash(old)


def test_weaker_parameters_are_due_for_renewal() -> None:
    old = PasswordHasher(time_cost=1, memory_cost=8192, parallelism=1).hash("x")
    assert made().needs_rehash(old)


async def test_beyond_a_short_queue_callers_are_told_to_wait() -> None:
    kept = made()
    asked = [kept.verify("x", None) for _ in range(SLOTS + QUEUE + 5)]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    refused = [answer for answer in answers if isinstance(answer, TooManyPasswords)]
    assert len(refused) == 5
    assert refused[0].retry_after >= 1
    assert kept.hashed == SLOTS + QUEUE
    assert not await kept.verify("x", None)


def test_normal_is_nfc() -> None:
    assert passwords.normal("e\u0301") == "\u00e9"


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere threads share one priority")
async def test_hashing_gives_way_to_the_rest_of_the_server() -> None:
    def priority() -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    assert await made()._in_slot(priority) == max(priority(), 10)
