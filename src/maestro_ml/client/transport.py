"""One request: where it goes, when it may be repeated, and what its failure means."""

import random
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self
from uuid import UUID

import httpx2

from maestro_ml.client.errors import MaestroClientError, NoConnection, error_of

API = "/api/v1"
ATTEMPTS = 4
LONGEST_WAIT = 10.0
# Repeating one of these changes nothing that the first did not.
REPEATABLE = frozenset({"GET", "HEAD", "PUT", "DELETE"})
PASSING = frozenset({502, 503, 504})
# The connection was never made, so nobody has seen the request.
UNSENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)

Params = Mapping[str, str | int | bool | list[int] | None]


class Transport:
    """Speaks HTTP to one server. Knows no resource."""

    def __init__(
        self,
        url: str,
        token: str | None,
        *,
        timeout: float,
        ca_file: Path | None = None,
        sleep: Callable[[float], None] = time.sleep,
        http: httpx2.BaseTransport | None = None,
    ) -> None:
        self.url = _checked(url)
        self._token = token
        self._sleep = sleep
        self._http = httpx2.Client(
            base_url=self.url,
            timeout=httpx2.Timeout(timeout, connect=min(timeout, 10.0)),
            verify=ssl.create_default_context(cafile=ca_file) if ca_file else True,
            headers={"Accept": "application/json", "User-Agent": "maestro-ml-client"},
            transport=http,
        )

    def act_as(self, token: str | None) -> None:
        """Send this token from now on."""
        self._token = token

    def ask(self, method: str, path: str, *, json: Any = None, params: Params | None = None) -> Any:
        """The JSON of the answer, None where it has no body.

        Raises:
            MaestroApiError: the server refused or failed; the subclass says how.
            NoConnection: no server answered.
        """
        answer = self._sent(method, path, json=json, params=params)
        if not answer.content:
            return None
        try:
            return answer.json()
        except ValueError:
            raise MaestroClientError(
                f"{self.url} answers, but not as a Maestro server does: check the address."
            ) from None

    @contextmanager
    def stream(self, path: str) -> Iterator[Iterator[str]]:
        """The lines of an answer that goes on for as long as the server has something to say."""
        headers = {**self._headers(), "Accept": "text/event-stream"}
        timeout = httpx2.Timeout(60.0, connect=10.0)
        try:
            with self._http.stream("GET", API + path, headers=headers, timeout=timeout) as answer:
                if not answer.is_success:
                    answer.read()
                    raise self._error(answer)
                yield answer.iter_lines()
        except httpx2.TransportError as broken:
            raise self._no_connection(broken) from None

    @contextmanager
    def download(self, path: str, *, params: Params | None = None) -> Iterator[Iterator[bytes]]:
        """The bytes of an answer of any length, as they arrive.

        Raises:
            MaestroApiError: the server refused or failed; the subclass says how.
            NoConnection: no server answered, or it broke off.
        """
        asked = {k: v for k, v in (params or {}).items() if v is not None}
        headers = self._headers()
        try:
            with self._http.stream("GET", API + path, params=asked, headers=headers) as answer:
                if not answer.is_success:
                    answer.read()
                    raise self._error(answer)
                yield answer.iter_bytes()
        except httpx2.TransportError as broken:
            raise self._no_connection(broken) from None

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Transport({self.url!r})"

    def _sent(self, method: str, path: str, *, json: Any, params: Params | None) -> httpx2.Response:
        asked = {k: v for k, v in (params or {}).items() if v is not None}
        for attempt in range(1, ATTEMPTS + 1):
            last = attempt == ATTEMPTS
            try:
                answer = self._http.request(
                    method, API + path, json=json, params=asked, headers=self._headers()
                )
            except httpx2.TransportError as broken:
                if last or not (method in REPEATABLE or isinstance(broken, UNSENT)):
                    raise self._no_connection(broken) from None
                wait = _back_off(attempt)
            else:
                if answer.is_success:
                    return answer
                if method == "DELETE" and attempt > 1 and answer.status_code == 404:
                    return answer  # the attempt whose answer was lost has done it
                asked_for = _wait(method, attempt, answer)
                if last or asked_for is None:
                    raise self._error(answer)
                wait = asked_for
            self._sleep(wait)
        raise AssertionError("the last attempt returns or raises")

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token}"} if self._token else {}

    def _error(self, answer: httpx2.Response) -> MaestroClientError:
        if answer.is_redirect:
            return MaestroClientError(
                f"{self.url} redirects to {answer.headers.get('Location', 'elsewhere')}, and a "
                "token is not carried along: give that address instead."
            )
        try:
            body = answer.json()
        except ValueError:
            body = None
        return error_of(
            answer.status_code,
            body,
            request_id=answer.headers.get("X-Request-ID"),
            retry_after=_retry_after(answer),
        )

    def _no_connection(self, broken: Exception) -> NoConnection:
        if isinstance(broken, httpx2.TimeoutException):
            return NoConnection(f"{self.url} did not answer in time.")
        why = str(broken).rstrip(".") or type(broken).__name__
        if isinstance(broken, UNSENT):
            return NoConnection(f"No server can be reached at {self.url}: {why}.")
        return NoConnection(f"{self.url} did not finish its answer: {why}.")


def _wait(method: str, attempt: int, answer: httpx2.Response) -> float | None:
    """Seconds until the next attempt, or None: it is not repeated."""
    if answer.status_code == 429:  # refused before anything was done, whatever the method
        asked = _retry_after(answer)
        return asked if asked is not None and asked <= LONGEST_WAIT else None
    if answer.status_code in PASSING and method in REPEATABLE:
        asked = _retry_after(answer)
        return min(asked, LONGEST_WAIT) if asked is not None else _back_off(attempt)
    return None


def _back_off(attempt: int) -> float:
    # Not a secret: it only keeps clients from coming back all at once.
    return 0.2 * float(2 ** (attempt - 1)) * random.uniform(0.5, 1.5)  # noqa: S311 # nosec B311


def _retry_after(answer: httpx2.Response) -> float | None:
    sent = answer.headers.get("Retry-After", "")
    return float(sent) if sent.isascii() and sent.isdigit() else None


def segment(id: UUID | str) -> str:
    """An id as a part of an address, so that no text can lead elsewhere.

    Raises:
        MaestroClientError: it is none.
    """
    try:
        return str(UUID(str(id)))
    except ValueError:
        raise MaestroClientError(f"{str(id)!r} is no id.") from None


def _checked(url: str) -> str:
    try:
        parsed = httpx2.URL(url)
    except httpx2.InvalidURL:
        parsed = httpx2.URL("")
    if parsed.scheme not in {"http", "https"} or not parsed.host:
        raise MaestroClientError(f"{url!r} is no address: give one like https://maestro.example.")
    if parsed.userinfo:
        raise MaestroClientError("An address must not hold a password: give a token instead.")
    return str(parsed.copy_with(query=None, fragment=None)).rstrip("/")
