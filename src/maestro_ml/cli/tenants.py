"""`maestro tenants`."""

import sys
import time
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from maestro_ml.cli.output import (
    Json,
    Refused,
    Yes,
    confirm,
    give,
    give_list,
    give_one,
    harmless,
    say,
)
from maestro_ml.cli.remote import PasswordStdin, api, session

if TYPE_CHECKING:
    from maestro_ml.client import MaestroClient
    from maestro_ml.client.views import Deletion, Tenant

LOOK = 0.5  # seconds between looks at a deletion
UNLIMITED = "none"

app = typer.Typer(
    no_args_is_help=True,
    help="Organisations on this server: your own, and for platform admins every one.",
)

Named = Annotated[str, typer.Argument(help="The tenant's slug or id.")]


class Profile(StrEnum):
    STANDARD = "standard"
    STRICT = "strict"


class Status(StrEnum):
    ACTIVE = "active"
    SUSPENDED = "suspended"
    DELETING = "deleting"


@app.command("current")
def show_current_tenant(as_json: Json = False) -> None:
    """Show the tenant that you act in, its limits and what is used of them."""
    with api() as client:
        _give_tenant(client.tenants.current(), as_json=as_json)


@app.command("policy")
def policy(
    mfa: Annotated[
        bool | None,
        typer.Option("--mfa/--no-mfa", help="Whether everybody signs in with a second factor."),
    ] = None,
    sessions: Annotated[
        Profile | None,
        typer.Option(help="How long sign-ins last; strict: 1 hour unused, 24 hours in all."),
    ] = None,
    domain: Annotated[
        list[str] | None,
        typer.Option(help="A mail domain whose people may join; repeat it for more than one."),
    ] = None,
    any_domain: Annotated[
        bool, typer.Option("--any-domain", help="People of every mail domain may join.")
    ] = False,
    as_json: Json = False,
    password_stdin: PasswordStdin = False,
) -> None:
    """Show what your tenant asks of its people; with options, change it. Changing is for admins.

    Requiring a second factor asks for your password: whoever requires one has signed in with one.
    """
    if domain and any_domain:
        raise typer.BadParameter("--domain and --any-domain contradict each other.")
    given = {"mfa_required": mfa, "session_profile": sessions, "allowed_domains": domain or None}
    changes = {field: value for field, value in given.items() if value is not None}
    if any_domain:
        changes["allowed_domains"] = []
    if not changes:
        with api() as client:
            give_one(client.tenants.policy(), as_json=as_json)
        return
    with session(password_stdin=password_stdin) if mfa else api() as client:
        changed = client.tenants.set_policy(**changes)  # type: ignore[arg-type]
    give_one(changed, as_json=as_json)


@app.command("mine")
def list_mine(as_json: Json = False, password_stdin: PasswordStdin = False) -> None:
    """List the tenants that you are a member of; `maestro switch` goes to one."""
    with session(password_stdin=password_stdin) as client:
        found = list(client.auth.tenants())
    give_list(
        found,
        {"slug": "SLUG", "name": "NAME"},
        as_json=as_json,
        empty="You are in no tenant. An admin of one can invite you.",
    )


@app.command("list")
def list_tenants(
    search: Annotated[
        str | None, typer.Option(help="Only whose name or slug has this in it.")
    ] = None,
    status: Annotated[Status | None, typer.Option(help="Only these.")] = None,
    as_json: Json = False,
    password_stdin: PasswordStdin = False,
) -> None:
    """List all tenants. For platform admins; asks for your password."""
    with session(password_stdin=password_stdin) as client:
        found = list(client.tenants.list(search=search, status=status))
    give_list(
        found,
        {"slug": "SLUG", "name": "NAME", "status": "STATUS", "created_at": "CREATED"},
        as_json=as_json,
        empty="There is no such tenant. `maestro tenants create` makes one.",
    )


