"""The command line without a server: what it keeps, what it prints, what it refuses."""

import io
import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from maestro_ml.cli import credentials, output
from maestro_ml.cli.codes import EXIT_CODES, Exit
from maestro_ml.cli.credentials import Credentials
from maestro_ml.cli.main import app, run
from maestro_ml.cli.output import Refused
from maestro_ml.client.views import Answer

TOKEN = "mlp_" + "k" * 46
HEAVY = ("httpx2", "pydantic", "sqlalchemy", "fastapi", "uvicorn", "mlflow", "sklearn")


class Thing(Answer):
    name: str
    tags: list[str] = []
    good: bool = True
    note: str | None = None


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nobody is signed in, and nothing of this machine's settings is known."""
    for name in [n for n in os.environ if n.startswith("MAESTRO_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("MAESTRO_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def kept() -> Credentials:
    made = Credentials(url="https://maestro.test", token=TOKEN, email="ada@lab.test", key_id="1")
    credentials.save(made)
    return made


def maestro(monkeypatch: pytest.MonkeyPatch, *args: str) -> int:
    monkeypatch.setattr(sys, "argv", ["maestro", *args])
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    with pytest.raises(SystemExit) as ended:
        run()
    assert isinstance(ended.value.code, int)
    return ended.value.code


def commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; from maestro_ml.cli.main import run\n"
        "sys.argv = ['maestro', '--help']\n"
        "try: run()\n"
        f"except SystemExit: print(*({HEAVY!r} & sys.modules.keys()))"
    ).replace(repr(HEAVY), f"set({HEAVY!r})")
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert "Maestro ML" in done.stdout
    assert done.stdout.splitlines()[-1] == ""


def test_every_command_and_option_explains_itself() -> None:
    for path, command in commands(typer.main.get_command(app)):
        assert command.help, path
        for parameter in command.params:
            if parameter.name != "role" or parameter.param_type_name == "option":
                assert getattr(parameter, "hidden", False) or parameter.help, (path, parameter.name)


def test_every_command_that_reads_can_speak_json() -> None:
    reading = {"list", "show", "current", "whoami", "status", "check", "version", "watch"}
    for path, command in commands(typer.main.get_command(app)):
        if path[-1] in reading:
            assert any("--json" in p.opts for p in command.params), path


def test_every_exit_code_is_told() -> None:
    assert all(f" {code.value} " in EXIT_CODES for code in Exit)


def test_the_key_is_kept_where_only_its_owner_can_read(home: Path) -> None:
    os.umask(os.umask(0))
    path = credentials.save(Credentials(url="https://maestro.test", token=TOKEN))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    assert credentials.load() == Credentials(url="https://maestro.test", token=TOKEN)


def test_a_key_that_others_could_read_is_not_used(kept: Credentials) -> None:
    credentials.file().chmod(0o640)
    with pytest.raises(Refused, match="revoke that key"):
        credentials.load()


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"url": 1, "bogus": 2}', "\x00", '"x"'])
def test_a_broken_file_says_what_to_do(kept: Credentials, content: str) -> None:
    credentials.file().write_text(content)
    with pytest.raises(Refused, match="maestro login"):
        credentials.load()


def test_a_folder_that_cannot_be_written_leaves_the_old_key(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "file").write_text("")
    monkeypatch.setenv("MAESTRO_CONFIG_DIR", str(home / "file" / "config"))
    with pytest.raises(Refused, match="cannot be written"):
        credentials.save(Credentials(url="https://maestro.test", token=TOKEN))


def test_the_key_is_not_printed(kept: Credentials) -> None:
    assert TOKEN not in repr(kept)


def test_without_a_sign_in_the_next_command_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert maestro(monkeypatch, "projects", "list") == 1
    said = capsys.readouterr()
    assert (said.out, said.err) == (
        "",
        "Nobody is signed in: run `maestro login`, or set MAESTRO_TOKEN.\n",
    )


