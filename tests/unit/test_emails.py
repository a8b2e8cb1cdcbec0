"""Which addresses there are, and which are the same account."""

import pytest

from maestro_ml.identity.emails import address, normal
from maestro_ml.identity.errors import EmailInvalid


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Test@Example.com", "test@example.COM"),
        ("ada@EXÄMPLE.com", "ada@exämple.com"),
        ("caf\u00e9@x.test", "cafe\u0301@x.test"),
        ("ÄDA@x.test", "äda@x.test"),
    ],
)
def test_spellings_of_one_address_are_one_account(one: str, other: str) -> None:
    assert normal(one) == normal(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("a.b@x.test", "ab@x.test"),
        ("a+b@x.test", "a@x.test"),
        ("a@apple.com", "a@\u0430pple.com"),  # a Cyrillic letter
    ],
)
def test_addresses_that_differ_are_accounts_of_their_own(one: str, other: str) -> None:
    assert normal(one) != normal(other)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nobody",
        "a@b@c",
        '"<script>"@x.y',
        "x@y.z\r\nBcc: all@example.com",
        "a@example.com ",
        " a@example.com",
        "a@[127.0.0.1]",
        "Ada <ada@example.com>",
        "a\u202eb@x.test",
        "\uff41da@x.test",  # a full-width letter
        "a\ufb01@x.test",  # one sign for two letters
        "a@" + "x" * 300 + ".test",
        "a" * 1_000_000,
    ],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(EmailInvalid):
        normal(text)


def test_the_case_that_was_sent_is_shown() -> None:
    assert address("Ada.Lovelace@Example.COM") == "Ada.Lovelace@example.com"


def test_an_office_network_has_addresses_too() -> None:
    assert normal("admin@corp.local") == "admin@corp.local"
