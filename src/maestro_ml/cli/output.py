"""What commands print: data to standard output, words to standard error."""

import json
import sys
from collections.abc import Collection, Mapping, Sequence
from typing import Annotated, Any, Protocol

import typer

FAILED = 1
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do it without asking.")]


class Refused(Exception):
    """A command ends here, with a sentence for a person and an exit code for a program."""

    def __init__(self, sentence: str, code: int = FAILED) -> None:
        super().__init__(sentence)
        self.code = code


class Printable(Protocol):
    def model_dump(self, *, mode: str) -> dict[str, Any]: ...


def say(words: str) -> None:
    """Words for a person, which never get into a pipe."""
    typer.echo(harmless(words), err=True)


def give(data: str) -> None:
    """Data: what a command is for."""
    typer.echo(harmless(data))


def give_json(data: Any) -> None:
    typer.echo(json.dumps(data, indent=2, ensure_ascii=False))


def give_list(
    items: Sequence[Printable], columns: Mapping[str, str], *, as_json: bool, empty: str
) -> None:
    """A table of the named fields, or everything as JSON. `empty` says what to do next."""
    rows = [item.model_dump(mode="json") for item in items]
    if as_json:
        give_json(rows)
    elif rows:
        _table([*columns.values()], [[_cell(row.get(field)) for field in columns] for row in rows])
    else:
        say(empty)


def give_one(item: Printable, *, as_json: bool, leave_out: Collection[str] = ()) -> None:
    """Every field that says something, one a line, but for those that people see otherwise."""
    fields = item.model_dump(mode="json")
    if as_json:
        give_json(fields)
        return
    told = {n.replace("_", " "): _cell(v) for n, v in fields.items() if n not in leave_out}
    width = max(map(len, told))
    for name, value in told.items():
        if value:
            give(f"{name:<{width}}  {value}")


def confirm(question: str, *, yes: bool) -> None:
    """Go on only when a person, or `--yes`, says so.

    Raises:
        Refused: they said no, or there is nobody to ask.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise Refused(f"{question} Nobody is here to say so: give --yes.")
    if not typer.confirm(harmless(question), err=True):
        raise Refused("Nothing was done.")


def harmless(text: str) -> str:
    """Names come from other people: no control character of theirs reaches the terminal."""
    return "".join(c if c.isprintable() or c == "\n" else "\ufffd" for c in text)


def _table(header: list[str], rows: list[list[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    for row in [header, *rows]:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        give("  ".join(cells).rstrip())


def _cell(value: Any) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case list():
            return ", ".join(map(_cell, value))
        case {"slug": slug}:
            return str(slug)
        case dict():
            return json.dumps(value, ensure_ascii=False) if value else ""
    return "" if value is None else str(value).replace("\n", " ")
