"""Group D: nobody reaches into another tenant, and nobody rises by asking."""

import asyncio
import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx2
import pytest
from sqlalchemy import func, select, update

from maestro_ml.db.tenants import SYSTEM
from maestro_ml.db.work import Sessions
from maestro_ml.projects.models import Project
from maestro_ml.tenancy.models import Tenant
from support.live import Cast, a_password, ok
from support.races import AT_ONCE, EACH, race, rounds


@dataclass(frozen=True)
class Treasure:
    """What tenant A has, with a mark in every free text field that B must never see."""

    mark: str
    project: str
    slug: str
    experiment: str
    run: str


@pytest.fixture(scope="module")
def treasure(cast: Cast) -> Treasure:
    mark = f"SENT{secrets.token_hex(6)}"
    with cast.client("memberA") as member:
        project = ok(member.post("/projects", json={"name": mark, "description": mark}))
        mlflow = f"{cast.url}/api/2.0/mlflow"
        workspace = {"X-MLFLOW-WORKSPACE": project["slug"]}
        experiment = ok(
            member.post(f"{mlflow}/experiments/create", json={"name": mark}, headers=workspace)
        )["experiment_id"]
        run = ok(
            member.post(
                f"{mlflow}/runs/create",
                json={"experiment_id": experiment, "run_name": mark, "start_time": 1},
                headers=workspace,
            )
        )["run"]["info"]["run_id"]
        for path, body in (
            ("log-parameter", {"key": mark, "value": mark}),
            ("set-tag", {"key": mark, "value": mark}),
            ("log-metric", {"key": mark, "value": 1.0, "timestamp": 1}),
        ):
            ok(member.post(f"{mlflow}/runs/{path}", json=body | {"run_id": run}, headers=workspace))
    return Treasure(mark, project["id"], project["slug"], experiment, run)


@pytest.fixture
def thief(cast: Cast, treasure: Treasure) -> Iterator[httpx2.Client]:
    """Tenant B's admin; no answer to them may hold A's mark."""

    def look(answer: httpx2.Response) -> None:
        answer.read()
        asked = str(answer.request.url) + answer.request.content.decode(errors="replace")
        if treasure.mark not in asked:
            assert treasure.mark not in answer.text + str(answer.headers)

    with cast.client("adminB") as client:
        client.event_hooks["response"].append(look)
        yield client


def test_a_foreign_project_survives_a_delete(
    cast: Cast, thief: httpx2.Client, treasure: Treasure
) -> None:
    path = f"/projects/{treasure.project}?confirm={treasure.slug}"
    assert thief.delete(path).status_code == 404
    with cast.client("memberA") as member:
        assert ok(member.get(f"/projects/{treasure.project}"))["description"] == treasure.mark


@pytest.mark.rows(58)
def test_nobody_rises_by_asking(cast: Cast) -> None:
    with cast.client("adminA") as admin:
        new = {"name": "Mine", "slug": f"mine-{secrets.token_hex(3)}", "admin_email": "x@a.test"}
        assert admin.post("/tenants", json=new).status_code == 403
        for other in ok(admin.get("/users?role=admin&limit=200"))["items"]:
            if other["id"] != cast["adminA"].id:
                ok(admin.patch(f"/users/{other['id']}", json={"role": "viewer"}))
        assert (
            admin.patch(f"/users/{cast['adminA'].id}", json={"role": "viewer"}).status_code == 409
        )
        for more in (
            {"platform_admin": True},
            {"role": "admin", "tenant_id": "x"},
            {"password": "x"},
        ):
            assert admin.patch(f"/users/{cast['viewerA'].id}", json=more).status_code == 422
    for name in ("viewerA", "memberA", "maintainerA"):
        with cast.client(name) as client:
            assert client.get("/users").status_code == 403
            up = client.patch(f"/users/{cast[name].id}", json={"role": "admin"})
            assert up.status_code == 403
            assert ok(client.get("/auth/me"))["role"] == cast[name].role


@pytest.mark.rows(53)
def test_the_platform_admin_reads_no_tenants_data(cast: Cast, treasure: Treasure) -> None:
    with cast.client("root") as root:
        assert root.get(f"/projects/{treasure.project}").status_code == 404
        assert treasure.mark not in root.get("/projects").text


@pytest.mark.parametrize(
    "more",
    [
        {"role": "admin"},
        {"role": "ADMIN"},
        {"role": ["admin"]},
        {"role": {"$ne": ""}},
        {"role": "viewer\x00admin"},
        {"tenant_id": "x"},
        {"id": "x"},
        {"is_admin": True},
        {"platform_admin": True},
        {"password_hash": "x"},
        {"meta": {}},
        {"__proto__": {}},
    ],
    ids=str,
)
def test_register_takes_no_rights(cast: Cast, more: dict[str, Any]) -> None:
    email = f"{a_password()[:12]}@rights.test"
    body = {"email": email, "password": a_password(), "name": "N"} | more
    with cast.client() as nobody:
        assert nobody.post("/auth/register", json=body).status_code == 422


