"""What can go wrong with single sign-on and with signing in at a terminal through a browser."""

from maestro_ml.core.errors import (
    AlreadyExists,
    Forbidden,
    Invalid,
    NotFound,
    Unauthenticated,
    Unavailable,
)


class IdentityProviderNotFound(NotFound):
    """There is no such identity provider, it is switched off, or it is another tenant's."""

    code = "identity-provider-not-found"

    def __init__(self) -> None:
        super().__init__("There is no such identity provider.")


class IdentityProviderSlugTaken(AlreadyExists):
    """Another identity provider of the tenant has the slug."""

    code = "identity-provider-slug-taken"

    def __init__(self, slug: str) -> None:
        super().__init__(f"Your tenant has an identity provider {slug!r} already.", slug=slug)


class IdentityProviderUnavailable(Unavailable):
    """The identity provider does not answer, or not as OpenID Connect asks it to. An admin sees
    with `maestro identity-providers test` what is wrong."""

    code = "identity-provider-unavailable"

    def __init__(self) -> None:
        super().__init__("The identity provider does not answer as it should: try again later.")


class SingleSignOnRefused(Unauthenticated):
    """The same for a way back that this browser did not begin, that was used or is too old, and
    for a token that proves nothing. The server's log has the reason."""

    code = "single-sign-on-refused"

    def __init__(self) -> None:
        super().__init__("This sign-in is not valid, or not any more: begin it anew.")


class SingleSignOnNoAccount(Forbidden):
    """The identity provider knows the person, and opens no account here for them. A platform
    admin signs in with a password: no tenant's provider speaks for who stands above tenants."""

    code = "single-sign-on-no-account"

    def __init__(self) -> None:
        super().__init__(
            "You are known to the identity provider, but it opens no account here for you. "
            "Ask an admin of your organisation for an invitation, or sign in with your password."
        )


class NextRefused(Invalid):
    """`next` is where a sign-in ends: a path of this server, and nothing else."""

    code = "next-refused"

    def __init__(self) -> None:
        super().__init__("`next` must be a path of this server, such as /device.")


class DeviceLoginNotFound(NotFound):
    """No terminal waits under this code: it is mistyped, too old, or was decided already."""

    code = "device-login-not-found"

    def __init__(self) -> None:
        super().__init__("No terminal waits under this code: check it, or begin anew there.")
