"""The SDK's manners: what is sent again, what is not, and what a failure says."""

from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from maestro_ml.client import (
    Conflict,
    Invalid,
    MaestroApiError,
    MaestroClient,
    MaestroClientError,
    NoConnection,
    NotFound,
    TooManyRequests,
    Unavailable,
)
from maestro_ml.client.paging import pages
from maestro_ml.client.projects import Projects
from maestro_ml.client.transport import Transport
from maestro_ml.client.views import Answer, SignIn

Reply = httpx2.Response | Exception
TOKEN = "mlp_" + "x" * 46
FAILING = [httpx2.ReadError("reset"), httpx2.ReadTimeout("late"), httpx2.Response(503)]


class Wire:
    """A network that answers what a test wrote down, and remembers what was asked."""

    def __init__(self, *replies: Reply) -> None:
        self.replies = list(replies)
        self.asked: list[httpx2.Request] = []
        self.slept: list[float] = []

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.asked.append(request)
        reply = self.replies.pop(0)
        if isinstance(reply, Exception):
            raise reply
        return reply

    def transport(self, token: str | None = TOKEN) -> Transport:
        return Transport(
            "http://maestro.test",
            token,
            timeout=5,
            sleep=self.slept.append,
            http=httpx2.MockTransport(self),
        )


def answer(status: int = 200, body: Any = None, **headers: str) -> httpx2.Response:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx2.Response(status, json={} if body is None else body, headers=sent)


@pytest.mark.parametrize("failure", FAILING, ids=repr)
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_what_changes_nothing_twice_is_asked_again(method: str, failure: Reply) -> None:
    wire = Wire(failure, failure, answer())
    wire.transport().ask(method, "/x")
    assert (len(wire.asked), len(wire.slept)) == (3, 2)


@pytest.mark.parametrize("failure", [*FAILING, httpx2.Response(502)], ids=repr)
@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_what_may_have_been_done_is_never_sent_again(method: str, failure: Reply) -> None:
    wire = Wire(failure)
    with pytest.raises((NoConnection, Unavailable)):
        wire.transport().ask(method, "/x", json={})
    assert len(wire.asked) == 1


def test_what_never_left_is_sent_again_whatever_it_is() -> None:
    wire = Wire(httpx2.ConnectError("refused"), answer())
    wire.transport().ask("POST", "/x", json={})
    assert len(wire.asked) == 2


def test_patience_ends() -> None:
    wire = Wire(*[httpx2.ConnectError("refused")] * 9)
    with pytest.raises(NoConnection, match=r"No server can be reached at http://maestro\.test"):
        wire.transport().ask("GET", "/x")
    assert len(wire.asked) == 4


def test_a_server_that_stays_away_is_reported_as_it_answers() -> None:
    wire = Wire(*[httpx2.Response(503)] * 4)
    with pytest.raises(Unavailable):
        wire.transport().ask("GET", "/x")
    assert len(wire.asked) == 4


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_too_many_requests_waits_as_long_as_it_is_told(method: str) -> None:
    wire = Wire(answer(429, Retry_After="2"), answer())
    wire.transport().ask(method, "/x")
    assert wire.slept == [2.0]


@pytest.mark.parametrize("after", ["900", "", "soon", "-1"])
def test_a_long_or_senseless_wait_is_left_to_the_caller(after: str) -> None:
    wire = Wire(answer(429, Retry_After=after))
    with pytest.raises(TooManyRequests) as refused:
        wire.transport().ask("GET", "/x")
    assert refused.value.retry_after == (900.0 if after == "900" else None)
    assert wire.slept == []


def test_a_delete_whose_answer_was_lost_has_been_done() -> None:
    wire = Wire(httpx2.ReadError("reset"), answer(404))
    wire.transport().ask("DELETE", "/x")
    with pytest.raises(NotFound):
        Wire(answer(404)).transport().ask("DELETE", "/x")


def test_a_refusal_carries_everything_that_the_server_said() -> None:
    problem = {
        "type": "/problems/invalid",
        "detail": "The request does not fit the schema.",
        "faults": [{"at": ["body", "name"], "why": "Field required"}],
    }
    wire = Wire(answer(422, problem, X_Request_ID="r-1"))
    with pytest.raises(Invalid) as refused:
        wire.transport().ask("POST", "/x", json={})
    error = refused.value
    assert (error.status, error.code, error.request_id) == (422, "invalid", "r-1")
    assert str(error) == "The request does not fit the schema. name: Field required"


