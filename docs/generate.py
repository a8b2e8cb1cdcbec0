"""Write the reference pages from the code; `--check` says which of them are stale."""

import importlib
import json
import os
import pkgutil
import re
import sys
from collections import Counter
from collections.abc import Container, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import typer.main

import maestro_ml
from maestro_ml.api.main import HANDLERS, SCHEDULES, WITH_FILES, WITH_SUBJECTS, create_app
from maestro_ml.cli.main import app as cli
from maestro_ml.core.access import RULES, Role
from maestro_ml.core.errors import MaestroError
from maestro_ml.core.settings import PREFIX, Settings, names_of
from maestro_ml.http.problems import STATUS
from maestro_ml.mlflow.route import CODES, PREFIXES, REFUSED, refusal
from maestro_ml.tracking.search import comparing, limits
from maestro_ml.webhooks.catalogue import EVENTS
from support.policy import POLICY, operations

DOCS = Path(__file__).parent
for name in [name for name in os.environ if name.startswith(PREFIX)]:
    del os.environ[name]  # the pages are of the product, not of this installation
WRITTEN_BY = "<!-- Written by `make docs` from the code. -->\n\n"
# Where the client of MLflow describes its calls.
MLFLOW_SERVICES = {
    "service_pb2": "MlflowService",
    "model_registry_pb2": "ModelRegistryService",
    "mlflow_artifacts_pb2": "MlflowArtifactsService",
    "webhooks_pb2": "WebhookService",
}
MLFLOW_CALLS = """\
# MLflow's REST calls

MLflow's own clients work against Maestro with `MLFLOW_TRACKING_URI` and either
`MLFLOW_TRACKING_TOKEN`, an API key or access token, or `MLFLOW_TRACKING_USERNAME`, any name, and
`MLFLOW_TRACKING_PASSWORD`, an API key. Tests run the clients {clients}.

A workspace is a project, named by its slug: the header `X-MLFLOW-WORKSPACE`, or the default project
of the key. Whoever may make, change and delete projects may do so here, within the same quota.
Deleting a workspace is refused with 409 while it holds an experiment beside `Default`, or a run,
deleted ones too; the mode `CASCADE` destroys it with everything in it. `SET_DEFAULT` is refused.

As on MLflow's own server with workspaces, `artifact_location` is refused: files go through the
server. A project's experiment `Default`, which is also experiment `0`, is neither renamed nor
deleted. What is deleted is removed for good by `maestro gc`.

A search takes a filter of at most {comparisons} comparisons, with {pattern} characters in a
pattern and {listed:,} values in its lists together, and {orders} different names to order by; in a
search of logged models, comparisons of metrics times datasets are at most {on_datasets:,}. Beyond
that, or when it takes longer than five seconds, the answer is 400 `INVALID_PARAMETER_VALUE`.

`ILIKE` knows no case: on SQLite of the letters A to Z alone, so that `é` does not find `É`, on
PostgreSQL of every letter that the database's locale knows.

Each call stands under `/ajax-api` as well. Of those that the newest client knows, and a few beside
them, {supported} are supported, {refused} refused and {absent} absent. What is absent answers 404
`ENDPOINT_NOT_FOUND`. What is refused on purpose answers 400 `FEATURE_DISABLED` and says why:
"""


def settings_page() -> str:
    lines = [
        "# Settings",
        "",
        "Every setting is an environment variable. Any `NAME` may come as `NAME_FILE`, the path",
        "of a file that holds its value. A name that is no setting stops the start.",
        "`maestro config check` prints what is in force, without secrets.",
        "",
        "| name | default | meaning |",
        "|---|---|---|",
    ]
    for name, field in names_of(Settings):
        value = str(field.default).lower() if isinstance(field.default, bool) else field.default
        default = "" if value in (None, []) else f"`{value}`"
        lines.append(f"| `{name}` | {default} | {field.description} |")
    return "\n".join(lines) + "\n"


def permissions_page() -> str:
    lines = [
        "# Permissions",
        "",
        "A role in a tenant holds everything that the roles to its left hold. In a project a team",
        "member may hold a higher role. An API key never does more than its owner may, and of that",
        "only what its scope names. `session only` is never open to an API key.",
        "",
        "| permission | " + " | ".join(Role) + " | key scope | |",
        "|---|" + "---|" * (len(Role) + 2),
    ]
    for permission, rule in RULES.items():
        held = [
            "platform admin"
            if rule.platform
            else "yes"
            if rule.role is None or role.rank >= rule.role.rank
            else ""
            for role in Role
        ]
        note = "session only" if rule.session_only else ""
        lines.append(f"| `{permission}` | {' | '.join(held)} | {rule.scope} | {note} |")
    lines += [
        "",
        "## What each route asks for",
        "",
        "From the table that the tests hold the server to, as everybody, with an object of one's",
        "own and of another tenant. `public` asks for nobody, `signed in` for anybody; `metrics`",
        "is the token of `MAESTRO_SERVER__METRICS_TOKEN`. MLflow's calls stand under",
        f"{' and '.join(f'`{prefix}`' for prefix in PREFIXES)}.",
        "",
        "| route | permission |",
        "|---|---|",
    ]
    asked = {
        operation.name if operation.mlflow else str(operation): POLICY[operation.name]
        for operation in operations()
    }
    lines += [f"| `{route}` | `{permission}` |" for route, permission in asked.items()]
    return "\n".join(lines) + "\n"


