"""What can go wrong with administering people, service accounts and tenants."""

from maestro_ml.core.errors import AlreadyExists, Conflict, Invalid, NotFound


class EmailDomainRefused(Invalid):
    """The tenant's policy lists the mail domains of its people, and this is none of them."""

    code = "email-domain-refused"

    def __init__(self) -> None:
        super().__init__("The tenant's policy takes no people with this mail domain.")


class ServiceAccountNotFound(NotFound):
    """The tenant has no such service account."""

    code = "service-account-not-found"

    def __init__(self) -> None:
        super().__init__("There is no such service account in your tenant.")


class ServiceAccountNameTaken(AlreadyExists):
    """Another service account of the tenant has the name."""

    code = "service-account-name-taken"

    def __init__(self, name: str) -> None:
        super().__init__(f"Your tenant already has a service account called {name!r}.", name=name)


class SecondFactorMissing(Conflict):
    """Who asks others for a second factor has signed in with one."""

    code = "second-factor-missing"

    def __init__(self) -> None:
        super().__init__(
            "You have not signed in with a second factor yourself, and this would lock you out: "
            "set one up, sign in with it, and ask again."
        )


class AccountNotFound(NotFound):
    """Nobody on this server has that address."""

    code = "account-not-found"

    def __init__(self) -> None:
        super().__init__("There is no account with this address.")


class OwnAccountKept(Conflict):
    """Nobody disables themselves: the platform keeps an admin who can sign in."""

    code = "own-account-kept"

    def __init__(self) -> None:
        super().__init__("This is your own account: another platform admin has to disable it.")


class TenantNotFound(NotFound):
    """There is no such tenant."""

    code = "tenant-not-found"

    def __init__(self) -> None:
        super().__init__("There is no such tenant.")


class DefaultTenantKept(Conflict):
    """The default tenant holds what belongs to the platform itself, so it stays."""

    code = "default-tenant-kept"

    def __init__(self) -> None:
        super().__init__("The default tenant can be neither suspended nor deleted.")


class TenantBeingDeleted(Conflict):
    """A deletion that has begun goes on to its end."""

    code = "tenant-being-deleted"

    def __init__(self) -> None:
        super().__init__("This tenant is being deleted, and that cannot be undone.")


class TenantDeleteUnconfirmed(Invalid):
    """A tenant is deleted only when its slug is given as `confirm`."""

    code = "tenant-delete-unconfirmed"

    def __init__(self, slug: str) -> None:
        super().__init__(
            "Deleting a tenant destroys its projects, runs, files and the accounts of who is in "
            f'no other tenant, for good. To confirm it, send {{"confirm": "{slug}"}}.',
            faults=[{"at": ["body", "confirm"], "why": f"must be {slug!r}"}],
        )


class TenantDeletionNotFound(NotFound):
    """No tenant is, or was lately, deleted under that id."""

    code = "tenant-deletion-not-found"

    def __init__(self) -> None:
        super().__init__("There is no such deletion of a tenant.")
