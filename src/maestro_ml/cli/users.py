"""`maestro users`, `maestro invites` and `maestro join`."""

from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from maestro_ml.cli.output import Json, Refused, Yes, confirm, give, give_list, give_one, say
from maestro_ml.cli.remote import (
    PasswordStdin,
    a_password,
    an_answer,
    answered,
    api,
    appointing,
    sign_in_at,
    speaking,
    the_token,
    url_or_default,
)
from maestro_ml.cli.second_factor import Asking, show_codes

if TYPE_CHECKING:
    from maestro_ml.client import MaestroClient
    from maestro_ml.client.views import Invitation, SignIn, User

app = typer.Typer(no_args_is_help=True, help="The people of your tenant. For its admins.")
invites = typer.Typer(
    no_args_is_help=True, help="Invitations to your tenant that are still open. For its admins."
)

Person = Annotated[str, typer.Argument(help="Their e-mail address or id.")]
Invited = Annotated[
    str, typer.Argument(help="Its id, from `maestro invites list`, or the e-mail address.")
]


class TenantRole(StrEnum):
    VIEWER = "viewer"
    MEMBER = "member"
    MAINTAINER = "maintainer"
    ADMIN = "admin"


class Kind(StrEnum):
    PERSON = "person"
    SERVICE = "service"


@app.command("list")
def list_users(
    search: Annotated[
        str | None, typer.Option(help="Only whose name or address has this in it.")
    ] = None,
    role: Annotated[TenantRole | None, typer.Option(help="Only with this role.")] = None,
    active: Annotated[
        bool | None, typer.Option("--active/--inactive", help="Only with access, or without.")
    ] = None,
    kind: Annotated[Kind | None, typer.Option(help="Only people, or only machines.")] = None,
    sort: Annotated[
        str | None, typer.Option(help="By name, email or joined_at; -name turns it round.")
    ] = None,
    as_json: Json = False,
) -> None:
    """List who is in your tenant, and as what."""
    with api() as client:
        found = list(
            client.users.list(search=search, role=role, active=active, kind=kind, sort=sort)
        )
    if not as_json:  # the address of a machine is made up, and says nothing to people
        found = [
            one.model_copy(update={"email": "-"}) if one.kind == Kind.SERVICE else one
            for one in found
        ]
    give_list(
        found,
        {
            "email": "E-MAIL",
            "name": "NAME",
            "role": "ROLE",
            "kind": "KIND",
            "active": "ACTIVE",
            "last_login_at": "LAST LOGIN",
        },
        as_json=as_json,
        empty="Nobody is found. `maestro users invite E-MAIL` brings somebody in.",
    )


@app.command("show")
def show_user(person: Person, as_json: Json = False) -> None:
    """Show one of your tenant's people."""
    with api() as client:
        give_one(client.users.get(_id_of(client, person)), as_json=as_json)


@app.command("set-role")
def set_role(person: Person, role: TenantRole, password_stdin: PasswordStdin = False) -> None:
    """Give somebody another role. It holds from their next request on.

    To make somebody an admin, it asks for your password.
    """
    with appointing(role, password_stdin=password_stdin) as client:
        user = client.users.set_role(_id_of(client, person), role)
    say(f"{_called(user)} is {user.role} now.")


@app.command("invite")
def invite_user(
    email: Annotated[str, typer.Argument(help="Whom.")],
    role: Annotated[TenantRole, typer.Option(help="As what.")] = TenantRole.MEMBER,
    as_json: Json = False,
    password_stdin: PasswordStdin = False,
) -> None:
    """Print a one-time invitation to your tenant. For an admin's it asks for your password."""
    with appointing(role, password_stdin=password_stdin) as client:
        made = client.users.invite(email=email, role=role)
    _give_invitation(made, as_json=as_json)


@app.command("deactivate")
def deactivate_user(person: Person, yes: Yes = False) -> None:
    """Take somebody's access to your tenant away, until `maestro users reactivate`.

    Their sessions in it end at once, their API keys sleep, what they made stays. They keep their
    seat, and other tenants of theirs are not touched.
    """
    confirm(f"Take {person}'s access to your tenant away?", yes=yes)
    with api() as client:
        user = client.users.deactivate(_id_of(client, person))
    say(f"{_called(user)} has no access any more. `maestro users reactivate` gives it back.")


@app.command("reactivate")
def reactivate_user(person: Person, password_stdin: PasswordStdin = False) -> None:
    """Give somebody the access back that `maestro users deactivate` took. For an admin it asks for
    your password."""
    with api() as client:
        found = client.users.get(_id_of(client, person))
    with appointing(found.role, password_stdin=password_stdin) as client:
        user = client.users.reactivate(str(found.id))
    say(f"{_called(user)} has access again, and signs in anew.")


