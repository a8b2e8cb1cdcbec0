"""`maestro identity-providers`."""

import getpass
import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from maestro_ml.cli.output import (
    FAILED,
    Json,
    Refused,
    Yes,
    confirm,
    give,
    give_list,
    give_one,
    say,
)
from maestro_ml.cli.remote import PasswordStdin, api, session

if TYPE_CHECKING:
    from maestro_ml.client import MaestroClient
    from maestro_ml.client.sso import IdentityProvider

app = typer.Typer(
    no_args_is_help=True,
    help="Who vouches for your tenant's people: Google, Entra, Keycloak or any other OpenID "
    "Connect issuer. For admins, who give their password to change any.",
)


class DefaultRole(StrEnum):
    VIEWER = "viewer"
    MEMBER = "member"
    MAINTAINER = "maintainer"


Which = Annotated[str, typer.Argument(help="Its slug or id.")]
Domains = Annotated[
    list[str] | None,
    typer.Option(
        "--domain",
        help="Mail domain that it may speak for; repeat it for more than one. Whoever has a "
        "verified address there gets an account at their first sign-in.",
    ),
]
Scopes = Annotated[
    list[str] | None, typer.Option("--scope", help="OAuth scope to ask for; repeatable.")
]
GroupsClaim = Annotated[
    str | None, typer.Option(help="The ID token's claim that lists groups, such as groups.")
]
Groups = Annotated[
    list[str] | None,
    typer.Option("--group", help="GROUP=ROLE; repeatable. Sets roles anew at each sign-in."),
]
Default = Annotated[
    DefaultRole | None, typer.Option("--default-role", help="For whom no group gives a role.")
]
TrustMfa = Annotated[
    bool | None,
    typer.Option(
        "--trust-mfa/--no-trust-mfa",
        help="Whether nobody is asked for a code here of whom it says that they gave a second "
        "factor there. It does not count unless you say so.",
    ),
]
SecretStdin = Annotated[
    bool,
    typer.Option(
        "--secret-stdin",
        help="Read the client secret from standard input, after the password if that is there too.",
    ),
]


@app.command("list")
def list_providers(as_json: Json = False) -> None:
    """List your tenant's identity providers."""
    with api() as client:
        found = list(client.identity_providers.list())
    give_list(
        found,
        {
            "slug": "SLUG",
            "name": "NAME",
            "issuer": "ISSUER",
            "allowed_domains": "DOMAINS",
            "enabled": "ON",
        },
        as_json=as_json,
        empty="There are none. `maestro identity-providers create` makes one.",
    )


@app.command("create")
def create_provider(
    name: Annotated[str, typer.Argument(help="Its name, for people.")],
    slug: Annotated[str, typer.Option(help="Its name in addresses.")],
    issuer: Annotated[str, typer.Option(help="Exactly as the issuer writes itself.")],
    client_id: Annotated[str, typer.Option(help="What the issuer calls this server.")],
    domain: Domains = None,
    scope: Scopes = None,
    groups_claim: GroupsClaim = None,
    group: Groups = None,
    default_role: Default = None,
    trust_mfa: TrustMfa = None,
    public: Annotated[
        bool, typer.Option("--public", help="The issuer gave no client secret.")
    ] = False,
    secret_stdin: SecretStdin = False,
    as_json: Json = False,
    password_stdin: PasswordStdin = False,
) -> None:
    """Let an issuer vouch for your people, and print what to enter there as redirect URI.

    Asks for the client secret, which is kept encrypted and never shown again.
    """
    fields = _fields(domain, scope, groups_claim, group, default_role, trust_mfa)
    with session(password_stdin=password_stdin) as client:
        secret = None if public else _secret(stdin=secret_stdin)
        made = client.identity_providers.create(
            name, slug=slug, issuer=issuer, client_id=client_id, client_secret=secret, **fields
        )
    if as_json:
        give_one(made, as_json=True)
        return
    give(made.redirect_uri)
    say(
        "Enter this as the redirect URI at the issuer, then see with "
        f"`maestro identity-providers test {made.slug}` whether it works. "
        f"People sign in at {made.start_path}"
    )


