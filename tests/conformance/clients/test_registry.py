"""The registry: models, their versions, aliases and stages, made, moved, copied and refused."""

import importlib
from typing import Any

import pytest

mlflow: Any = importlib.import_module("mlflow")

pytestmark = pytest.mark.usefixtures("experiment")
INVALID, MISSING = "INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST"


def numbers(found: Any) -> list[int]:
    return [int(version.version) for version in found]


def test_a_model_is_made_described_renamed_and_deleted(
    client: Any, name: str, refusal: Any
) -> None:
    made = client.create_registered_model(name, {"team": "a", "n": 1}, "which falls")
    read = client.get_registered_model(name)
    for model in (made, read):
        assert (model.name, model.description) == (name, "which falls")
        assert model.tags == {"team": "a", "n": "1"}
        assert (list(model.latest_versions), model.aliases) == ([], {})
        assert 0 < model.creation_timestamp <= model.last_updated_timestamp
    assert refusal(client.create_registered_model, name) == "RESOURCE_ALREADY_EXISTS"
    assert client.update_registered_model(name, "which stands").description == "which stands"
    assert not client.update_registered_model(name, "").description
    client.rename_registered_model(name, f"{name} new")
    assert client.get_registered_model(f"{name} new").tags == {"team": "a", "n": "1"}
    assert refusal(client.get_registered_model, name) == MISSING
    client.create_registered_model(name)
    assert refusal(client.rename_registered_model, name, f"{name} new") == "RESOURCE_ALREADY_EXISTS"
    client.delete_registered_model(name)
    assert refusal(client.get_registered_model, name) == MISSING
    assert refusal(client.delete_registered_model, name) == MISSING


def test_names_of_models_are_in_any_language(
    client: Any, weights_of: Any, name: str, run: Any
) -> None:
    named = f"größe 名 1.0 {name[-8:]}"
    client.create_registered_model(named)
    client.create_model_version(named, f"runs:/{run.info.run_id}/model", run.info.run_id)
    client.set_registered_model_alias(named, "best", "1")
    (found,) = client.search_registered_models(f"name = '{named}'")
    assert (found.name, found.aliases) == (named, {"best": "1"})
    assert weights_of(f"models:/{named}@best") == "w"


def test_a_version_says_what_it_was_made_of(
    client: Any, weights_of: Any, name: str, run: Any, refusal: Any
) -> None:
    client.create_registered_model(name)
    source = f"{run.info.artifact_uri}/model"
    made = client.create_model_version(
        name, source, run.info.run_id, {"k": 1}, "https://ci.test/7", "first"
    )
    assert client.update_model_version(name, made.version, "second").description == "second"
    read = client.get_model_version(name, "1")
    for version in (made, read):
        assert (version.name, int(version.version)) == (name, 1)
        assert (version.source, version.run_id) == (source, run.info.run_id)
        assert (version.run_link, version.tags) == ("https://ci.test/7", {"k": "1"})
        assert (version.status, version.current_stage) == ("READY", "None")
        assert (list(version.aliases), version.status_message or "") == ([], "")
        assert 0 < version.creation_timestamp <= version.last_updated_timestamp
    assert (made.description, read.description) == ("first", "second")
    assert not client.update_model_version(name, made.version, "").description
    plain = client.create_model_version(name, source, run.info.run_id)
    assert not any((plain.description, plain.run_link, plain.tags))
    assert numbers(client.get_registered_model(name).latest_versions) == [2]
    assert weights_of(client.get_model_version_download_uri(name, "1")) == "w"
    assert refusal(client.get_model_version_download_uri, name, "3") == MISSING


def test_the_number_of_a_deleted_version_is_never_used_again(
    client: Any, name: str, versions: list[Any], refusal: Any
) -> None:
    client.set_registered_model_alias(name, "best", "3")
    client.set_registered_model_alias(name, "good", "2")
    client.delete_model_version(name, "3")
    for call in (client.get_model_version, client.delete_model_version):
        assert refusal(call, name, "3") == MISSING
    model = client.get_registered_model(name)
    assert (numbers(model.latest_versions), model.aliases) == ([2], {"good": "2"})
    made = client.create_model_version(name, versions[0].source, versions[0].run_id)
    assert int(made.version) == 4
    client.delete_registered_model(name)
    assert refusal(client.get_model_version, name, "1") == MISSING
    assert list(client.search_model_versions(f"name = '{name}'")) == []


