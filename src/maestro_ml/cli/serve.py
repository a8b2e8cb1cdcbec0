"""`maestro serve` and `maestro worker`."""

from pathlib import Path
from typing import Annotated

import typer

Data = Annotated[
    Path | None,
    typer.Option(
        # Whether it can be used is found out later, and told like everything in the way of a start.
        readable=False,
        help="The data folder. Default: maestro-data, with --dev maestro-dev-data.",
    ),
]
DevMode = Annotated[
    bool,
    typer.Option(
        "--dev",
        help="For trying out: loopback only, weak passwords allowed, admin@maestro.ml / admin123, "
        "reload on change. Its data never opens in normal mode.",
    ),
]


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port; 0 picks a free one.")] = None,
    data: Data = None,
    dev: DevMode = False,
    reload: Annotated[
        bool, typer.Option("--reload/--no-reload", help="Dev mode: start anew when code changes.")
    ] = True,
    leash: Annotated[bool, typer.Option("--leash", hidden=True)] = False,
) -> None:
    """Start the server: the API, and a worker for its background jobs.

    Makes the data folder and brings the database up to date. Every option has a setting, and
    `maestro config check` shows them all. Ctrl-C finishes what is under way; a second one does not.
    """
    # The web server and the database layer take longer to load than `--help` takes.
    from maestro_ml.cli.process.settings import load

    settings = load(host=host, port=port, data=data, dev=dev)
    if settings.dev and reload:
        from maestro_ml.cli.process.reload import watch

        watch(settings)
    else:
        from maestro_ml.cli.process.serve import serve as start

        start(settings, leash=leash)


def worker(data: Data = None, dev: DevMode = False) -> None:
    """Run background jobs from the same database as a server. For PostgreSQL; start any number.

    Ctrl-C finishes the jobs under way; a second one leaves them to another worker.
    """
    # The database layer takes longer to load than `--help` takes.
    from maestro_ml.cli.process.settings import load
    from maestro_ml.cli.process.work import work

    work(load(data=data, dev=dev))