def errors() -> dict[str, type[MaestroError]]:
    """Every error of the product by its code."""
    for module in pkgutil.walk_packages(maestro_ml.__path__, "maestro_ml."):
        if (
            not module.name.endswith(("migrations.env", "__main__"))
            and ".versions" not in module.name
        ):
            importlib.import_module(module.name)
    found: dict[str, type[MaestroError]] = {}
    for kind in _below(MaestroError):
        if kind.__module__.startswith("maestro_ml."):
            found.setdefault(kind.code, kind)
    return dict(sorted(found.items()))


def _below(kind: type[MaestroError]) -> Iterator[type[MaestroError]]:
    for child in kind.__subclasses__():
        yield child
        yield from _below(child)


def _family(kind: type[MaestroError], table: dict[type[MaestroError], Any]) -> Any:
    return next((table[family] for family in kind.__mro__ if family in table), None)


def problem_page(kind: type[MaestroError]) -> str:
    status = _family(kind, dict(STATUS)) or getattr(kind, "status", 500)
    wire = _family(kind, dict(CODES))
    meaning = " ".join((kind.__doc__ or "").split())
    shown = f"On the MLflow wire: {wire[0]} `{wire[1]}`." if wire else ""
    return f"# {kind.code}\n\nHTTP status {status}. {shown}\n\n{meaning}\n"


def errors_page() -> str:
    lines = [
        "# Errors",
        "",
        "Every error is `application/problem+json`; its `type` ends with one of these codes.",
        "",
        "| code | status | |",
        "|---|---|---|",
    ]
    for code, kind in errors().items():
        status = _family(kind, dict(STATUS)) or getattr(kind, "status", 500)
        meaning = " ".join((kind.__doc__ or "").split("\n\n")[0].split())
        lines.append(f"| [`{code}`](../problems/{code}.md) | {status} | {meaning} |")
    return "\n".join(lines) + "\n"


def jobs_page() -> str:
    every = {schedule.kind: _span(schedule.every) for schedule in SCHEDULES}
    lines = ["# Jobs", "", "What the worker runs.", "", "| kind | every | |", "|---|---|---|"]
    for kind, handler in sorted({**HANDLERS, **WITH_FILES, **WITH_SUBJECTS}.items()):
        meaning = " ".join((handler.__doc__ or "").split("\n\n")[0].split())
        lines.append(f"| `{kind}` | {every.get(kind, '')} | {meaning} |")
    return "\n".join(lines) + "\n"


def _span(time: timedelta) -> str:
    """A time as people say it, in its largest whole unit."""
    units = {"day": timedelta(days=1), "hour": timedelta(hours=1), "minute": timedelta(minutes=1)}
    name, unit = next((name, unit) for name, unit in units.items() if not time % unit)
    return name if time == unit else f"{time // unit} {name}s"


def commands(command: Any, path: tuple[str, ...] = ("maestro",)) -> Iterator[tuple[str, Any]]:
    """Each command of the command line by its full name; an old name is none."""
    children: dict[str, Any] | None = getattr(command, "commands", None)
    if children is None:
        yield " ".join(path), command
        return
    for name, child in sorted(children.items()):
        if not child.hidden:
            yield from commands(child, (*path, name))


def cli_page() -> str:
    lines = ["# Command line", ""]
    for name, command in commands(typer.main.get_command(cli)):
        lines += [f"## `{name}`", "", (command.help or "").strip(), ""]
        shown = [one for one in command.params if not getattr(one, "hidden", False)]
        rows = [_parameter(parameter) for parameter in shown]
        if rows:
            lines += ["| | |", "|---|---|", *rows, ""]
    return "\n".join(lines)


def _parameter(parameter: Any) -> str:
    names = ", ".join(f"`{name}`" for name in parameter.opts)
    if parameter.param_type_name == "argument":
        names = f"`{parameter.name.upper()}`"
    return f"| {names} | {getattr(parameter, 'help', None) or ''} |"


def schema() -> dict[str, Any]:
    """The OpenAPI document of the native API."""
    return create_app(Settings()).openapi()


def api_page() -> str:
    lines = [
        "# HTTP API",
        "",
        "The whole contract is [`openapi.json`](openapi.json); a server shows it at `/docs`.",
        "",
        "| | | |",
        "|---|---|---|",
    ]
    for path, methods in sorted(schema()["paths"].items()):
        for method, operation in methods.items():
            meaning = " ".join(operation.get("description", "").split("\n\n")[0].split())
            lines.append(f"| {method.upper()} | `{path}` | {meaning} |")
    return "\n".join(lines) + "\n"