def test_tags_of_models_and_versions_are_set_and_deleted(
    client: Any, name: str, versions: list[Any], refusal: Any
) -> None:
    assert len(versions) == 3
    for key, value in (("a", 1), ("a", "two"), ("a b/c.d:e-f", ""), ("名", "x" * 100_000)):
        client.set_registered_model_tag(name, key, value)
        client.set_model_version_tag(name, "2", key, value)
    for key in ("名", "nothing"):
        client.delete_registered_model_tag(name, key)
        client.delete_model_version_tag(name, "2", key)
    left = {"a": "two", "a b/c.d:e-f": ""}
    assert client.get_registered_model(name).tags == left
    assert client.get_model_version(name, "2").tags == left
    assert client.get_model_version(name, "1").tags == {}
    for key, value in (("a*b", "v"), ("../a", "v"), ("k" * 251, "v"), ("a", "v" * 100_001)):
        assert refusal(client.set_registered_model_tag, name, key, value) == INVALID, key
        assert refusal(client.set_model_version_tag, name, "2", key, value) == INVALID, key
        assert refusal(client.create_registered_model, f"{name} 2", {key: value}) == INVALID, key
    assert refusal(client.set_registered_model_tag, f"{name} 2", "a", "v") == MISSING
    assert refusal(client.delete_registered_model_tag, f"{name} 2", "a") == MISSING
    assert refusal(client.set_model_version_tag, name, "4", "a", "v") == MISSING
    assert refusal(client.delete_model_version_tag, name, "4", "a") == MISSING


def test_an_alias_points_at_one_version(
    client: Any, name: str, versions: list[Any], refusal: Any
) -> None:
    assert len(versions) == 3
    for alias, version in (("best", "1"), ("best", "2"), ("Best", "3"), ("v2-beta", "2")):
        client.set_registered_model_alias(name, alias, version)
    assert client.get_registered_model(name).aliases == {"best": "2", "Best": "3", "v2-beta": "2"}
    assert sorted(client.get_model_version(name, "2").aliases) == ["best", "v2-beta"]
    by_alias = client.get_model_version_by_alias(name, "best")
    assert (int(by_alias.version), sorted(by_alias.aliases)) == (2, ["best", "v2-beta"])
    for alias in ("best", "best", "nothing"):
        client.delete_registered_model_alias(name, alias)
    assert client.get_registered_model(name).aliases == {"Best": "3", "v2-beta": "2"}
    assert refusal(client.get_model_version_by_alias, name, "best") == INVALID
    for alias in ("latest", "LATEST", "v1", "V12", "a b", "a/b", "a.b", "", "a" * 256):
        assert refusal(client.set_registered_model_alias, name, alias, "1") == INVALID, alias
    assert refusal(client.set_registered_model_alias, name, "best", "4") == MISSING
    assert refusal(client.set_registered_model_alias, f"{name} 2", "best", "1") == MISSING
    assert refusal(client.get_model_version_by_alias, f"{name} 2", "best") == MISSING
    assert refusal(client.delete_registered_model_alias, f"{name} 2", "best") == MISSING


@pytest.mark.since("2.22.0")
def test_the_alias_latest_is_always_the_newest_version(
    client: Any, name: str, versions: list[Any], refusal: Any
) -> None:
    client.transition_model_version_stage(name, "2", "Staging")
    for alias in ("latest", "LATEST"):
        newest = client.get_model_version_by_alias(name, alias)
        assert int(newest.version) == int(versions[2].version)
    client.delete_model_version(name, "3")
    assert int(client.get_model_version_by_alias(name, "latest").version) == 2
    client.create_registered_model(f"{name} 2")
    assert refusal(client.get_model_version_by_alias, f"{name} 2", "latest") == MISSING


def test_renaming_takes_versions_tags_and_aliases_along(
    client: Any, weights_of: Any, name: str, versions: list[Any], refusal: Any
) -> None:
    assert len(versions) == 3
    client.set_model_version_tag(name, "2", "k", "v")
    client.set_registered_model_alias(name, "best", "2")
    new = f"{name} new"
    client.rename_registered_model(name, new)
    version = client.get_model_version_by_alias(new, "best")
    assert (version.name, version.tags) == (new, {"k": "v"})
    assert numbers(client.search_model_versions(f"name = '{new}'")) == [3, 2, 1]
    assert weights_of(f"models:/{new}@best") == "w"
    assert refusal(client.get_model_version, name, "2") == MISSING
    assert refusal(client.get_model_version_by_alias, name, "best") == MISSING