@app.command("show")
def show_tenant(
    tenant: Named, as_json: Json = False, password_stdin: PasswordStdin = False
) -> None:
    """Show a tenant, its limits and what is used of them. For platform admins."""
    with session(password_stdin=password_stdin) as client:
        _give_tenant(client.tenants.get(tenant), as_json=as_json)


@app.command("create")
def create_tenant(
    name: Annotated[str, typer.Argument(help="Its name, for people.")],
    slug: Annotated[str, typer.Option(help="Its name in addresses.")],
    admin: Annotated[str, typer.Option(help="The e-mail address of its first admin.")],
    as_json: Json = False,
    password_stdin: PasswordStdin = False,
) -> None:
    """Make a tenant and print a one-time invitation for its first admin.

    For platform admins; asks for your password.
    """
    with session(password_stdin=password_stdin) as client:
        made = client.tenants.create(name=name, slug=slug, admin_email=admin)
    if as_json:
        give_one(made, as_json=True)
        return
    give(made.invitation.token or "")
    say(f"Give this to {admin}, who joins with `maestro join` and a password of their own.")


@app.command("rename")
def rename_tenant(
    tenant: Named,
    name: Annotated[str, typer.Argument(help="Its new name, for people.")],
    password_stdin: PasswordStdin = False,
) -> None:
    """Give a tenant another name; its slug never changes. For platform admins."""
    with session(password_stdin=password_stdin) as client:
        changed = client.tenants.rename(client.tenants.get(tenant).id, name)
    say(f"{changed.slug} is called {changed.name} now.")


@app.command("set-limits")
def set_limits(
    tenant: Named,
    max_users: Annotated[int | None, typer.Option(min=0, help="People and machines.")] = None,
    max_projects: Annotated[int | None, typer.Option(min=0, help="Projects.")] = None,
    max_artifacts: Annotated[int | None, typer.Option(min=0, help="Library artifacts.")] = None,
    max_storage_bytes: Annotated[int | None, typer.Option(min=0, help="Bytes of files.")] = None,
    max_concurrent_jobs: Annotated[
        int | None, typer.Option(min=0, help="Jobs that run at a time.")
    ] = None,
    max_requests_per_minute: Annotated[
        str | None, typer.Option(help=f"Requests per minute, or `{UNLIMITED}` for no limit.")
    ] = None,
    as_json: Json = False,
    password_stdin: PasswordStdin = False,
) -> None:
    """Change a tenant's limits. One below what is used takes nothing away: it stops what is new.

    For platform admins; asks for your password.
    """
    given: dict[str, int | None] = {
        "max_users": max_users,
        "max_projects": max_projects,
        "max_artifacts": max_artifacts,
        "max_storage_bytes": max_storage_bytes,
        "max_concurrent_jobs": max_concurrent_jobs,
    }
    limits: dict[str, int | None] = {n: value for n, value in given.items() if value is not None}
    if max_requests_per_minute is not None:
        if max_requests_per_minute != UNLIMITED and not max_requests_per_minute.isdecimal():
            raise typer.BadParameter(f"--max-requests-per-minute is a number or `{UNLIMITED}`.")
        unlimited = max_requests_per_minute == UNLIMITED
        limits |= {"max_requests_per_minute": None if unlimited else int(max_requests_per_minute)}
    if not limits:
        raise typer.BadParameter("give at least one limit to change.")
    with session(password_stdin=password_stdin) as client:
        changed = client.tenants.set_limits(client.tenants.get(tenant).id, **limits)
    _give_tenant(changed, as_json=as_json)


@app.command("suspend")
def suspend_tenant(tenant: Named, yes: Yes = False, password_stdin: PasswordStdin = False) -> None:
    """Let nobody into a tenant, from the next request on; nothing of it is lost.

    For platform admins; asks for your password.
    """
    confirm(f"Let nobody into the tenant {tenant} any more?", yes=yes)
    with session(password_stdin=password_stdin) as client:
        client.tenants.suspend(client.tenants.get(tenant).id)
    say(f"{tenant} is suspended. `maestro tenants resume {tenant}` opens it again.")


