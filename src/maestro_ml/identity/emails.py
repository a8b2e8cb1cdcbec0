"""E-mail addresses: what is one, and which of them are the same account."""

import unicodedata
from collections.abc import Collection

import email_validator

from maestro_ml.identity.errors import EmailInvalid
from maestro_ml.identity.errors_admin import EmailDomainRefused

MAX_LENGTH = 254
# An office's own network is a fine place for an account; no mail is sent to check an address.
email_validator.SPECIAL_USE_DOMAIN_NAMES.remove("local")


def address(text: str) -> str:
    """The address as it is shown.

    Raises:
        EmailInvalid: it is none.
    """
    if len(text) > MAX_LENGTH:
        raise EmailInvalid(f"it is longer than {MAX_LENGTH} characters.")
    try:
        found = email_validator.validate_email(
            text, check_deliverability=False, test_environment=True
        )
    except email_validator.EmailNotValidError as wrong:
        raise EmailInvalid(str(wrong)) from None
    if not unicodedata.is_normalized("NFKC", found.local_part):
        raise EmailInvalid("it has letters that only look like others, such as full-width ones.")
    return found.normalized


def normal(text: str) -> str:
    """What identifies the account: two spellings of one address are one account.

    Raises:
        EmailInvalid: it is no address.
    """
    return unicodedata.normalize("NFC", address(text).lower())


def domain(text: str) -> str:
    """Where the address is, as domains are compared.

    Raises:
        EmailInvalid: it is no address.
    """
    return normal(text).rpartition("@")[2]


def check_domain(text: str, allowed: Collection[str]) -> None:
    """Whether a tenant that takes only some mail domains takes this address.

    Raises:
        EmailDomainRefused: it does not.
    """
    if allowed and domain(text) not in allowed:
        raise EmailDomainRefused
