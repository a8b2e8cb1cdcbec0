"""`maestro`: users' commands speak HTTP, an operator's run in this process."""

import sys
from importlib.metadata import version as installed

import typer

from maestro_ml.cli import (
    account,
    accounts,
    admin,
    api_keys,
    approval_policies,
    approvals,
    audit,
    config,
    db,
    demo,
    gc,
    identity_providers,
    jobs,
    mfa,
    models,
    outbox,
    own_account,
    projects,
    serve,
    service_accounts,
    sessions,
    tenants,
    users,
    webhooks,
)
from maestro_ml.cli.codes import EXIT_CODES
from maestro_ml.cli.output import Json, Refused, give, give_json, say

YOU, SERVER, TRY = "Your account", "Running a server", "Trying it out"
ADMIN = "People and tenants"

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Maestro ML: experiments, projects and teams on a server of your own. "
    "New here? `maestro demo` shows it, `maestro serve` starts it, `maestro login` signs you in.",
    epilog=EXIT_CODES,
)


def version(as_json: Json = False) -> None:
    """Show the version of this program."""
    number = installed("maestro-ml")
    if as_json:
        give_json({"version": number})
    else:
        give(number)


app.command("demo", rich_help_panel=TRY)(demo.demo)
app.command("serve", epilog=EXIT_CODES, rich_help_panel=SERVER)(serve.serve)
app.command("worker", epilog=EXIT_CODES, rich_help_panel=SERVER)(serve.worker)
app.add_typer(admin.app, name="admin", rich_help_panel=SERVER)
app.add_typer(config.app, name="config", rich_help_panel=SERVER)
app.add_typer(db.app, name="db", rich_help_panel=SERVER)
app.command("gc", epilog=EXIT_CODES, rich_help_panel=SERVER)(gc.collect)
app.add_typer(outbox.app, name="outbox", rich_help_panel=SERVER)
app.command("version", rich_help_panel=SERVER)(version)
app.command("login", rich_help_panel=YOU)(account.login)
app.command("logout", rich_help_panel=YOU)(account.logout)
app.command("whoami", rich_help_panel=YOU)(account.whoami)
app.command("join", rich_help_panel=YOU)(users.join)
app.command("switch", rich_help_panel=YOU)(sessions.switch)
app.add_typer(own_account.password, name="password", rich_help_panel=YOU)
app.add_typer(own_account.email, name="email", rich_help_panel=YOU)
app.add_typer(mfa.app, name="mfa", rich_help_panel=YOU)
app.add_typer(sessions.app, name="sessions", rich_help_panel=YOU)
app.add_typer(api_keys.app, name="tokens", rich_help_panel=YOU)
app.add_typer(api_keys.app, name="api-keys", hidden=True)  # as it was called at first
app.add_typer(projects.app, name="projects")
app.add_typer(models.app, name="models")
app.add_typer(approvals.app, name="approvals")
app.add_typer(webhooks.app, name="webhooks")
app.add_typer(jobs.app, name="jobs")
app.add_typer(users.app, name="users", rich_help_panel=ADMIN)
app.add_typer(users.invites, name="invites", rich_help_panel=ADMIN)
app.add_typer(service_accounts.app, name="service-accounts", rich_help_panel=ADMIN)
app.add_typer(tenants.app, name="tenants", rich_help_panel=ADMIN)
app.add_typer(accounts.app, name="accounts", rich_help_panel=ADMIN)
app.add_typer(identity_providers.app, name="identity-providers", rich_help_panel=ADMIN)
app.add_typer(approval_policies.app, name="approval-policies", rich_help_panel=ADMIN)
app.add_typer(audit.app, name="audit", rich_help_panel=ADMIN)


def run() -> None:
    """The entry point: a failure is one sentence and an exit code."""
    try:
        app(prog_name="maestro")
    except Refused as refused:
        if str(refused):
            say(str(refused))
        sys.exit(refused.code)


if __name__ == "__main__":
    run()
