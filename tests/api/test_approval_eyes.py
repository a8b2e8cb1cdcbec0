"""Four eyes, whichever way somebody tries to see with two: with real sessions, keys and service
accounts; and whose votes count in the moment that counts."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from maestro_ml.core.access import Role
from maestro_ml.db.work import Sessions, open_account_work
from maestro_ml.identity.schemas_members import MemberChange
from maestro_ml.identity.service import standing
from support import ACME, LAB, OTHER, USERS, caller
from support.people import People, a_people_server
from support.races import AT_ONCE, race, rounds
from support.things import a_thing, alias, change, wanted, work_off

A = "/approvals"
YES = {"verdict": "approve"}
WIDE = ["read", "write", "admin"]


@pytest.fixture
async def people(sessions: Sessions, tmp_path: Path) -> AsyncIterator[People]:
    async with a_people_server(sessions, tmp_path) as people:
        yield people


@pytest.fixture
async def admin(people: People) -> str:
    return await people.token()


async def a_key(people: People, who: str, *scopes: str) -> str:
    body = {"name": "k", "scopes": list(scopes or ("read", "write"))}
    return str((await people.made(who, "/api-keys", body))["secret"])


async def a_machine(people: People, admin: str, role: str = "maintainer") -> tuple[str, str]:
    """Its id, and a key for it."""
    bot = await people.made(admin, "/service-accounts", {"name": f"bot {role}", "role": role})
    path = f"/service-accounts/{bot['id']}/keys"
    return bot["id"], (await people.made(admin, path, {"name": "k", "scopes": WIDE[:2]}))["secret"]


async def an_admin(people: People, admin: str, email: str = "second@acme.test") -> str:
    """Another one, signed in."""
    offer = await people.made(admin, "/users/invitations", {"email": email, "role": "admin"})
    answer = {"token": offer["token"], "password": "correct horse battery staple 9", "name": "B"}
    return str((await people.ok(None, "POST", "/auth/invitations/accept", answer))["access_token"])


async def test_who_asks_does_not_vote_nor_do_their_keys(
    people: People, sessions: Sessions, admin: str
) -> None:
    thing, key = await a_thing(sessions), await a_key(people, admin, *WIDE)
    for number, (asks, votes) in enumerate(((admin, admin), (key, admin), (admin, key)), 1):
        asked = await people.made(asks, A, wanted(thing, str(number)))
        code = await people.code(403, votes, "POST", f"{A}/{asked['id']}/votes", YES)
        assert code == ("forbidden" if votes == key else "approval-own")
        assert not (await people.ok(admin, "GET", f"{A}/{asked['id']}"))["may_vote"]
    assert await alias(sessions, thing) is None


async def test_an_author_does_not_vote(people: People, sessions: Sessions, admin: str) -> None:
    thing = await a_thing(sessions, USERS[ACME, Role.ADMIN])
    asked = await people.made(await people.token(Role.MEMBER), A, wanted(thing))
    at = f"{A}/{asked['id']}/votes"
    assert (await people.refused(403, admin, "POST", at, YES))["part"] == "author"
    # Not even of what has another author since then.
    await change(sessions, thing, **{"authors:1": str(USERS[ACME, Role.VIEWER])})
    assert (await people.refused(403, admin, "POST", at, YES))["part"] == "author"
    await people.ok(await people.token(Role.MAINTAINER), "POST", at, YES)
    assert await alias(sessions, thing) == "1"


async def test_no_key_votes_whoever_has_it(people: People, sessions: Sessions, admin: str) -> None:
    thing = await a_thing(sessions)
    asked = await people.made(await people.token(Role.MEMBER), A, wanted(thing))
    _, machine = await a_machine(people, admin, "admin")
    for key in (await a_key(people, admin, *WIDE), machine):
        for path, body in (("votes", YES), ("override", {"reason": "now"})):
            await people.code(403, key, "POST", f"{A}/{asked['id']}/{path}", body)
        await people.code(403, key, "POST", "/approval-policies", {"policy": {}})
    assert await alias(sessions, thing) is None


async def test_who_makes_a_machine_does_not_vote_on_what_it_asks_for(
    people: People, sessions: Sessions, admin: str
) -> None:
    thing = await a_thing(sessions)
    id, key = await a_machine(people, admin)
    asked = await people.made(key, A, wanted(thing))
    assert {one["part"] for one in asked["parties"]} == {"requester", "behind"}
    at = f"{A}/{asked['id']}/votes"
    assert (await people.refused(403, admin, "POST", at, YES))["part"] == "behind"
    await people.ok(admin, "DELETE", f"/service-accounts/{id}")  # which hides nothing
    assert (await people.refused(403, admin, "POST", at, YES))["part"] == "behind"
    assert await alias(sessions, thing) is None
    await people.ok(await people.token(Role.MAINTAINER), "POST", at, YES)
    assert await alias(sessions, thing) == "1"


async def test_nor_who_gave_it_a_key(people: People, sessions: Sessions, admin: str) -> None:
    thing = await a_thing(sessions)
    id, _ = await a_machine(people, admin)
    second = await an_admin(people, admin)
    key = (await people.made(second, f"/service-accounts/{id}/keys", {"name": "k"}))["secret"]
    asked = await people.made(key, A, wanted(thing))
    for who in (admin, second):
        problem = await people.refused(403, who, "POST", f"{A}/{asked['id']}/votes", YES)
        assert problem["part"] == "behind"


async def test_nor_on_what_the_machine_made(people: People, sessions: Sessions, admin: str) -> None:
    id, _ = await a_machine(people, admin)
    thing = await a_thing(sessions, UUID(id))
    asked = await people.made(await people.token(Role.MEMBER), A, wanted(thing))
    problem = await people.refused(403, admin, "POST", f"{A}/{asked['id']}/votes", YES)
    assert problem["part"] == "behind"


async def needing_two(people: People, admin: str, thing: UUID, **more: Any) -> str:
    """What two have to approve, and one has: the maintainer."""
    policy = {"people": {"votes": 2}} | more
    await people.made(admin, "/approval-policies", {"policy": policy})
    asked = await people.made(await people.token(Role.MEMBER), A, wanted(thing))
    at = f"{A}/{asked['id']}"
    first = await people.ok(await people.token(Role.MAINTAINER), "POST", f"{at}/votes", YES)
    assert first["state"] == "in_review"
    assert first["votes"][0]["counts"]
    return at


@pytest.mark.parametrize("change", [{"role": "member"}, {"active": False}, None])
async def test_a_vote_counts_no_more_once_who_cast_it_could_not(
    people: People, sessions: Sessions, admin: str, change: Any
) -> None:
    thing = await a_thing(sessions)
    at = await needing_two(people, admin, thing)
    person = f"/users/{USERS[ACME, Role.MAINTAINER]}"
    if change is None:
        await people.ok(admin, "DELETE", person)
    else:
        await people.ok(admin, "PATCH", person, change)
    after = await people.ok(admin, "POST", f"{at}/votes", YES)
    assert (after["state"], len(after["votes"])) == ("in_review", 2)
    assert [vote["counts"] for vote in after["votes"]] == [False, True]
    assert await alias(sessions, thing) is None
    if change:  # and counts again when they can
        back = {"role": "maintainer"} if "role" in change else {"active": True}
        await people.ok(admin, "PATCH", person, back)
        assert (await people.ok(admin, "POST", f"{at}/votes", YES))["state"] == "granted"
    else:
        third = await an_admin(people, admin)
        assert (await people.ok(third, "POST", f"{at}/votes", YES))["state"] == "granted"
    assert await alias(sessions, thing) == "1"


async def test_one_person_has_one_vote_and_may_change_it(
    people: People, sessions: Sessions, admin: str
) -> None:
    thing = await a_thing(sessions)
    at = await needing_two(people, admin, thing)
    again = await people.ok(await people.token(Role.MAINTAINER), "POST", f"{at}/votes", YES)
    assert (again["state"], len(again["votes"])) == ("in_review", 1)
    no = {"verdict": "reject", "comment": "On second thoughts."}
    after = await people.ok(await people.token(Role.MAINTAINER), "POST", f"{at}/votes", no)
    assert (after["state"], [vote["verdict"] for vote in after["votes"]]) == (
        *("rejected", ["reject"]),
    )


async def test_the_policy_may_ask_for_admins(
    people: People, sessions: Sessions, admin: str
) -> None:
    thing = await a_thing(sessions)
    policy = {"people": {"role": "admin"}}
    await people.made(admin, "/approval-policies", {"policy": policy})
    member, maintainer = await people.token(Role.MEMBER), await people.token(Role.MAINTAINER)
    asked = await people.made(member, A, wanted(thing))
    place = {"user_id": str(USERS[ACME, Role.MAINTAINER]), "role": "maintainer"}
    await people.made(admin, f"/projects/{LAB}/members", place)
    await people.code(403, maintainer, "POST", f"{A}/{asked['id']}/votes", YES)
    inbox = await people.ok(maintainer, "GET", f"{A}?awaiting_me=true")
    assert inbox["items"] == []
    inbox = await people.ok(admin, "GET", f"{A}?awaiting_me=true")
    assert [one["id"] for one in inbox["items"]] == [asked["id"]]
    await people.ok(admin, "POST", f"{A}/{asked['id']}/votes", YES)


async def test_a_project_has_maintainers_of_its_own(
    people: People, sessions: Sessions, admin: str
) -> None:
    thing = await a_thing(sessions)
    viewer, place = await people.token(Role.VIEWER), f"/projects/{LAB}/members"
    asked = await people.made(await people.token(Role.MEMBER), A, wanted(thing))
    await people.code(403, viewer, "POST", f"{A}/{asked['id']}/votes", YES)
    body = {"user_id": str(USERS[ACME, Role.VIEWER]), "role": "maintainer"}
    await people.made(admin, place, body)
    inbox = await people.ok(viewer, "GET", f"{A}?awaiting_me=true")
    assert [one["id"] for one in inbox["items"]] == [asked["id"]]
    granted = await people.ok(viewer, "POST", f"{A}/{asked['id']}/votes", YES)
    assert granted["votes"][0]["role"] == "maintainer"


async def test_nobody_votes_from_another_tenant(
    people: People, sessions: Sessions, admin: str
) -> None:
    asked = await people.made(admin, A, wanted(await a_thing(sessions)))
    theirs = await people.token(Role.ADMIN, OTHER)
    assert await people.code(404, theirs, "POST", f"{A}/{asked['id']}/votes", YES) == (
        "approval-not-found"
    )


@pytest.mark.parametrize("votes", [1, 3])
async def test_of_forty_votes_at_once_one_grants(
    people: People, sessions: Sessions, admin: str, votes: int
) -> None:
    second = await an_admin(people, admin)
    voters = [admin, second, await people.token(Role.MAINTAINER)]
    member = await people.token(Role.MEMBER)
    policy = {"policy": {"people": {"votes": votes}}}
    await people.made(admin, "/approval-policies", policy)

    async def granted(_: int) -> None:
        thing = await a_thing(sessions)
        asked = await people.made(member, A, wanted(thing))
        at = f"{A}/{asked['id']}"
        done = await race(people(voters[n % 3], "POST", f"{at}/votes", YES) for n in range(AT_ONCE))
        assert set(done) == {200, 409}
        after = await people.ok(admin, "GET", at)
        assert (after["state"], after["missing"]) == ("granted", [])
        assert len(after["votes"]) == votes
        assert await alias(sessions, thing) == "1"
        trail = f"/audit-events?target_id={asked['id']}&action=approval.granted"
        assert len((await people.ok(admin, "GET", trail))["items"]) == 1

    await rounds(granted)


async def test_a_vote_waits_for_a_demotion_under_way(
    people: People, sessions: Sessions, admin: str
) -> None:
    """And then counts what is left of the others: no grant rests on who is demoted by then."""
    thing = await a_thing(sessions)
    at = await needing_two(people, admin, thing)
    member = MemberChange(role=Role.MEMBER)
    async with open_account_work(sessions, caller()) as work:
        await standing.change(work, people.identity, USERS[ACME, Role.MAINTAINER], member)
        vote = asyncio.create_task(people(admin, "POST", f"{at}/votes", YES))
        await asyncio.sleep(0.3)
        assert not vote.done()
    after = (await vote).json()
    assert (after["state"], after["missing"]) == (
        "in_review",
        ["It takes an approval by a maintainer who neither asked for it nor made it."],
    )
    assert await alias(sessions, thing) is None


async def test_votes_and_demotions_at_once_turn_nobody_away(
    people: People, sessions: Sessions, admin: str
) -> None:
    """Their locks are taken in one order (decision 0008), so none of them waits in a ring."""
    second, maintainer = await an_admin(people, admin), USERS[ACME, Role.MAINTAINER]
    path = f"/users/{maintainer}"

    async def done(_: int) -> None:
        await people.ok(admin, "PATCH", path, {"role": "maintainer"})
        voter = await people.token(Role.MAINTAINER)
        thing = await a_thing(sessions)
        at = await needing_two(people, admin, thing, expires_after_hours=1)
        deeds = [people((second, voter)[n % 2], "POST", f"{at}/votes", YES) for n in range(AT_ONCE)]
        for n, role in enumerate(("member", "maintainer") * 5):
            deeds.insert(8 * n, people(admin, "PATCH", path, {"role": role}))
        assert set(await race(deeds)) <= {200, 403, 409}
        after = await people.ok(admin, "GET", at)
        assert (after["state"] == "granted") == (await alias(sessions, thing) == "1")

    await rounds(done)


async def test_all_that_happens_to_a_project_at_once_turns_nobody_away(
    people: People, sessions: Sessions, admin: str
) -> None:
    member, maintainer = await people.token(Role.MEMBER), await people.token(Role.MAINTAINER)

    async def done(number: int) -> None:
        name = {"name": f"Short-lived {number}"}
        project = await people.made(admin, "/projects", name)
        thing = await a_thing(sessions, project=UUID(project["id"]))
        asked = await people.made(member, A, wanted(thing))
        at, gone = f"{A}/{asked['id']}", f"/projects/{project['id']}"
        policy = {"policy": {"people": {"votes": 2}}}
        deeds = [
            deed
            for n in range(AT_ONCE // 5)
            for deed in (
                people((admin, maintainer)[n % 2], "POST", f"{at}/votes", YES),
                people(member, "POST", f"{at}/withdrawal"),
                people(member, "POST", A, wanted(thing, str(n % 3 + 1))),
                people(admin, "POST", "/approval-policies", policy),
            )
        ]
        deeds.insert(len(deeds) // 2, people(admin, "DELETE", f"{gone}?confirm={project['slug']}"))
        assert set(await race(deeds)) <= {200, 201, 204, 404, 409}
        await work_off(sessions)

    await rounds(done)


async def test_who_may_decide_is_told_and_so_is_who_has_asked(
    people: People, sessions: Sessions, admin: str
) -> None:
    thing, member = await a_thing(sessions, name="ch\nurn"), await people.token(Role.MEMBER)
    asked = await people.made(member, A, wanted(thing))
    mails = await people.mailed("approval.requested")
    assert {mail.recipient for mail in mails} == {"admin@acme.test", "maintainer@acme.test"}
    assert "\n" not in mails[0].subject
    assert asked["id"] in str(people.post.shown(mails[0]))
    await people.ok(admin, "POST", f"{A}/{asked['id']}/votes", YES)
    (ended,) = await people.mailed("approval.ended")
    assert ended.recipient == "member@acme.test"
    assert "granted" in ended.subject
    for _ in range(12):  # who asks all the time is heard of no more
        asked = await people.made(member, A, wanted(thing))
        await people.ok(member, "POST", f"{A}/{asked['id']}/withdrawal")
    assert len(await people.mailed("approval.requested")) == 20
    assert len(await people.mailed("approval.ended")) == 1
