"""The list of projects: filtered, searched, sorted, in pages."""

from typing import Any

from maestro_ml.core.access import Role
from support import ACME, OTHER, USERS
from support.native import Api
from support.projects import AT, EVERYTHING, P, names


async def test_a_list_is_filtered_and_searched(api: Api) -> None:
    await api.ok("member", "POST", P, EVERYTHING)
    await api.ok("member", "POST", P, {"name": "100% Fraud_x", "problem_class": "nlp"})
    await api.ok("member", "POST", P, {"name": "Quiet", "visibility": "private"})
    for params, found in (
        ({"status": "planned"}, ["100% Fraud_x", "Churn", "lab"]),
        ({"status": "abandoned"}, []),
        ({"problem_class": "nlp"}, ["100% Fraud_x"]),
        ({"visibility": "private"}, []),
        ({"slug": "churn-2027"}, ["Churn"]),
        ({"slug": "shop"}, []),
        ({"q": "WHO LEAVES"}, ["Churn"]),
        ({"q": "2027"}, ["Churn"]),
        ({"q": "0%"}, ["100% Fraud_x"]),
        ({"q": "%"}, ["100% Fraud_x"]),
        ({"q": "_"}, ["100% Fraud_x"]),
        ({"q": "quiet"}, []),
        ({"q": "' OR '1'='1"}, []),
        ({"q": "\\"}, []),
        ({"member": str(USERS[ACME, Role.MEMBER])}, ["100% Fraud_x", "Churn"]),
        ({"member": str(USERS[OTHER, Role.MEMBER])}, []),
    ):
        assert await names(api, **params) == found, params
    assert await names(api, "member", visibility="private") == ["Quiet"]


async def test_a_list_is_sorted_and_paged(api: Api) -> None:
    for name in ("b", "d", "a", "c"):
        await api.ok("member", "POST", P, {"name": f"{name}{name}"})
    await api.ok("member", "PATCH", AT, {"description": "now"})
    orders = {
        "name": ["aa", "bb", "cc", "dd", "lab"],
        "created_at": ["lab", "bb", "dd", "aa", "cc"],
        "updated_at": ["bb", "dd", "aa", "cc", "lab"],
    }
    for order, rising in orders.items():
        for sort, expected in ((order, rising), (f"-{order}", rising[::-1])):
            assert await names(api, sort=sort) == expected
            found: list[str] = []
            cursor = None
            while True:
                params = {"sort": sort, "limit": 2} | ({"cursor": cursor} if cursor else {})
                page = await api.ok("viewer", "GET", P, params=params)
                found += [project["name"] for project in page["items"]]
                cursor = page["next_cursor"]
                if cursor is None:
                    break
            assert found == expected
    first = await api.ok("viewer", "GET", P, params={"sort": "name", "limit": 1})
    other = {"sort": "-name", "cursor": first["next_cursor"]}
    await api.refused(422, "viewer", "GET", P, params=other)


BAD_QUERIES: list[dict[str, Any]] = [
    {"sort": "password_hash"},
    {"sort": "name; DROP TABLE users"},
    {"sort": "tenant_id"},
    {"status": "x"},
    {"archived": "perhaps"},
    {"member": "me' OR 1=1"},
    {"limit": 0},
    {"limit": 201},
    {"limit": 2**63},
    {"cursor": "bm90IG91cnM"},
    {"cursor": "\x00"},
    {"q": "x" * 201},
    {"q": "\x00"},
    {"slug": "\x00"},
]


async def test_a_bad_query_is_422(api: Api) -> None:
    for params in BAD_QUERIES:
        await api.refused(422, "viewer", "GET", P, params=params)
