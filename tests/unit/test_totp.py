"""Codes of an app by the standard's own figures, and recovery codes as people type them."""

import base64
from datetime import UTC, datetime

import pytest

from maestro_ml.identity import recovery_codes, totp

SECRET = base64.b32encode(b"12345678901234567890").decode()


@pytest.mark.parametrize(
    ("seconds", "code"),
    [
        (59, "287082"),
        (1111111109, "081804"),
        (1111111111, "050471"),
        (1234567890, "005924"),
        (2000000000, "279037"),
        (20000000000, "353130"),
    ],
)
def test_the_codes_are_those_of_rfc_6238(seconds: int, code: str) -> None:
    moment = datetime.fromtimestamp(seconds, UTC)
    assert totp.step_of(SECRET, code, moment) == seconds // 30


def test_a_code_counts_one_step_early_and_late() -> None:
    step = 1234567890 // 30
    for away, found in ((-2, None), (-1, step), (0, step), (1, step), (2, None)):
        moment = datetime.fromtimestamp((step + away) * 30, UTC)
        assert totp.step_of(SECRET, "005924", moment) == found


def test_a_secret_is_160_bits_and_every_one_is_another() -> None:
    made = {totp.new_secret() for _ in range(50)}
    assert len(made) == 50
    assert {len(base64.b32decode(secret)) for secret in made} == {20}


def test_an_app_reads_who_and_where_from_the_code() -> None:
    uri = totp.uri(SECRET, "ada@lab.test")
    assert uri.startswith("otpauth://totp/Maestro%20ML:ada")
    assert f"secret={SECRET}" in uri
    assert totp.svg(totp.qr(uri)).startswith("<svg xmlns=")


def test_the_rows_of_a_code_are_its_modules_without_a_margin() -> None:
    code = totp.qr(totp.uri(SECRET, "ada@lab.test"))
    rows = totp.rows(code)
    assert {len(row) for row in rows} == {len(rows)}
    for row in (rows[0], rows[-7]):
        assert row.startswith("11111110")  # the marks in three corners, and white around them
    assert rows[0].endswith("01111111")
    assert [[module == "1" for module in row] for row in rows] == [
        [bool(module) for module in row] for row in code.matrix_iter(border=0)
    ]


def test_ten_recovery_codes_are_found_each_by_its_own_letters() -> None:
    codes = recovery_codes.mint()
    assert len({recovery_codes.parts(code)[0] for code in codes}) == recovery_codes.COUNT == 10
    assert {len(recovery_codes.parts(code)[1]) for code in codes} == {10}


@pytest.mark.parametrize("typed", ["K3FQ 9xm2t 4hw8z", "k3fq9xm2t4hw8z", "k3fq-9xm2t-4hw8z"])
def test_how_a_recovery_code_is_typed_does_not_matter(typed: str) -> None:
    assert recovery_codes.parts(typed) == ("k3fq", "9xm2t4hw8z")


def test_letters_that_read_alike_are_alike() -> None:
    assert recovery_codes.parts("OIL0-00000-00000") == ("0110", "0000000000")
