"""Searching the registry: models and versions by what they are called and tagged with."""

import importlib
from typing import Any

import pytest

mlflow: Any = importlib.import_module("mlflow")

INVALID = "INVALID_PARAMETER_VALUE"
WRONG = [
    *("name > 'x'", "name = x", "name = 1", "name", "name = 'a' OR name = 'b'", "foo.bar = 'x'"),
    *("tags.team = 1", "name IN ()", "aliases = 'x'", "description = 'x'"),
    *("name = 'a'; name = 'b'", "current_stage = 'None'"),
]


@pytest.fixture
def mine(client: Any, name: str, experiment: Any) -> str:
    """What all names of the test's models begin with: four have two versions each, of two runs."""
    start = name[-8:]
    runs = [client.create_run(experiment.experiment_id).info.run_id for _ in range(2)]
    for run in runs:
        client.log_text(run, "w", "model/weights.txt")
    for n, end in enumerate("Abcd"):
        tags = {"team": "xy"[n % 2], "kind of model": f"Tree {end}"}
        client.create_registered_model(f"{start} {end}", tags if n < 3 else None)
        for run in runs:
            client.create_model_version(
                *(f"{start} {end}", f"runs:/{run}/model", run), {"n": str(n), "team": "xy"[n % 2]}
            )
    return start


def names(found: Any) -> str:
    return "".join(model.name[-1] for model in found)


def numbered(found: Any) -> str:
    return " ".join(f"{version.name[-1]}{version.version}" for version in found)


def test_models_are_found_by_name_and_tags(client: Any, mine: str, refusal: Any) -> None:
    for text, found in {
        f"name = '{mine} b'": "b",
        f'name = "{mine} b"': "b",
        f"name = '{mine} B'": "",
        f"name ILIKE '{mine.upper()} a'": "A",
        f"name LIKE '{mine} a'": "",
        f"name like '{mine} _'": "Abcd",
        f"name LIKE '{mine}%' and name != '{mine} b'": "Acd",
        f"name IN ('{mine} c', '{mine} A', '{mine} z')": "Ac",
        f"attribute.name = '{mine} c'": "c",
        f"name LIKE '{mine}%' AND tags.team = 'x'": "Ac",
        f"name LIKE '{mine}%' AND tag.team = 'y'": "b",
        f"name LIKE '{mine}%' AND tags.team != 'x'": "b",
        f"name LIKE '{mine}%' AND tags.`kind of model` LIKE 'Tree%' AND tags.team = 'x'": "Ac",
        f'name LIKE \'{mine}%\' AND tags."kind of model" ILIKE "tree B"': "b",
        f"name LIKE '{mine}%' AND tags.nothing = 'x'": "",
        f"name LIKE '{mine}%' AND tags.nothing != 'x'": "",
        f"name LIKE '{mine}%' AND tags.team LIKE '%' AND tags.team != 'y'": "Ac",
    }.items():
        assert names(client.search_registered_models(text)) == found, text
    (model,) = client.search_registered_models(f"name = '{mine} b'")
    assert model.tags == {"team": "y", "kind of model": "Tree b"}
    assert [int(version.version) for version in model.latest_versions] == [2]
    assert names(mlflow.search_registered_models(filter_string=f"name = '{mine} b'")) == "b"
    for wrong in (*WRONG, "version_number = 1", "run_id = 'x'"):
        assert refusal(client.search_registered_models, wrong) == INVALID, wrong