@pytest.mark.parametrize(
    "body", [None, [], "no", {"detail": 3}, {"faults": "x"}, {"faults": [1, {"at": 2}]}]
)
def test_an_error_in_no_known_shape_still_has_a_sentence(body: Any) -> None:
    with pytest.raises(Conflict, match="HTTP status 409"):
        Wire(httpx2.Response(409, json=body)).transport().ask("POST", "/x")


def test_a_page_of_something_else_is_no_answer() -> None:
    with pytest.raises(MaestroClientError, match="not as a Maestro server"):
        Wire(httpx2.Response(200, text="<html>")).transport().ask("GET", "/x")
    with pytest.raises(MaestroApiError, match="HTTP status 418"):
        Wire(httpx2.Response(418, text="<html>")).transport().ask("GET", "/x")


def test_a_token_is_not_carried_along_to_another_address() -> None:
    wire = Wire(httpx2.Response(301, headers={"Location": "https://elsewhere.test/"}))
    with pytest.raises(MaestroClientError, match=r"https://elsewhere\.test/"):
        wire.transport().ask("GET", "/x")
    assert len(wire.asked) == 1


def test_a_list_is_read_page_by_page_and_no_further_than_needed() -> None:
    wire = Wire(
        answer(body={"items": [{}, {}], "next_cursor": "c"}),
        answer(body={"items": [{}], "next_cursor": None}),
    )
    reading = pages(wire.transport(), "/x", Answer, params={"q": "a", "none": None})
    next(reading)
    assert len(wire.asked) == 1
    assert len(list(reading)) == 2
    assert [dict(r.url.params) for r in wire.asked] == [
        {"limit": "100", "q": "a"},
        {"limit": "100", "q": "a", "cursor": "c"},
    ]


def test_a_slug_leads_to_its_project_or_to_nothing() -> None:
    wire = Wire(answer(body={"items": [], "next_cursor": None}))
    with pytest.raises(NotFound, match="no such project"):
        Projects(wire.transport()).get("../auth/me")
    assert wire.asked[0].url.path == "/api/v1/projects"


@pytest.mark.parametrize("deed", [lambda c: c.jobs.get("../x"), lambda c: c.users.get("me?")])
def test_only_ids_get_into_an_address(deed: Callable[[MaestroClient], Any]) -> None:
    with MaestroClient() as client, pytest.raises(MaestroClientError, match="is no id"):
        deed(client)


@pytest.mark.parametrize("url", ["", "maestro", "ftp://x", "http://", "/x"])
def test_an_address_that_is_none_is_refused_at_once(url: str) -> None:
    with pytest.raises(MaestroClientError, match="is no address"):
        MaestroClient(url)


def test_a_password_in_an_address_is_refused_without_repeating_it() -> None:
    with pytest.raises(MaestroClientError) as refused:
        MaestroClient("https://ada:geheim@maestro.test")
    assert "geheim" not in str(refused.value)


def test_no_token_is_printed() -> None:
    with MaestroClient("https://maestro.test/", token=TOKEN) as client:
        shown = repr(client) + repr(vars(client))
        assert TOKEN not in shown
        assert client.url == "https://maestro.test"
    user = {"id": "0" * 32, "email": "a@b.test", "name": "a", "role": None}
    signed_in = SignIn.model_validate(
        {
            "access_token": TOKEN,
            "refresh_token": TOKEN,
            "token_type": "bearer",
            "expires_in": 900,
            "user": user,
        }
    )
    assert TOKEN not in repr(signed_in)


def test_the_token_goes_along_until_the_client_acts_as_another() -> None:
    wire = Wire(answer(), answer(), answer())
    transport = wire.transport()
    for token in (TOKEN, "other", None):
        transport.act_as(token)
        transport.ask("GET", "/x")
    assert [r.headers.get("Authorization") for r in wire.asked] == [
        f"Bearer {TOKEN}",
        "Bearer other",
        None,
    ]
