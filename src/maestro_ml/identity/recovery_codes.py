"""Recovery codes, as `k3fq-9xm2t-4hw8z`: four letters that find one, and ten that prove it.

Ten letters of 32 are 50 bits, too few for a plain digest: at rest there is their argon2 hash. The
first four are kept as they are, so that a try costs one hash and not one for each code there is.
"""

import secrets

COUNT = 10
_LETTERS = "0123456789abcdefghjkmnpqrstvwxyz"  # none that reads like another (Crockford)
_ALIKE = str.maketrans("ilo", "110", "- ")
_SELECTOR, _SECRET = 4, 10


def mint() -> list[str]:
    """A set of new codes, each found by other letters."""
    selectors: dict[str, None] = {}
    while len(selectors) < COUNT:
        selectors[_random(_SELECTOR)] = None
    return [f"{selector}-{_random(5)}-{_random(5)}" for selector in selectors]


def parts(code: str) -> tuple[str, str]:
    """What finds a code and what proves it, however it was typed."""
    letters = code.lower().translate(_ALIKE)
    return letters[:_SELECTOR], letters[_SELECTOR:]


def _random(length: int) -> str:
    return "".join(secrets.choice(_LETTERS) for _ in range(length))
