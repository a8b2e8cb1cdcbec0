"""What can go wrong with accounts, passwords and sign-in."""

from maestro_ml.core.errors import (
    AlreadyExists,
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    TooMany,
    Unauthenticated,
)


class PasswordRefused(Invalid):
    """`rule` is one of length, long, common, repeated, sequence, context, weak."""

    code = "password-refused"

    def __init__(self, rule: str, why: str) -> None:
        super().__init__(why, rule=rule)


class TooManyPasswords(TooMany):
    """Hashing is dear on purpose: beyond a short queue, callers wait outside."""

    code = "too-many-sign-ins"

    def __init__(self) -> None:
        super().__init__("Too many people are signing in right now.", retry_after=2)


class EmailInvalid(Invalid):
    """This cannot be an e-mail address."""

    code = "email-invalid"

    def __init__(self, why: str) -> None:
        super().__init__(f"This is no e-mail address: {why}")


class EmailTaken(AlreadyExists):
    """The address has an account: sign in, or accept the invitation with its password."""

    code = "email-taken"

    def __init__(self) -> None:
        super().__init__("An account with this e-mail address exists already: sign in instead.")


class WrongCredentials(Unauthenticated):
    """The same for a wrong password, an unknown address and a disabled account."""

    code = "wrong-credentials"

    def __init__(self) -> None:
        super().__init__("The e-mail address or the password is wrong.")


class RegistrationClosed(Forbidden):
    """The server takes people by invitation only, or nobody by themselves."""

    code = "registration-closed"

    def __init__(self, how: str) -> None:
        super().__init__(f"People cannot register here by themselves: {how}")


class CsrfRefused(Forbidden):
    """A page of another site, or one that lost its token, used the browser's cookie."""

    code = "csrf-refused"

    def __init__(self) -> None:
        super().__init__(
            "A change with the browser's cookie needs the header X-CSRF-Token and must come from "
            "this site's own pages."
        )


class SecretKeyRefused(Invalid):
    """Said once, at the start: the server does not begin with a key that others can guess."""

    code = "secret-key-refused"


class AlreadyMember(AlreadyExists):
    """The person has a place in the tenant already."""

    code = "already-member"

    def __init__(self) -> None:
        super().__init__("This user is a member of the tenant already.")


class UserNotFound(NotFound):
    """Nobody of that id is in your tenant."""

    code = "user-not-found"

    def __init__(self) -> None:
        super().__init__("There is no such user in your tenant.")


class LastAdmin(Conflict):
    """Nobody could undo it: a tenant keeps an admin who can sign in."""

    code = "last-admin"

    def __init__(self) -> None:
        super().__init__(
            "This is the tenant's last admin, and a tenant keeps at least one. "
            "Make somebody else an admin first."
        )


class InvitationInvalid(Invalid):
    """The same for a token that is made up, was used, was taken back or is too old."""

    code = "invitation-invalid"

    def __init__(self) -> None:
        super().__init__("This invitation is not valid, or not any more: ask for a new one.")


class NameNeeded(Invalid):
    """The address of the invitation has no account yet, and people are known by a name."""

    code = "name-needed"

    def __init__(self) -> None:
        faults = [{"at": ["body", "name"], "why": "a new account needs a name"}]
        super().__init__(
            "There is no account with this e-mail address yet: a new one needs a name.",
            faults=faults,
        )


class InvitationNotFound(NotFound):
    """The tenant has no such invitation that is still open."""

    code = "invitation-not-found"

    def __init__(self) -> None:
        super().__init__("There is no such open invitation in your tenant.")


class SetupRefused(Unauthenticated):
    """The same for a secret that is made up, was used or was replaced by a newer one."""

    code = "setup-refused"

    def __init__(self) -> None:
        super().__init__(
            "The setup secret is wrong or was used already. "
            "While there is no platform admin, each start of the server prints a new one."
        )


class ApiKeyNotFound(NotFound):
    """You have no such key in this tenant, or it was revoked."""

    code = "api-key-not-found"

    def __init__(self) -> None:
        super().__init__("You have no such API key.")


class TooManyApiKeys(Conflict):
    """A person has at most 100 keys that work in a tenant."""

    code = "too-many-api-keys"

    def __init__(self, most: int) -> None:
        super().__init__(
            f"You have {most} API keys here, and nobody may have more. Revoke one first.",
            allowed=most,
        )


class DefaultProjectOutside(Invalid):
    """A key that is limited to some projects has its default project among them."""

    code = "default-project-outside"

    def __init__(self) -> None:
        why = "must be one of the projects that the key is limited to"
        faults = [{"at": ["body", "default_project"], "why": why}]
        super().__init__(f"The default project {why}.", faults=faults)


class LinkRefused(Unauthenticated):
    """The same for a link that is made up, was used, was replaced by a newer one or is too old."""

    code = "link-refused"

    def __init__(self) -> None:
        super().__init__("This link is not valid, or not any more: ask for a new one.")


class WrongPassword(Forbidden):
    """The session is good, and this asks for the account's password once more."""

    code = "wrong-password"

    def __init__(self) -> None:
        super().__init__("This is not your password.")


class SessionNotFound(NotFound):
    """You have no such session, or it has ended."""

    code = "session-not-found"

    def __init__(self) -> None:
        super().__init__("You have no such session.")


class EmailUnverified(Forbidden):
    """Said to who has the right password only. The link is in the mail."""

    code = "email-unverified"

    def __init__(self) -> None:
        super().__init__(
            "Your e-mail address is not verified yet: open the link that was mailed to you."
        )


class TooManyMails(TooMany):
    """A link was mailed a moment ago."""

    code = "too-many-mails"

    def __init__(self, seconds: int) -> None:
        super().__init__("A link was mailed a moment ago: wait for it.", retry_after=seconds)
