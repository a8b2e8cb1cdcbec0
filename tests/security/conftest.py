"""A real server for each database, and everybody in it, made once per run through the API."""

import socket
from collections.abc import AsyncIterator, Iterator

import httpx2
import pytest
from sqlalchemy import update

from maestro_ml.db.engine import make_engines
from maestro_ml.db.tenants import SYSTEM
from maestro_ml.db.work import Sessions
from maestro_ml.tenancy.models import Tenant
from support.databases import REDIS, PostgresDatabases, SqliteDatabases
from support.issuer import HOST as ISSUER_HOST
from support.issuer import Issuer, a_person, an_issuer
from support.live import METRICS_TOKEN, Cast, LiveServer, a_cast, ok
from support.outside import a_trap
from support.sources import AllFromEverywhere
from support.sso import Browser, registered


@pytest.fixture(scope="session")
async def live(
    databases: PostgresDatabases | SqliteDatabases, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[LiveServer]:
    """`maestro serve` on an empty database of its own, with Redis."""
    data = tmp_path_factory.mktemp("live") / "data"
    async with databases.empty() as url:
        env = {
            "MAESTRO_DATABASE__URL": url,
            "MAESTRO_REDIS__URL": REDIS,
            "MAESTRO_SERVER__METRICS_TOKEN": METRICS_TOKEN,
            "MAESTRO_OUTBOUND__ALLOW": ISSUER_HOST,
        }
        with LiveServer(data, env) as server:
            yield server


@pytest.fixture(scope="session")
async def truth(live: LiveServer) -> AsyncIterator[Sessions]:
    """The server's own database."""
    engines = make_engines(live.database)
    yield Sessions(engines)
    await engines.dispose()


@pytest.fixture(scope="session")
def cast(live: LiveServer) -> Cast:
    """Where as many may be as tests want, in each tenant."""
    cast = a_cast(live)
    with cast.client("root") as root:
        for name in ("root", "adminA", "adminB"):
            with cast.client(name) as admin:
                id = ok(admin.get("/tenants/current"))["id"]
            ok(root.patch(f"/tenants/{id}", json={"limits": {"max_users": 10_000}}))
    return cast


@pytest.fixture(autouse=True)
def _nothing_broke(live: LiveServer) -> Iterator[None]:
    """No test may leave a trace of a bug in the server's log."""
    before = live.logged.stat().st_size
    yield
    with live.logged.open() as log:
        log.seek(before)
        assert "Traceback" not in log.read()


@pytest.fixture(autouse=True)
def _awake(request: pytest.FixtureRequest) -> None:
    if "cast" in request.fixturenames:
        cast: Cast = request.getfixturevalue("cast")
        cast.awake()


@pytest.fixture(scope="module")
def _an_issuer() -> Iterator[Issuer]:
    with an_issuer(alg="RS256") as issuer:
        yield issuer


@pytest.fixture
def issuer(_an_issuer: Issuer) -> Issuer:
    """One that behaves, as each test finds it, with somebody new at it."""
    _an_issuer.forge, _an_issuer.document, _an_issuer.extra = None, {}, {}
    _an_issuer.person = a_person()
    return _an_issuer


@pytest.fixture
def trap() -> Iterator[socket.socket]:
    with a_trap() as listener:
        yield listener


@pytest.fixture
async def http(cast: Cast) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(
        base_url=cast.url, timeout=60, transport=AllFromEverywhere()
    ) as client:
        yield client


@pytest.fixture
def browser(http: httpx2.AsyncClient) -> Browser:
    return Browser(http)


@pytest.fixture(scope="module")
async def _start(cast: Cast, _an_issuer: Issuer, truth: Sessions) -> str:
    """In a tenant with room for everybody who comes here."""
    async with truth.begin(SYSTEM) as session:
        await session.execute(update(Tenant).values(max_users=10_000))
    return registered(cast, _an_issuer)


@pytest.fixture
def start(_start: str, issuer: Issuer) -> str:
    """Where people of tenant A begin to sign in, through the issuer that behaves."""
    return _start