@app.command("show")
def show_provider(which: Which, as_json: Json = False) -> None:
    """Show one, without its secret."""
    with api() as client:
        give_one(_found(client, which), as_json=as_json)


@app.command("update")
def update_provider(
    which: Which,
    name: Annotated[str | None, typer.Option(help="Its name, for people.")] = None,
    client_id: Annotated[
        str | None, typer.Option(help="What the issuer calls this server.")
    ] = None,
    domain: Domains = None,
    scope: Scopes = None,
    groups_claim: GroupsClaim = None,
    group: Groups = None,
    default_role: Default = None,
    trust_mfa: TrustMfa = None,
    new_secret: Annotated[
        bool, typer.Option("--new-secret", help="Ask for a new client secret.")
    ] = False,
    secret_stdin: SecretStdin = False,
    enable: Annotated[
        bool | None, typer.Option("--on/--off", help="Whether people may sign in through it.")
    ] = None,
    password_stdin: PasswordStdin = False,
) -> None:
    """Change what is given, from the next sign-in on. A list takes the place of the old one."""
    changes = _fields(domain, scope, groups_claim, group, default_role, trust_mfa)
    given = {"name": name, "client_id": client_id, "enabled": enable}
    changes |= {field: value for field, value in given.items() if value is not None}
    ask = new_secret or secret_stdin
    if not changes and not ask:
        raise typer.BadParameter("say what to change.")
    with session(password_stdin=password_stdin) as client:
        if ask:
            changes["client_secret"] = _secret(stdin=secret_stdin)
        changed = client.identity_providers.update(_found(client, which).id, **changes)
    say(f"{changed.name} ({changed.slug}) is changed.")


@app.command("delete")
def delete_provider(which: Which, yes: Yes = False, password_stdin: PasswordStdin = False) -> None:
    """Let nobody sign in through it any more. Accounts and running sessions stay."""
    with session(password_stdin=password_stdin) as client:
        provider = _found(client, which)
        confirm(f"Let nobody sign in through {provider.name} ({provider.slug})?", yes=yes)
        client.identity_providers.delete(provider.id)
    say(f"{provider.name} is gone. Whoever came through it needs another way in.")


@app.command("test")
def ask_provider(
    which: Which, as_json: Json = False, password_stdin: PasswordStdin = False
) -> None:
    """Ask the issuer now for what a sign-in will ask it for; exit code 1 if it does not work."""
    with session(password_stdin=password_stdin) as client:
        found = client.identity_providers.test(_found(client, which).id)
    if as_json:
        give_one(found, as_json=True)
    else:
        say(found.detail)
    if not found.works:
        raise Refused("", FAILED)


def _found(client: "MaestroClient", which: str) -> "IdentityProvider":
    for provider in client.identity_providers.list():
        if which in {provider.slug, str(provider.id)}:
            return provider
    raise Refused(f"Your tenant has no identity provider {which!r}.")


def _fields(
    domains: list[str] | None,
    scopes: list[str] | None,
    groups_claim: str | None,
    groups: list[str] | None,
    default_role: DefaultRole | None,
    trust_mfa: bool | None,
) -> dict[str, Any]:
    """What was given, as the API has it."""
    given = {
        "allowed_domains": domains,
        "scopes": scopes,
        "groups_claim": groups_claim,
        "group_roles": None if groups is None else dict(map(_pair, groups)),
        "default_role": default_role,
        "trusts_mfa": trust_mfa,
    }
    return {field: value for field, value in given.items() if value is not None}


def _pair(text: str) -> tuple[str, str]:
    group, sign, role = text.rpartition("=")
    if not sign or not group or not role:
        raise typer.BadParameter(f"--group {text!r} must be GROUP=ROLE.")
    return group, role


def _secret(*, stdin: bool) -> str:
    if stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        raise Refused("There is no terminal to ask for the client secret: give --secret-stdin.")
    return getpass.getpass("Client secret: ")