@app.command("remove")
def remove_user(person: Person, yes: Yes = False) -> None:
    """Take somebody out of your tenant. Their API keys for it end; what they made stays.

    Private projects that nobody else maintains become yours to maintain.
    """
    confirm(f"Take {person} out of your tenant, and end their API keys for it?", yes=yes)
    with api() as client:
        client.users.remove(_id_of(client, person))
    say(f"{person} is no longer in your tenant. `maestro users invite` would bring them back.")


@app.command("sign-out")
def sign_out_user(person: Person) -> None:
    """End every session that somebody has in your tenant, on every device. API keys stay."""
    with api() as client:
        client.users.sign_out(_id_of(client, person))
    say(f"{person} is signed out everywhere in your tenant.")


@app.command("reset-password")
def reset_password(person: Person) -> None:
    """Have a link for a new password mailed to somebody. Nobody but they choose it; what they are
    signed in to goes on until they do."""
    with api() as client:
        client.users.start_password_reset(_id_of(client, person))
    say(f"If {person} signs in with a password, a link for a new one is on its way to them.")


@invites.command("list")
def list_invitations(as_json: Json = False) -> None:
    """List the invitations that can still be accepted."""
    with api() as client:
        found = list(client.users.invitations())
    give_list(
        found,
        {"id": "ID", "email": "E-MAIL", "role": "ROLE", "expires_at": "EXPIRES"},
        as_json=as_json,
        empty="No invitation is open. `maestro invites create E-MAIL` makes one.",
    )


invites.command("create")(invite_user)


@invites.command("resend")
def resend_invitation(
    invitation: Invited, as_json: Json = False, password_stdin: PasswordStdin = False
) -> None:
    """Mail an invitation again, good for seven days anew, and print it. The old one stops working.
    For an admin's it asks for your password."""
    with api() as client:
        offer = _offer_of(client, invitation)
    with appointing(offer.role, password_stdin=password_stdin) as client:
        made = client.users.resend_invitation(str(offer.id))
    _give_invitation(made, as_json=as_json)


@invites.command("revoke")
def revoke_invitation(invitation: Invited, yes: Yes = False) -> None:
    """Take an invitation back."""
    confirm(f"Take the invitation {invitation} back?", yes=yes)
    with api() as client:
        client.users.revoke_invitation(str(_offer_of(client, invitation).id))
    say("The invitation does not work any more.")


def join(
    invitation: Annotated[
        str | None, typer.Option(help="The invitation, or its link. Asked for if left out.")
    ] = None,
    url: Annotated[str | None, typer.Option(help="The server's address.")] = None,
    name: Annotated[
        str | None, typer.Option(help="Your name, for a new account. Asked for if it needs one.")
    ] = None,
    password_stdin: PasswordStdin = False,
) -> None:
    """Accept an invitation: join a tenant with a password of your own.

    Whoever has an account on the server already gives its password, and keeps its name.
    """
    token = the_token(invitation or an_answer("invitation", "--invitation"))
    password = a_password(stdin=password_stdin, twice=True)
    server = url_or_default(url)
    with speaking(server) as client:
        joined = _joined(client, token, password, name, Asking(stdin=password_stdin))
        client.auth.logout()
    show_codes(joined.recovery_codes)
    say(f"{joined.user.email} has joined. Now {sign_in_at(server)}.")


def _joined(
    client: "MaestroClient", token: str, password: str, name: str | None, asking: Asking
) -> "SignIn":
    """Only the server knows whether the address has an account, and so a name."""
    accept = partial(
        client.auth.accept_invitation,
        token=token,
        password=password,
        code=asking.code,
        enrol=asking.first_code,
    )
    joined = answered(partial(accept, name=name), unless="name-needed")
    return joined or accept(name=an_answer("name", "--name"))


def _id_of(client: "MaestroClient", person: str) -> str:
    if "@" not in person:
        return person
    wanted = person.casefold()
    found = (u for u in client.users.list(search=person) if u.email.casefold() == wanted)
    user = next(found, None)
    return str(user.id) if user else _missing(person, "in your tenant")


def _offer_of(client: "MaestroClient", invitation: str) -> "Invitation":
    """An open one, by its id or whom it is for."""
    wanted = invitation.casefold()
    for offer in client.users.invitations():
        if wanted in {str(offer.id), offer.email.casefold()}:
            return offer
    return _missing(invitation, "invited")


def _give_invitation(made: "Invitation", *, as_json: bool) -> None:
    if as_json:
        give_one(made, as_json=True)
        return
    give(made.token or "")
    say(
        f"It is on its way to {made.email} by mail, or you give it to them: they join with "
        "`maestro join` and a password of their own."
    )


def _called(user: "User") -> str:
    return user.name if user.kind == Kind.SERVICE else user.email


def _missing(who: str, where: str) -> NoReturn:
    raise Refused(f"{who} is not {where}.")