def mlflow_page() -> str:
    served = {(method, _bare(path)): path for method, path in _served_calls()}
    calls = {(method, _bare(path)): path for method, path in _known_calls()} | served
    found = {call: _answer(call, served) for call in sorted(calls, key=lambda call: call[::-1])}
    counted = Counter(found.values())
    clients = [_client(f"clients/{name}") for name in ("oldest", "middle")] + [_client("demo")]
    lines = [
        MLFLOW_CALLS.format(
            clients=f"{', '.join(clients[:-1])} and {clients[-1]}",
            comparisons=limits.MAX_COMPARISONS,
            pattern=comparing.MAX_PATTERN,
            listed=limits.MAX_LISTED,
            orders=limits.MAX_ORDERS,
            on_datasets=limits.MAX_ON_DATASETS,
            **{what: counted[what] for what in ("supported", "refused", "absent")},
        ),
        *(f"- `{'`, `'.join(words)}`: {why}." for why, words in _refusals().items()),
        "",
        "| call | |",
        "|---|---|",
        *(f"| {call[0]} `{calls[call]}` | {answer} |" for call, answer in found.items()),
    ]
    return "\n".join(lines) + "\n"


def _known_calls() -> Iterator[tuple[str, str]]:
    """What the client's own description of the protocol lists."""
    rpc = importlib.import_module("mlflow.protos.databricks_pb2").rpc
    for module, service in MLFLOW_SERVICES.items():
        described: Any = importlib.import_module(f"mlflow.protos.{module}").DESCRIPTOR
        for method in described.services_by_name[service].methods:
            for endpoint in method.GetOptions().Extensions[rpc].endpoints:
                path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", endpoint.path)
                yield endpoint.method, f"/api/{endpoint.since.major}.0/{path.lstrip('/')}"


def _served_calls() -> Iterator[tuple[str, str]]:
    for operation in operations():
        if operation.mlflow and operation.path.startswith("/api/"):
            yield operation.method, operation.path


def _answer(call: tuple[str, str], served: Container[tuple[str, str]]) -> str:
    if call in served:
        return "supported"
    return "refused" if refusal(call[1]) else "absent"


def _refusals() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for word, why in REFUSED.items():
        found.setdefault(why, []).append(word)
    return found


def _bare(path: str) -> str:
    """Without the names of what is filled in."""
    return re.sub(r"{[^}]*}", "{}", path)


def _client(lock: str) -> str:
    text = (DOCS.parent / "requirements" / f"{lock}.lock").read_text()
    (version,) = re.findall(r"^mlflow-skinny==([\d.]+)", text, re.MULTILINE)
    return str(version)


def events_page() -> str:
    lines = [
        "# Events",
        "",
        "What [webhooks](../guides/webhooks.md) can hear. `data` of a payload holds the fields of",
        "its event and nothing else; what is not known is null. MLflow's webhooks hear those with",
        "a name in the second column, in MLflow's shape, and their `data` is the same.",
        "",
        "| event | MLflow's name | |",
        "|---|---|---|",
    ]
    for event in EVENTS.values():
        theirs = f"`{event.name.replace('-', '_')}`" if event.mlflow else ""
        lines.append(f"| [`{event.name}`](#{_anchor(event.name)}) | {theirs} | {event.about} |")
    for event in EVENTS.values():
        lines += ["", f"## {event.name}", "", event.about, "", "| field | |", "|---|---|"]
        lines += [f"| `{name}` | {meaning} |" for name, meaning in event.fields.items()]
    return "\n".join(lines) + "\n"


def _anchor(heading: str) -> str:
    """As GitHub and the docs site make it."""
    return re.sub(r"[^a-z0-9_-]", "", heading.lower())


def pages() -> dict[Path, str]:
    """Every generated page and what stands in it."""
    found = {
        DOCS / "reference" / f"{name}.md": WRITTEN_BY + page()
        for name, page in {
            "settings": settings_page,
            "permissions": permissions_page,
            "errors": errors_page,
            "jobs": jobs_page,
            "cli": cli_page,
            "api": api_page,
            "mlflow": mlflow_page,
            "events": events_page,
        }.items()
    }
    for code, kind in errors().items():
        found[DOCS / "problems" / f"{code}.md"] = WRITTEN_BY + problem_page(kind)
    document = json.dumps(schema(), indent=1, sort_keys=True, ensure_ascii=False)
    found[DOCS / "reference" / "openapi.json"] = document + "\n"
    return found


def main() -> int:
    wanted = pages()
    stale = [page for page, text in wanted.items() if not page.exists() or page.read_text() != text]
    gone = sorted(set((DOCS / "problems").glob("*.md")) - set(wanted))
    if "--check" in sys.argv:
        for page in (*stale, *gone):
            sys.stderr.write(f"{page.relative_to(DOCS.parent)} is stale: run `make docs`.\n")
        return bool(stale or gone)
    for page in gone:
        page.unlink()
    for page in stale:
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(wanted[page])
    return 0


if __name__ == "__main__":
    sys.exit(main())
