"""`maestro password` and `maestro email`."""

from typing import Annotated

import typer

from maestro_ml.cli.output import say
from maestro_ml.cli.remote import (
    PasswordStdin,
    a_password,
    an_answer,
    session,
    sign_in_at,
    speaking,
    the_token,
    url_or_default,
)

password = typer.Typer(no_args_is_help=True, help="Your password: change it, or get a new one.")
email = typer.Typer(no_args_is_help=True, help="Your e-mail address.")

Url = Annotated[str | None, typer.Option(help="The server's address.")]
Link = Annotated[
    str | None, typer.Option(help="The mailed link, or what stands behind its #. Or be asked.")
]
TwoLines = Annotated[
    bool,
    typer.Option("--password-stdin", help="Read two lines: the current password, the new one."),
]


@password.command("change")
def change_password(password_stdin: TwoLines = False) -> None:
    """Choose a new password. Your sessions on every device end; API keys stay."""
    current = a_password(stdin=password_stdin, called="Current password")
    new = a_password(stdin=password_stdin, twice=True, called="New password")
    with session(password=current) as client:
        client.auth.change_password(current_password=current, new_password=new)
    say("Your password is changed.")


@password.command("forgot")
def forgot_password(
    address: Annotated[str | None, typer.Option("--email", help="Your e-mail address.")] = None,
    url: Url = None,
) -> None:
    """Have a link for a new password mailed to you. It works once, for an hour."""
    to = address or an_answer("e-mail", "--email")
    with speaking(url_or_default(url)) as client:
        client.auth.forgot_password(to)
    say(
        f"If {to} has an account, a link is on its way: `maestro password reset` asks for it. "
        "Where the server sends no mail, the platform's admin finds it with `maestro outbox list`."
    )


@password.command("reset")
def reset_password(
    link: Link = None, url: Url = None, password_stdin: PasswordStdin = False
) -> None:
    """Choose a new password with the link that was mailed to you.

    Your sessions and API keys end: sign in again with `maestro login`.
    """
    token = the_token(link or an_answer("link", "--link"))
    new = a_password(stdin=password_stdin, twice=True, called="New password")
    server = url_or_default(url)
    with speaking(server) as client:
        client.auth.reset_password(token=token, new_password=new)
    say(f"Your password is set. Now {sign_in_at(server)}.")


@email.command("change")
def change_email(
    address: Annotated[str, typer.Argument(help="The new one.")],
    password_stdin: PasswordStdin = False,
) -> None:
    """Give your account another address. The old one stays until you open the link that the new
    one gets."""
    current = a_password(stdin=password_stdin)
    with session(password=current) as client:
        client.auth.change_email(new_email=address, current_password=current)
    say(f"A link is on its way to {address}: `maestro email verify` asks for it.")


@email.command("resend")
def resend_link(password_stdin: PasswordStdin = False) -> None:
    """Have the link mailed again that an address of yours waits for; at most once a minute."""
    with session(password_stdin=password_stdin) as client:
        client.auth.resend_verification()
    say("If an address of yours is not verified, a link is on its way to it.")


@email.command("verify")
def verify_email(link: Link = None, url: Url = None) -> None:
    """Prove with the mailed link that an address is yours."""
    token = the_token(link or an_answer("link", "--link"))
    with speaking(url_or_default(url)) as client:
        client.auth.verify_email(token)
    say("Your address is verified.")