def test_versions_move_through_stages(
    client: Any, weights_of: Any, name: str, versions: list[Any], refusal: Any
) -> None:
    def stages() -> str:
        return "".join(client.get_model_version(name, v.version).current_stage[0] for v in versions)

    moved = client.transition_model_version_stage(name, "1", "STAGING")
    assert (int(moved.version), moved.current_stage, stages()) == (1, "Staging", "SNN")
    client.transition_model_version_stage(name, "2", "staging", archive_existing_versions=True)
    assert stages() == "ASN"
    by_stage = {v.current_stage: int(v.version) for v in client.get_latest_versions(name)}
    assert by_stage == {"Archived": 1, "Staging": 2, "None": 3}
    model = client.get_registered_model(name)
    assert {v.current_stage: int(v.version) for v in model.latest_versions} == by_stage
    assert numbers(client.get_latest_versions(name, ["staging"])) == [2]
    assert numbers(client.get_latest_versions(name, ["Production"])) == []
    assert weights_of(f"models:/{name}/Staging") == "w"
    assert weights_of(f"models:/{name}/latest") == "w"
    client.set_model_version_tag(name, stage="Staging", key="k", value="v")
    assert client.get_model_version(name, "2").tags == {"k": "v"}
    client.transition_model_version_stage(name, "2", "None")
    assert stages() == "ANN"
    assert client.get_model_version_stages(name, "1") == [
        *("None", "Staging", "Production", "Archived"),
    ]
    for version, stage, code in (("1", "Best", INVALID), ("4", "Staging", MISSING)):
        assert refusal(client.transition_model_version_stage, name, version, stage) == code
    assert refusal(client.get_latest_versions, name, ["Best"]) == INVALID
    assert refusal(client.get_latest_versions, f"{name} 2") == MISSING


def test_a_model_is_loaded_by_its_stage_production(
    client: Any, weights_of: Any, name: str, versions: list[Any]
) -> None:
    assert len(versions) == 3
    client.transition_model_version_stage(name, "1", "Production")
    client.transition_model_version_stage(name, "2", "Production", archive_existing_versions=True)
    assert numbers(client.get_latest_versions(name, ["Production"])) == [2]
    assert client.get_model_version(name, "1").current_stage == "Archived"
    assert weights_of(f"models:/{name}/Production") == "w"


def test_wrong_models_and_versions_are_refused_with_mlflows_codes(
    client: Any, name: str, versions: list[Any], refusal: Any
) -> None:
    assert len(versions) == 3
    for wrong in ("", " ", "a/b", "a:b", ".", ".."):
        assert refusal(client.create_registered_model, wrong) == INVALID, wrong
    for wrong in ("a/b", "a:b", ".."):
        assert refusal(client.rename_registered_model, name, wrong) == INVALID, wrong
    nothing = f"{name} 2"
    for code, call, args in [
        (MISSING, client.get_registered_model, [nothing]),
        (MISSING, client.update_registered_model, [nothing, "x"]),
        (MISSING, client.rename_registered_model, [nothing, f"{name} 3"]),
        (MISSING, client.delete_registered_model, [nothing]),
        (MISSING, client.get_model_version, [nothing, "1"]),
        (MISSING, client.delete_model_version, [nothing, "1"]),
        (MISSING, client.get_model_version, [name, "4"]),
        (MISSING, client.get_model_version, [name, "0"]),
        (INVALID, client.get_model_version, [name, "one"]),
        (INVALID, client.get_model_version, [name, "1.0"]),
        (MISSING, client.update_model_version, [name, "4", "x"]),
        (INVALID, client.delete_model_version, [name, "one"]),
        (MISSING, client.transition_model_version_stage, [nothing, "1", "Staging"]),
    ]:
        assert refusal(call, *args) == code, (call, args)


@pytest.mark.differs
def test_mistakes_that_mlflow_answers_with_an_internal_error_are_named(
    client: Any, name: str, versions: list[Any], refusal: Any
) -> None:
    assert len(versions) == 3
    move = client.transition_model_version_stage
    for stage in ("Archived", "None"):
        assert refusal(move, name, "1", stage, archive_existing_versions=True) == INVALID
    assert refusal(client.search_registered_models, "name IS NULL") == INVALID
    for find in (client.search_registered_models, client.search_model_versions):
        assert refusal(find, f"name = '{name}'", order_by=["name", "name DESC"]) == INVALID
