"""The client that leaves the house: where it goes, and what it takes from there."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from ipaddress import ip_address
from typing import Any

import pytest

from maestro_ml.core.settings_groups import OutboundSettings
from maestro_ml.outbound import client
from maestro_ml.outbound.addresses import Target, is_public, target_of
from maestro_ml.outbound.client import MOST_BYTES, Outbound
from maestro_ml.outbound.errors import AddressRefused, OutboundFailed
from support.issuer import HOST, Issuer, an_issuer

INSIDE = (
    *("127.0.0.1", "127.8.8.8", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.1.1"),
    *("169.254.169.254", "100.64.0.1", "100.127.255.255", "224.0.0.1", "239.1.2.3", "240.0.0.1"),
    *("255.255.255.255", "192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "192.88.99.1"),
    *("::1", "::", "fe80::1", "fec0::1", "fd00::1", "fc00::1", "ff02::1", "2001:db8::1"),
    *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a00:1"),
    *("64:ff9b:1::808:808", "2002:7f00:1::", "2002:a00:1::1", "2001::1", "100::1", "3fff::1"),
)


Names = dict[str, list[list[str]]]


def outbound(*allow: str) -> Outbound:
    return Outbound(OutboundSettings(allow=list(allow)))


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with an_issuer() as issuer:
        yield issuer


@pytest.mark.rows(73)
@pytest.mark.parametrize("address", INSIDE)
def test_what_is_inside_is_not_public(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]
)
def test_what_is_on_the_internet_is(address: str) -> None:
    assert is_public(ip_address(address))


@pytest.mark.rows(73)
@pytest.mark.parametrize("address", INSIDE)
async def test_a_name_that_leads_inside_is_refused(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    names(monkeypatch, {"somewhere.test": [[address]]})
    with pytest.raises(AddressRefused):
        await outbound().check("https://somewhere.test")
    with pytest.raises(AddressRefused):
        await outbound().get("https://somewhere.test")


@pytest.mark.rows(73)
async def test_one_address_inside_among_many_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    names(monkeypatch, {"somewhere.test": [["8.8.8.8", "127.0.0.1"]]})
    with pytest.raises(AddressRefused):
        await outbound().get("https://somewhere.test")


@pytest.mark.rows(73)
async def test_a_name_that_changes_its_mind_changes_nothing(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """First an address that may be called, then, for whoever asks again, one that may not."""
    asked = names(monkeypatch, {"rebinding.test": [[HOST], ["127.0.0.1"]]})
    port = issuer.url.rpartition(":")[2]
    server = outbound(HOST)
    assert (await server.get(f"http://rebinding.test:{port}/keys")).status == 200
    assert asked == ["rebinding.test"]
    with pytest.raises(AddressRefused):
        await server.get(f"http://rebinding.test:{port}/keys")


@pytest.mark.parametrize(
    "url",
    [
        *("127.0.0.1", "//127.0.0.1", "file:///etc/passwd", "gopher://x.test", "unix:/run/x"),
        *("s3://other", "javascript:x", "https://", "https:///x", "http://a@127.0.0.1"),
        *(
            "https://user:pw@x.test",
            "http://evil#@good.test",
            "https://x.test#y",
            "https://x.test\\@y",
        ),
        *(
            "https://x.test:99999",
            "https://x.test:abc",
            "https://x .test",
            "https://x.test/\r\nX: y",
        ),
        *("https://ex\u00e4mple.test", "https://[::1", "https://x.test/\x00", "HTTPS//x", ""),
        "https://x.test/" + "a" * 3000,
    ],
)
async def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(AddressRefused):
        target_of(url)
    with pytest.raises(AddressRefused):
        await outbound("127.0.0.1").get(url)


@pytest.mark.rows(73)
@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "0.0.0.0",
        "0",
        "2130706433",
        "0x7f.1",
        "127.1",
        "017700000001",
        "localhost.",
        "LOCALHOST",
        "169.254.169.254",
        "[fd00::]",
        "10.0.0.1",
    ],
)
@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_nothing_inside_is_ever_connected_to(scheme: str, host: str) -> None:
    family = socket.AF_INET6 if host.startswith("[::1") else socket.AF_INET
    at = "::1" if family is socket.AF_INET6 else "127.0.0.1"
    with socket.create_server((at, 0), family=family) as listener:
        listener.setblocking(False)
        port = listener.getsockname()[1]
        with pytest.raises(AddressRefused):
            await outbound().get(f"{scheme}://{host}:{port}/")
        with pytest.raises(BlockingIOError):
            listener.accept()


@pytest.mark.rows(73)
@pytest.mark.parametrize("url", ["http://8.8.8.8", "https://8.8.8.8:22", "https://8.8.8.8:6379"])
async def test_the_internet_is_called_encrypted_and_where_web_servers_are(url: str) -> None:
    with pytest.raises(AddressRefused):
        await outbound().get(url)
    with pytest.raises(AddressRefused):
        await outbound().check(url)


@pytest.mark.parametrize("allow", [HOST, "127.0.0.2/32", "127.0.0.0/30", "localhost", "LocalHost."])
async def test_what_the_operator_lists_is_called(
    issuer: Issuer, allow: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    names(monkeypatch, {"localhost": [[HOST]], HOST: [[HOST]]})
    host = "localhost" if "ocal" in allow else HOST
    port = issuer.url.rpartition(":")[2]
    assert (await outbound(allow.rstrip(".")).get(f"http://{host}:{port}/keys")).json()["keys"]


async def test_what_is_beside_the_list_is_not(issuer: Issuer) -> None:
    with pytest.raises(AddressRefused):
        await outbound("127.0.0.3", "issuer.test", "10.0.0.0/8").get(issuer.url)


def answering(
    issuer: Issuer, status: int, headers: dict[str, str], body: Callable[[Any], None]
) -> None:
    def answer(door: BaseHTTPRequestHandler) -> bool:
        door.send_response(status)
        for name, value in headers.items():
            door.send_header(name, value)
        door.end_headers()
        body(door.wfile)
        return True

    issuer.answers = answer


@pytest.mark.rows(74)
async def test_redirects_are_not_followed(issuer: Issuer) -> None:
    for status in (301, 302, 303, 307, 308):
        headers = {"Location": f"{issuer.url}/elsewhere", "Content-Length": "0"}
        answering(issuer, status, headers, lambda _: None)
        assert (await outbound(HOST).get(f"{issuer.url}/here")).status == status
    assert set(issuer.requests) == {"/here"}


@pytest.mark.rows(74)
async def test_a_large_answer_is_cut_off(issuer: Issuer) -> None:
    sent = 0

    def pour(out: Any) -> None:
        nonlocal sent
        try:
            for _ in range(1000):
                sent += out.write(b"x" * 2**16)
        except OSError:
            return

    answering(issuer, 200, {}, pour)
    with pytest.raises(OutboundFailed):
        await outbound(HOST).get(issuer.url)
    assert sent < 20 * MOST_BYTES


@pytest.mark.rows(74)
async def test_a_packed_answer_is_not_unpacked(issuer: Issuer) -> None:
    body = b"\x1f\x8b not really"
    headers = {"Content-Encoding": "gzip", "Content-Length": str(len(body))}
    answering(issuer, 200, headers, lambda out: out.write(body))
    assert (await outbound(HOST).get(issuer.url)).body == body


@pytest.mark.rows(74)
async def test_a_slow_answer_is_given_up(issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Drop by drop, so that no single wait is long."""
    monkeypatch.setattr(client, "PATIENCE", 0.3)

    def drip(out: Any) -> None:
        try:
            for _ in range(1000):
                out.write(b"x")
                time.sleep(0.02)
        except OSError:
            return

    answering(issuer, 200, {"Content-Length": "1000"}, drip)
    with pytest.raises(OutboundFailed):
        await outbound(HOST).get(issuer.url)


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b"<html>", b'"x"', b"[" * 100_000, b"\xff"])
async def test_what_is_no_object_is_no_answer(issuer: Issuer, body: bytes) -> None:
    answering(issuer, 200, {"Content-Length": str(len(body))}, lambda out: out.write(body))
    answer = await outbound(HOST).get(issuer.url)
    with pytest.raises(OutboundFailed):
        answer.json()


