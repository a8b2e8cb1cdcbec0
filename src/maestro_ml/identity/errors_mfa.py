"""What can go wrong with a second factor."""

from maestro_ml.core.errors import Conflict, Forbidden, TooMany, Unauthenticated


class SignInAgain(Forbidden):
    """What was asked for needs a fresher or another kind of sign-in than this session's."""

    code = "sign-in-again"


class WrongCode(Forbidden):
    """The same for a code that is wrong, was used, or is of another moment."""

    code = "wrong-code"

    def __init__(self) -> None:
        super().__init__(
            "The code is wrong or was used already. An authenticator app shows a new one every 30 "
            "seconds; a recovery code works once."
        )


class TooManyCodes(TooMany):
    """Too many wrong codes for this account: for a while none is looked at, right or wrong."""

    code = "too-many-codes"

    def __init__(self, retry_after: int) -> None:
        super().__init__(
            "There were too many wrong codes for this account. Wait, and try again; sessions and "
            "API keys go on working.",
            retry_after=retry_after,
        )


class MfaTokenInvalid(Unauthenticated):
    """The same for a token that is made up, was used, is too old or was tried too often."""

    code = "mfa-token-invalid"

    def __init__(self) -> None:
        super().__init__("This sign-in is over: begin it again.")


class MfaActive(Conflict):
    """There is a second factor already; to put another in its place takes a code of it."""

    code = "mfa-active"

    def __init__(self) -> None:
        super().__init__(
            "You have a second factor already: give a code of it, or a recovery code, to put "
            "another in its place."
        )


class MfaInactive(Conflict):
    """The account has no second factor."""

    code = "mfa-inactive"

    def __init__(self) -> None:
        super().__init__("You have no second factor: begin with POST /api/v1/auth/mfa/totp.")


class MfaNotBegun(Conflict):
    """There is no new secret that waits to be confirmed, or not any more."""

    code = "mfa-not-begun"

    def __init__(self) -> None:
        super().__init__("No new secret waits for its first code: ask for one, and confirm it.")


class MfaKept(Conflict):
    """A tenant that the person is in asks all its people for a second factor."""

    code = "mfa-kept"

    def __init__(self, tenants: list[str]) -> None:
        named = ", ".join(tenants) or "another tenant"
        super().__init__(
            f"A second factor is required by {named}, where you are a member. "
            "You can put another in its place.",
            tenants=tenants,
        )


class MfaNeeded(Forbidden):
    """The tenant asks for a second factor, and this session was begun without one."""

    code = "mfa-needed"

    def __init__(self, slug: str) -> None:
        super().__init__(
            "This tenant asks for a second factor, and you signed in without one: sign in to it "
            f"with POST /api/v1/auth/login and the tenant {slug!r}, which asks for it.",
            tenant=slug,
        )