def test_a_key_does_not_travel_to_a_server_it_was_not_made_for(
    kept: Credentials, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MAESTRO_URL", "https://elsewhere.test")
    assert maestro(monkeypatch, "whoami") == 1
    assert "MAESTRO_URL names https://elsewhere.test" in capsys.readouterr().err


def test_no_server_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MAESTRO_TOKEN", TOKEN)
    monkeypatch.setenv("MAESTRO_URL", "http://127.0.0.1:1")
    monkeypatch.setattr("maestro_ml.client.transport._back_off", lambda _: 0.0)
    assert maestro(monkeypatch, "whoami") == 1
    said = capsys.readouterr().err
    assert said.startswith("No server can be reached at http://127.0.0.1:1")
    assert said.count("\n") == 1


def test_logging_out_says_what_it_did_and_what_not(
    kept: Credentials, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert maestro(monkeypatch, "logout") == 0
    assert credentials.load() is None
    assert "`maestro tokens revoke 1`" in capsys.readouterr().err
    assert maestro(monkeypatch, "logout") == 0
    assert "Nobody is signed in" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("args", "option"),
    [
        (("login",), "--email"),
        (("login", "--email", "a@b.test"), "--password-stdin"),
        (("admin", "setup"), "--token"),
        (("join",), "--invitation"),
        (("tokens", "revoke", "1"), "--yes"),
        (("users", "deactivate", "a@b.test"), "--yes"),
        (("users", "remove", "a@b.test"), "--yes"),
        (("invites", "revoke", "1"), "--yes"),
        (("service-accounts", "delete", "bot"), "--yes"),
        (("service-accounts", "keys", "revoke", "bot", "1"), "--yes"),
        (("tenants", "suspend", "acme"), "--yes"),
        (("tenants", "delete", "acme"), "--yes"),
        (("accounts", "disable", "a@b.test"), "--yes"),
        (("db", "downgrade", "base"), "--yes"),
        (("admin", "rotate-keys"), "--yes"),
    ],
)
def test_without_a_terminal_the_option_to_give_is_named(
    args: tuple[str, ...],
    option: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert maestro(monkeypatch, *args) == 1
    said = capsys.readouterr().err
    assert option in said
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    "args",
    [("bogus",), ("projects", "list", "--bogus"), ("projects", "show"), ("serve", "--port", "x")],
)
def test_a_senseless_line_is_exit_code_2(
    args: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert maestro(monkeypatch, *args) == 2


def test_a_list_is_a_table_for_people_and_json_for_programs(
    capsys: pytest.CaptureFixture[str],
) -> None:
    things = [Thing(name="a", tags=["x", "y"]), Thing(name="longer", good=False)]
    columns = {"name": "NAME", "tags": "TAGS", "good": "GOOD", "note": "NOTE"}
    output.give_list(things, columns, as_json=False, empty="Nothing.")
    table = capsys.readouterr().out
    assert table.splitlines() == [
        "NAME    TAGS  GOOD  NOTE",
        "a       x, y  yes",
        "longer        no",
    ]
    output.give_list(things, columns, as_json=True, empty="Nothing.")
    assert [row["name"] for row in json.loads(capsys.readouterr().out)] == ["a", "longer"]


def test_an_empty_list_is_words_for_people_and_an_empty_list_for_programs(
    capsys: pytest.CaptureFixture[str],
) -> None:
    output.give_list([], {"name": "NAME"}, as_json=False, empty="Nothing: `maestro make`.")
    assert capsys.readouterr() == ("", "Nothing: `maestro make`.\n")
    output.give_list([], {"name": "NAME"}, as_json=True, empty="Nothing.")
    assert json.loads(capsys.readouterr().out) == []


def test_a_name_cannot_drive_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    evil = Thing(name="\x1b]0;owned\x07\x1b[2J\u202eevil\nSLUG")
    output.give_list([evil], {"name": "NAME"}, as_json=False, empty="")
    output.give_one(evil, as_json=False)
    shown = capsys.readouterr().out
    assert not {"\x1b", "\x07", "\u202e"} & set(shown)
    assert len(shown.splitlines()) == 2 + 2


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_completes_commands(shell: str, home: Path) -> None:
    typed = "maestro service-accounts keys "
    asking = {
        "_MAESTRO_COMPLETE": f"complete_{shell}",
        "_TYPER_COMPLETE_ARGS": typed,
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
        "COMP_WORDS": typed,
        "COMP_CWORD": "3",
    }
    code = "from maestro_ml.cli.main import run; run()"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, **asking, "HOME": str(home)},
    )
    for command in ("list", "create", "revoke"):
        assert command in done.stdout, done.stderr


def test_keys_are_tokens_and_still_listen_to_their_first_name() -> None:
    group: Any = typer.main.get_command(app)
    assert group.commands["api-keys"].hidden
    assert group.commands["api-keys"].commands.keys() == group.commands["tokens"].commands.keys()
