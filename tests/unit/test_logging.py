"""Log lines: one JSON object each, with the request's ids, and no secret wherever it hides."""

import json
import logging
import os
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
import structlog

from maestro_ml.core.logging import configure
from maestro_ml.core.settings_groups import Log
from maestro_ml.identity import tokens

JWT = "eyJhbGciOiJFZDI1NTE5In0.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    configure(Log())
    yield
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_a_line_carries_the_request_it_belongs_to(capsys: pytest.CaptureFixture[str]) -> None:
    configure(Log())
    structlog.contextvars.bind_contextvars(request_id="r1", tenant_id="t1")
    structlog.get_logger().info("projects.create", name="n")
    logging.getLogger("somebody.else").warning("they say %s", "this")
    ours, theirs = lines(capsys)
    assert (ours["event"], ours["request_id"], ours["tenant_id"]) == ("projects.create", "r1", "t1")
    assert ours["level"] == "info"
    assert (theirs["event"], theirs["request_id"]) == ("they say this", "r1")


@pytest.mark.parametrize("name", ["password", "new_password", "access_token", "Authorization"])
def test_a_value_under_a_secrets_name_is_hidden(
    capsys: pytest.CaptureFixture[str], name: str
) -> None:
    configure(Log())
    structlog.get_logger().info("x.y", **{name: "open sesame"}, inner={name: "open sesame"})
    assert "open sesame" not in json.dumps(lines(capsys))


@pytest.mark.parametrize(
    "secret",
    [
        *(tokens.mint(kind) for kind in (tokens.API_KEY, tokens.REFRESH, tokens.SETUP)),
        JWT,
        "$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA",
        "$2b$12$abcdefghijklmnopqrstuv",
    ],
    ids=lambda secret: secret[:4],
)
def test_what_looks_like_a_secret_is_hidden_anywhere(
    capsys: pytest.CaptureFixture[str], secret: str
) -> None:
    configure(Log())
    structlog.get_logger().info("x.y", words=f"before {secret} after", more=[{"a": secret}])
    logging.getLogger("else").warning("given %s", secret)
    structlog.get_logger().error("x.broken", exc_info=ValueError(secret))
    found = lines(capsys)
    assert secret not in json.dumps(found)
    assert found[0]["words"] == "before (hidden) after"
    assert "ValueError" in found[2]["exception"]


def test_a_password_in_an_address_is_hidden(capsys: pytest.CaptureFixture[str]) -> None:
    configure(Log())
    for words in (
        "postgresql://me:hunter2@db/maestro",
        "redis://:hunter2@cache/0",
        "Authorization: Bearer hunter2",
        ValueError("password=hunter2"),
    ):
        structlog.get_logger().info("x.y", words=words)
    assert "hunter2" not in json.dumps(lines(capsys))


def test_a_line_cannot_be_forged(capsys: pytest.CaptureFixture[str]) -> None:
    configure(Log())
    structlog.get_logger().info("x.y", name='n\r\n{"event": "forged"}\x1b[31m\u2028')
    (line,) = lines(capsys)
    assert line["event"] == "x.y"


def test_the_level_is_the_settings(capsys: pytest.CaptureFixture[str]) -> None:
    configure(Log(level="error"))
    structlog.get_logger().info("x.y")
    assert lines(capsys) == []


def test_nothing_stops_when_nobody_reads_the_log_any_more(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    configure(Log())
    with suppress(BrokenPipeError), os.fdopen(writing, "w", buffering=1) as gone:
        monkeypatch.setattr("sys.stderr", gone)
        structlog.get_logger().info("x.y")
        structlog.get_logger().error("x.z")
        monkeypatch.undo()
    structlog.get_logger().info("x.again")
    assert [one["event"] for one in lines(capsys)] == ["x.again"]