@app.command("resume")
def resume_tenant(tenant: Named, password_stdin: PasswordStdin = False) -> None:
    """Let everybody into a suspended tenant again. For platform admins."""
    with session(password_stdin=password_stdin) as client:
        client.tenants.resume(client.tenants.get(tenant).id)
    say(f"{tenant} is open again.")


@app.command("delete")
def delete_tenant(
    tenant: Named,
    yes: Yes = False,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Whether to show how far it is, to its end.")
    ] = True,
    as_json: Json = False,
    password_stdin: PasswordStdin = False,
) -> None:
    """Delete a tenant for good: its projects, runs, files, and accounts that are in no other.

    It asks you to type the slug, or takes --yes. It goes on when this command, or the server,
    ends in between. For platform admins; asks for your password.
    """
    if not (yes or sys.stdin.isatty()):
        raise Refused(f"Delete the tenant {tenant}? Nobody is here to say so: give --yes.")
    with session(password_stdin=password_stdin) as client:
        doomed = client.tenants.get(tenant)
        if not yes:
            typed = typer.prompt(harmless(f"Type {doomed.slug} to delete it for good"), err=True)
            if typed != doomed.slug:
                raise Refused("Nothing was done.")
        deletion = client.tenants.delete(doomed.id, confirm=doomed.slug)
        if wait:
            deletion = _watch(client, deletion)
    _give_deletion(deletion, as_json=as_json)
    if deletion.ended and deletion.state != "done":
        raise Refused(deletion.error or "The tenant is not deleted.")


@app.command("deletions")
def list_deletions(as_json: Json = False, password_stdin: PasswordStdin = False) -> None:
    """List deletions of tenants that are under way or of the last 30 days."""
    with session(password_stdin=password_stdin) as client:
        found = list(client.tenants.deletions())
    give_list(
        found,
        {"id": "ID", "state": "STATE", "progress": "PROGRESS", "created_at": "BEGUN"},
        as_json=as_json,
        empty="No tenant is being deleted, and none was lately.",
    )


@app.command("deletion")
def show_deletion(
    id: Annotated[str, typer.Argument(help="Its id, from `maestro tenants deletions`.")],
    as_json: Json = False,
    password_stdin: PasswordStdin = False,
) -> None:
    """Show how far a deletion is, and what it counted before and after."""
    with session(password_stdin=password_stdin) as client:
        _give_deletion(client.tenants.deletion(id), as_json=as_json)


def _give_tenant(tenant: "Tenant", *, as_json: bool) -> None:
    """Beside each limit stands what is used of it, where that is known."""
    give_one(tenant, as_json=as_json, leave_out=("limits", "usage"))
    if as_json:
        return
    for limit, most in tenant.limits.items():
        used = tenant.usage.get(limit.removeprefix("max_"))
        allowed = "no limit" if most is None else f"{most}"
        words = allowed if used is None else f"{used} of {allowed}"
        give(f"{limit.removeprefix('max_').replace('_', ' '):<20}  {words}")


def _give_deletion(deletion: "Deletion", *, as_json: bool) -> None:
    """The sums; the whole count, table by table, is in the JSON."""
    give_one(deletion, as_json=as_json, leave_out=("result",))
    result = deletion.result
    if as_json or result is None:
        return
    for when in ("before", "after"):
        if when in result:
            rows, files = sum(result[when].values()), result["files"].get(when, 0)
            give(f"{when:<11}  {rows} rows, {files} files")
    give(f"accounts     {result['accounts_deleted']} deleted")


def _watch(client: "MaestroClient", deletion: "Deletion") -> "Deletion":
    told = ""
    while not deletion.ended:
        news = f"{deletion.state}  {deletion.progress:4.0%}  {deletion.message or ''}".rstrip()
        if news != told:
            told = news
            say(news)
        time.sleep(LOOK)
        deletion = client.tenants.deletion(deletion.id)
    return deletion
