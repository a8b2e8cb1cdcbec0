"""The SDK against a live server: everything it offers, once."""

from collections.abc import Iterator
from datetime import date
from decimal import Decimal

import pytest

from maestro_ml.client import (
    Conflict,
    Forbidden,
    Invalid,
    MaestroClient,
    NotFound,
    Unauthenticated,
)
from maestro_ml.core.ids import new_id
from support.live import LiveServer, a_password

PASSWORD = a_password()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    with LiveServer(tmp_path_factory.mktemp("sdk") / "data") as server:
        with MaestroClient(server.url) as client:
            client.auth.setup(
                token=server.setup_token(),
                email="root@maestro.test",
                password=PASSWORD,
                name="Root",
            )
        yield server


@pytest.fixture(scope="module")
def root(server: LiveServer) -> Iterator[MaestroClient]:
    """The platform admin, admin of the default tenant too."""
    with MaestroClient(server.url) as client:
        client.auth.login(email="root@maestro.test", password=PASSWORD)
        yield client


def test_who_signs_in_is_known_until_they_sign_out(server: LiveServer) -> None:
    with MaestroClient(server.url) as client:
        signed_in = client.auth.login(email="root@maestro.test", password=PASSWORD)
        assert signed_in.user.role == "admin"
        assert signed_in.user.platform_admin
        renewed = client.auth.refresh(signed_in.refresh_token)
        assert renewed.expires_in == 900
        me = client.auth.me()
        assert (me.email, me.tenant and me.tenant.slug) == ("root@maestro.test", "default")
        client.auth.logout()
        with pytest.raises(Unauthenticated, match="Not authenticated"):
            client.auth.me()
        client.act_as(renewed.access_token)
        with pytest.raises(Unauthenticated):
            client.auth.me()


def test_a_wrong_password_is_unauthenticated(server: LiveServer) -> None:
    with MaestroClient(server.url) as client, pytest.raises(Unauthenticated):
        client.auth.login(email="root@maestro.test", password="wrong")


def test_a_weak_password_names_the_rule(server: LiveServer) -> None:
    with MaestroClient(server.url) as client, pytest.raises(Invalid, match="15"):
        client.auth.register(email="weak@maestro.test", password="secure123", name="Weak")


def test_a_project_lives_its_whole_life(root: MaestroClient) -> None:
    made = root.projects.create(
        "Churn 2027",
        description="Who leaves?",
        complexity_score=40,
        planned_start=date(2027, 1, 1),
        budget=Decimal("1200.50"),
        budget_currency="EUR",
        metadata={"floor": 3},
    )
    assert (made.slug, made.budget) == ("churn-2027", Decimal("1200.50"))
    assert root.projects.get("churn-2027") == root.projects.get(made.id) == made
    changed = root.projects.update("churn-2027", status="active", complexity_score=None)
    assert (changed.status, changed.complexity_score) == ("active", None)
    assert changed.description == "Who leaves?"
    assert root.projects.archive(made.id).archived_at is not None
    assert made.id in {p.id for p in root.projects.list(archived=True)}
    assert root.projects.restore(made.id).archived_at is None
    with pytest.raises(Conflict):
        root.projects.create("Another", slug="churn-2027")
    with pytest.raises(Invalid):
        root.projects.delete("churn-2027", confirm="something else")
    root.projects.delete("churn-2027", confirm="churn-2027")
    with pytest.raises(NotFound):
        root.projects.get(made.id)


def test_a_fault_names_the_field(root: MaestroClient) -> None:
    with pytest.raises(Invalid) as refused:
        root.projects.create("x", complexity_score=1000)
    assert [fault.at for fault in refused.value.faults] == ["complexity_score"]
    assert refused.value.request_id