@pytest.mark.rows(73)
async def test_open_closed_and_strange_ports_read_the_same(issuer: Issuer) -> None:
    """And a certificate that nobody vouches for is as good as none."""
    with socket.create_server((HOST, 0)) as taken, silent() as mute:
        closed = taken.getsockname()[1]
        taken.close()
        port = issuer.url.rpartition(":")[2]
        urls = [f"http://{HOST}:{closed}", f"https://{HOST}:{port}", f"http://{HOST}:{mute}"]
        told = set()
        for url in urls:
            with pytest.raises(OutboundFailed) as failed:
                await outbound(HOST).get(url)
            told.add(failed.value.detail)
    assert len(told) == 1


@contextmanager
def silent() -> Iterator[int]:
    """Something that listens and hangs up."""
    with socket.create_server((HOST, 0)) as listener:

        def hang_up() -> None:
            try:
                listener.accept()[0].close()
            except OSError:
                return

        thread = threading.Thread(target=hang_up)
        thread.start()
        yield listener.getsockname()[1]
        listener.close()
        thread.join(5)


async def test_a_name_that_nobody_knows_may_be_known_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names(monkeypatch, {})
    await outbound().check("https://not-yet.test")
    with pytest.raises(OutboundFailed):
        await outbound().get("https://not-yet.test")


@pytest.mark.parametrize(
    "entry", ["http://x.test", "x.test:80", "300.1.1.1", "1.2.3.4/99", "*", "-"]
)
def test_a_list_that_makes_no_sense_stops_the_start(entry: str) -> None:
    with pytest.raises(ValueError, match="network or a host name"):
        OutboundSettings(allow=[entry])


def names(monkeypatch: pytest.MonkeyPatch, known: Names) -> list[str]:
    """What the resolver knows, of one name one answer after the other; gives what it was asked."""
    asked: list[str] = []

    def getaddrinfo(host: str, port: int, **_: Any) -> list[Any]:
        asked.append(host)
        if host not in known:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        found = known[host].pop(0) if len(known[host]) > 1 else known[host][0]
        return [(0, 0, 0, "", (address, port)) for address in found]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return asked


def test_a_target_names_itself_as_http_wants_it() -> None:
    assert target_of("https://x.test").authority == "x.test"
    assert target_of("https://x.test:8443/a?b=c") == Target("https", "x.test", 8443, "/a?b=c")
    assert target_of("http://[::1]:8080").authority == "[::1]:8080"