def test_versions_are_found_by_what_they_were_made_of(client: Any, mine: str, refusal: Any) -> None:
    all_of_them = f"name LIKE '{mine}%'"
    client.delete_model_version(f"{mine} d", "2")
    first = client.get_model_version(f"{mine} A", "1")
    for text, found in {
        f"name = '{mine} b'": "b2 b1",
        f"name ILIKE '{mine} B'": "b2 b1",
        f"name IN ('{mine} b', '{mine} d')": "b2 b1 d1",
        f"{all_of_them} AND version_number = 1": "A1 b1 c1 d1",
        f"{all_of_them} AND version_number > 1": "A2 b2 c2",
        f"{all_of_them} AND version_number <= '1' AND version_number != 2": "A1 b1 c1 d1",
        f"run_id = '{first.run_id}'": "A1 b1 c1 d1",
        f"run_id IN ('{first.run_id}', 'x') AND tags.n = '2'": "c1",
        f"run_id != '{first.run_id}' AND {all_of_them}": "A2 b2 c2",
        f"source_path = '{first.source}'": "A1 b1 c1 d1",
        f"source_path LIKE '%{first.run_id}%' AND tags.team = 'y'": "b1 d1",
        f"{all_of_them} AND tags.team = 'x' AND tags.n != '0'": "c2 c1",
        f"{all_of_them} AND tags.nothing != '0'": "",
    }.items():
        by_name = client.search_model_versions(text, order_by=["name"])
        assert numbered(by_name) == found, text
    (version,) = client.search_model_versions(f"name = '{mine} b' AND version_number = 2")
    assert (version.tags, version.current_stage) == ({"n": "1", "team": "y"}, "None")
    assert numbered(mlflow.search_model_versions(filter_string=f"name = '{mine} d'")) == "d1"
    for wrong in (
        *(*WRONG, "version_number = 'x'", "version_number = 1.5", "version_number LIKE '1'"),
        *("version_number IN (1)", "status = 'READY'", "model_id = 'x'"),
    ):
        assert refusal(client.search_model_versions, wrong) == INVALID, wrong


def test_what_is_found_is_ordered_and_paged(client: Any, mine: str, refusal: Any) -> None:
    text = f"name LIKE '{mine}%'"
    client.update_registered_model(f"{mine} b", "touched")
    client.update_model_version(f"{mine} b", "1", "touched")

    def every(find: Any, order: list[str] | None, size: int) -> list[Any]:
        found: list[Any] = []
        token = None
        while token is None or token:
            page = find(text, size, order, token)
            assert len(page) == size or not page.token
            found, token = [*found, *page], page.token or ""
        return found

    for order, found in {
        ("name",): "Abcd",
        ("name DESC",): "dcbA",
        ("timestamp DESC", "name"): "bdcA",
        ("last_updated_timestamp asc",): "Acdb",
    }.items():
        for size in (1, 2, 3, 100):
            got = every(client.search_registered_models, list(order), size)
            assert names(got) == found, (order, size)
    assert names(every(client.search_registered_models, None, 3)) == "Abcd"
    for order, found in {
        ("name",): "A2 A1 b2 b1 c2 c1 d2 d1",
        ("version_number ASC", "name DESC"): "d1 c1 b1 A1 d2 c2 b2 A2",
        ("version_number DESC",): "A2 b2 c2 d2 A1 b1 c1 d1",
        ("creation_timestamp",): "A1 A2 b1 b2 c1 c2 d1 d2",
        ("last_updated_timestamp DESC",): "b1 d2 d1 c2 c1 b2 A2 A1",
    }.items():
        for size in (1, 3, 4, 100):
            got = every(client.search_model_versions, list(order), size)
            assert numbered(got) == found, (order, size)
    assert numbered(every(client.search_model_versions, None, 5)) == "b1 d2 d1 c2 c1 b2 A2 A1"
    for find, most in (
        (client.search_registered_models, 1_000),
        (client.search_model_versions, 200_000),
    ):
        assert len(find(text, most)) in (4, 8)
        assert refusal(find, text, most + 1) == INVALID
        assert refusal(find, text, page_token="junk") == INVALID
        for wrong in ("nothing", "tags.team", "name UP", "name DESC more"):
            assert refusal(find, text, order_by=[wrong]) == INVALID, wrong


def test_an_alias_found_with_a_model_is_the_one_it_has(client: Any, mine: str) -> None:
    client.set_registered_model_alias(f"{mine} c", "best", "1")
    (model,) = client.search_registered_models(f"name = '{mine} c'")
    assert model.aliases == {"best": "1"}