def test_a_list_longer_than_a_page_is_read_to_its_end(
    root: MaestroClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("maestro_ml.client.paging.PAGE", 2)
    names = {root.projects.create(f"Page {n}").name for n in range(5)}
    assert {p.name for p in root.projects.list(search="Page")} == names
    assert [p.name for p in root.projects.list(search="Page", sort="-name")] == sorted(
        names, reverse=True
    )


def test_an_invited_person_works_in_a_team(server: LiveServer, root: MaestroClient) -> None:
    invitation = root.users.invite(email="mel@maestro.test", role="member")
    assert invitation.token
    assert invitation.token not in repr(invitation)
    with MaestroClient(server.url) as mel:
        user = mel.auth.accept_invitation(
            token=invitation.token, password=a_password(), name="Mel"
        ).user
        assert user.role == "member"
        hidden = root.projects.create("Hidden", visibility="private")
        with pytest.raises(NotFound):
            mel.projects.get(hidden.id)
        added = root.projects.add_member("hidden", email="mel@maestro.test", role="viewer")
        assert (added.user_id, added.role) == (user.id, "viewer")
        assert mel.projects.get("hidden").id == hidden.id
        assert root.projects.change_member("hidden", user.id, role="member").role == "member"
        assert user.id in {member.user_id for member in mel.projects.members("hidden")}
        root.projects.remove_member("hidden", user.id)
        with pytest.raises(NotFound):
            mel.projects.get("hidden")
        with pytest.raises(Forbidden):
            next(mel.users.list())
    assert root.users.get(user.id).role == "member"
    assert root.users.set_role(user.id, "viewer").role == "viewer"
    assert {u.email for u in root.users.list()} >= {"mel@maestro.test", "root@maestro.test"}


def test_who_has_an_account_joins_another_tenant_without_a_name(
    server: LiveServer, root: MaestroClient
) -> None:
    password = a_password()
    first = root.users.invite(email="two@maestro.test", role="viewer").token or ""
    second = root.tenants.create(name="Two", slug="two", admin_email="two@maestro.test")
    with MaestroClient(server.url) as two:
        with pytest.raises(Invalid) as refused:
            two.auth.accept_invitation(token=first, password=password)
        assert refused.value.code == "name-needed"
        two.auth.accept_invitation(token=first, password=password, name="Two")
        token = second.invitation.token or ""
        joined = two.auth.accept_invitation(token=token, password=password).user
        assert (joined.name, joined.verified) == ("Two", False)
        assert joined.tenant is not None
        assert joined.tenant.slug == "two"


def test_a_key_reaches_what_it_was_made_for_and_makes_no_keys(
    server: LiveServer, root: MaestroClient
) -> None:
    own = root.projects.create("Own")
    root.projects.create("Foreign")
    key = root.api_keys.create(
        "robot",
        scopes=["read"],
        project_ids=[own.id],
        default_project_id=own.id,
        expires_in_days=1,
    )
    assert key.token.startswith("mlp_")
    assert key.token not in repr(key)
    assert key.default_project_id == own.id
    with MaestroClient(server.url, token=key.token) as robot:
        assert [p.slug for p in robot.projects.list()] == ["own"]
        for refused in (lambda: robot.projects.create("x"), lambda: robot.api_keys.create("x")):
            with pytest.raises(Forbidden):
                refused()
        assert key.id in {k.id for k in root.api_keys.list()}
        root.api_keys.revoke(key.id)
        with pytest.raises(Unauthenticated):
            robot.auth.me()


def test_another_tenant_finds_nothing(server: LiveServer, root: MaestroClient) -> None:
    ours = root.projects.create("Ours")
    made = root.tenants.create(name="Rival", slug="rival", admin_email="eve@rival.test")
    assert made.tenant.slug == "rival"
    assert "rival" in {tenant.slug for tenant in root.tenants.list()}
    assert root.tenants.current().slug == "default"
    with MaestroClient(server.url) as eve:
        eve.auth.accept_invitation(
            token=made.invitation.token or "", password=a_password(), name="Eve"
        )
        assert eve.tenants.current().slug == "rival"
        assert list(eve.projects.list()) == []
        for missing in (ours.id, new_id()):
            with pytest.raises(NotFound) as theirs:
                eve.projects.get(missing)
            assert theirs.value.code == "project-not-found"
        with pytest.raises(Forbidden):
            next(eve.tenants.list())


def test_jobs_are_listed_and_a_missing_one_is_not_found(root: MaestroClient) -> None:
    assert all(job.kind for job in root.jobs.list())
    for ask in (root.jobs.get, root.jobs.cancel, lambda id: next(root.jobs.watch(id))):
        with pytest.raises(NotFound):
            ask(new_id())