@pytest.mark.rows(59)
def test_an_invitation_is_good_once_and_for_what_it_says(cast: Cast) -> None:
    email = f"{a_password()[:12]}@invited.test"
    with cast.client("adminA") as admin:
        token = ok(admin.post("/users/invitations", json={"email": email, "role": "viewer"}))[
            "token"
        ]
    body = {"token": token, "password": a_password(), "name": "N"}
    with cast.client() as nobody:
        for more in ({"role": "admin"}, {"email": "other@b.test"}):
            answer = nobody.post("/auth/invitations/accept", json=body | more)
            assert answer.status_code == 422
        made = ok(nobody.post("/auth/invitations/accept", json=body))
        assert (made["user"]["email"], made["user"]["role"]) == (email, "viewer")
        again = nobody.post("/auth/invitations/accept", json=body)
        garbage = nobody.post("/auth/invitations/accept", json=body | {"token": "mli_" + "x" * 49})
        assert again.status_code in {401, 422}
        assert again.json()["detail"] == garbage.json()["detail"]
    with cast.client("adminA") as admin, cast.client("viewerB") as other:
        offer = ok(admin.post("/users/invitations", json={"email": f"x{email}", "role": "viewer"}))
        body |= {"token": offer["token"], "email": cast["viewerB"].email}
        assert other.post("/auth/invitations/accept", json=body).status_code == 422
        del body["email"]
        joined = ok(other.post("/auth/invitations/accept", json=body))  # as whom it was for
        assert (joined["user"]["email"], joined["user"]["role"]) == (f"x{email}", "viewer")
        assert ok(other.get("/auth/me"))["tenant"]["slug"] == "tenant-b"
        offer = ok(admin.post("/users/invitations", json={"email": f"y{email}", "role": "viewer"}))
        ok(admin.delete(f"/users/invitations/{offer['id']}"))
        revoked = other.post("/auth/invitations/accept", json=body | {"token": offer["token"]})
        assert revoked.json()["detail"] == garbage.json()["detail"]


@pytest.mark.rows(63)
async def test_forty_parallel_creates_stop_at_the_limit(cast: Cast, truth: Sessions) -> None:
    """Tenant B is given room for what it has and ten more; forty try at once."""

    async def allow(most: int) -> None:
        async with truth.begin(SYSTEM) as session:
            await session.execute(
                update(Tenant).where(Tenant.slug == "tenant-b").values(max_projects=most)
            )

    api = f"{cast.url}/api/v1"
    async with httpx2.AsyncClient(base_url=api, headers=cast["adminB"].bearer, timeout=60) as admin:
        before = ok(await admin.get("/tenants/current"))

        async def one(_: int) -> None:
            used = ok(await admin.get("/tenants/current"))["usage"]["projects"]
            await allow(used + 10)
            bodies = [{"name": secrets.token_hex(8)} for _ in EACH]
            done = await race(admin.post("/projects", json=body) for body in bodies)
            assert done == {201: 10, 409: AT_ONCE - 10}
            counted = ok(await admin.get("/tenants/current"))["usage"]["projects"]
            async with truth.begin(UUID(before["id"])) as session:
                there = await session.scalar(select(func.count()).select_from(Project))
            assert (counted, there) == (used + 10, used + 10)

        await rounds(one)
        await allow(before["limits"]["max_projects"])


@pytest.mark.rows(63)
async def test_deleting_and_creating_at_once_never_pass_the_limit(
    cast: Cast, truth: Sessions
) -> None:
    api = f"{cast.url}/api/v1"
    async with httpx2.AsyncClient(base_url=api, headers=cast["adminB"].bearer, timeout=60) as admin:
        before = ok(await admin.get("/tenants/current"))
        most = before["usage"]["projects"] + 5
        async with truth.begin(SYSTEM) as session:
            limited = update(Tenant).where(Tenant.slug == "tenant-b").values(max_projects=most)
            await session.execute(limited)
        mine = [
            ok(await admin.post("/projects", json={"name": secrets.token_hex(8)})) for _ in range(5)
        ]
        deletes = [admin.delete(f"/projects/{p['id']}?confirm={p['slug']}") for p in mine]
        creates = [admin.post("/projects", json={"name": secrets.token_hex(8)}) for _ in range(40)]
        answers = await asyncio.gather(*creates[:20], *deletes, *creates[20:])
        made = sum(answer.status_code == 201 for answer in answers)
        gone = sum(answer.status_code == 204 for answer in answers)
        assert gone == 5
        assert made <= 5
        used = ok(await admin.get("/tenants/current"))["usage"]["projects"]
        assert used == most - gone + made
        async with truth.begin(UUID(before["id"])) as session:
            assert await session.scalar(select(func.count()).select_from(Project)) == used
            restored = before["limits"]["max_projects"]
        async with truth.begin(SYSTEM) as session:
            await session.execute(
                update(Tenant).where(Tenant.slug == "tenant-b").values(max_projects=restored)
            )


@pytest.mark.rows(68, 78)
def test_every_mutation_is_in_the_log_without_a_secret(cast: Cast, live: Any) -> None:
    logged = live.logged.read_text()
    for line in logged.splitlines():
        json.loads(line)
    for person in cast.people.values():
        for secret in (person.password, person.token, person.refresh):
            assert secret not in logged
