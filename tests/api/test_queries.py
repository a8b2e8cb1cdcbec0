"""What nobody asks for in a query is a mistake that whoever made it hears about."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
from pydantic import SecretStr

from maestro_ml.api.main import create_app
from maestro_ml.core.access import Role
from maestro_ml.core.ids import new_id
from maestro_ml.core.settings import Settings
from maestro_ml.core.settings_groups import Database
from maestro_ml.db.work import Sessions
from support.policy import operations
from support.signin import an_api_key
from support.surface import described, fields
from support.world import ACME, USERS

BACK = "/api/v1/auth/oidc/callback/{id}"
OPERATIONS = [o for o in described() if o.path.startswith("/api/v1/") and o.path != BACK]


@pytest.fixture
async def http(
    database: str, sessions: Sessions, tmp_path: Path
) -> AsyncIterator[httpx2.AsyncClient]:
    app = create_app(
        Settings(data=tmp_path, database=Database(url=SecretStr(database))), greet=False
    )
    scopes = ["read", "write", "admin"]
    key = await an_api_key(sessions, str(USERS[ACME, Role.ADMIN]), ACME, scopes=scopes)
    transport = httpx2.ASGITransport(app=app)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(
            transport=transport,
            base_url="http://127.0.0.1:8000",
            headers={"Authorization": f"Bearer {key}"},
        ) as http,
    ):
        yield http


async def test_no_call_takes_a_parameter_that_it_does_not_know(http: httpx2.AsyncClient) -> None:
    assert {o.path for o in OPERATIONS} == {
        o.path for o in operations() if o.path.startswith("/api/v1/") and o.path != BACK
    }
    for operation in OPERATIONS:
        path = operation.path.replace("{tenant}/{provider}", "acme/none")
        path = path.replace("{user_id}", "{id}").replace("{id}", str(new_id()))
        known = [field.name for field in fields(operation) if field.place == "query"]
        wrong = f"{known[0]}x" if known else "nope"
        answer = await http.request(operation.method, path, params={wrong: "1"}, json={})
        assert answer.status_code == 422, (str(operation), answer.text)
        (fault,) = answer.json()["faults"]
        assert fault["at"] == ["query", wrong], str(operation)
        assert (f"'{known[0]}'" if known else "takes none") in fault["why"], str(operation)


async def test_what_is_meant_is_named(http: httpx2.AsyncClient) -> None:
    for query, remedy in (
        ("actor=nope", "did you mean 'actor_id'?"),
        ("limit=1&Limit=1", "did you mean 'limit'?"),
        ("zzz=1", "there are action, actor_id, api_key_id, cursor, ip, limit, request_id"),
    ):
        answer = await http.get(f"/api/v1/audit-events?{query}")
        assert answer.status_code == 422, answer.text
        assert remedy in answer.json()["faults"][0]["why"]
    many = "&".join(f"{n}=1" for n in range(50))
    answer = await http.get(f"/api/v1/audit-events?{many}")
    assert (answer.status_code, len(answer.json()["faults"])) == (422, 10)
    assert (await http.get("/api/v1/audit-events?limit=1&action=user.*")).status_code == 200


async def test_an_identity_provider_says_more_than_was_asked(http: httpx2.AsyncClient) -> None:
    path = BACK.replace("{id}", str(new_id()))
    answer = await http.get(path, params={"state": "x", "code": "y", "session_state": "z"})
    assert answer.status_code != 422, answer.text


async def test_mlflows_clients_may_say_more(http: httpx2.AsyncClient) -> None:
    found = {"experiment_name": "none", "more": "1"}
    answer = await http.get("/api/2.0/mlflow/experiments/get-by-name", params=found)
    assert answer.json()["error_code"] == "RESOURCE_DOES_NOT_EXIST"
