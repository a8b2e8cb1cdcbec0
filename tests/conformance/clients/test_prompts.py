"""Prompts, which the client keeps in the model registry and apart from the models."""

import importlib
import json
import time
from typing import Any

import pytest

mlflow: Any = importlib.import_module("mlflow")

since_3 = pytest.mark.since("3.0.0")
pytestmark = [pytest.mark.since("2.21.0"), pytest.mark.usefixtures("experiment")]
INVALID, MISSING = "INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST"
GONE = (MISSING, "INTERNAL_ERROR")  # 2.x loses the code where it says prompt for model


@pytest.fixture(autouse=True)
def _asked_anew_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in ("ALIAS", "VERSION"):
        monkeypatch.setenv(f"MLFLOW_{kind}_PROMPT_CACHE_TTL_SECONDS", "0")


@pytest.fixture
def prompt(name: str) -> str:
    """A name that prompts may have."""
    return name.replace(" ", "-")


def test_prompts_are_registered_and_loaded(client: Any, prompt: str, refusal: Any) -> None:
    first = client.register_prompt(prompt, "Dear {{ name }},", "first", tags={"team": "a"})
    second = client.register_prompt(prompt, "Hi {{name}} & 名!", tags={"team": "b"})
    assert (int(first.version), int(second.version)) == (1, 2)
    assert (first.template, first.commit_message) == ("Dear {{ name }},", "first")
    assert client.load_prompt(prompt, 1).format(name="Ada") == "Dear Ada,"
    for uri in (f"prompts:/{prompt}/2", prompt):
        read = client.load_prompt(uri)
        assert (read.name, int(read.version)) == (prompt, 2)
        assert (read.template, read.variables) == ("Hi {{name}} & 名!", {"name"})
    assert refusal(client.load_prompt, prompt, 3) in GONE
    assert refusal(client.load_prompt, f"{prompt}-2", 1) in GONE
    assert refusal(client.register_prompt, "a b", "x") == INVALID


def test_an_alias_of_a_prompt_is_moved_and_deleted(client: Any, prompt: str, refusal: Any) -> None:
    for text in ("one", "two"):
        client.register_prompt(prompt, text)
    for version, text in ((1, "one"), (2, "two")):
        client.set_prompt_alias(prompt, "best", version)
        assert client.load_prompt(f"prompts:/{prompt}@best").template == text
    assert client.load_prompt(f"prompts:/{prompt}/2").aliases == ["best"]
    client.delete_prompt_alias(prompt, "best")
    assert refusal(client.load_prompt, f"prompts:/{prompt}@best") in (INVALID, *GONE)
    for alias in ("latest", "v1", "a b"):
        assert refusal(client.set_prompt_alias, prompt, alias, 1) == INVALID
    assert refusal(client.set_prompt_alias, prompt, "best", 3) in GONE


def test_prompts_are_no_models_and_models_no_prompts(
    client: Any, name: str, prompt: str, refusal: Any
) -> None:
    client.register_prompt(prompt, "Hi")
    client.create_registered_model(name)
    text = f"name IN ('{name}', '{prompt}')"
    assert [model.name for model in client.search_registered_models(text)] == [name]
    assert list(client.search_model_versions(f"name = '{prompt}'")) == []
    assert [m.name for m in mlflow.search_registered_models(filter_string=text)] == [name]
    for call, args in [
        *((client.get_registered_model, []), (client.get_model_version, ["1"])),
        *((client.delete_registered_model, []), (client.get_latest_versions, [])),
        (client.set_registered_model_tag, ["k", "v"]),
        (client.set_registered_model_alias, ["best", "1"]),
    ]:
        assert refusal(call, prompt, *args) == MISSING, call
    assert client.load_prompt(prompt, 1).template == "Hi"
    assert refusal(client.create_registered_model, prompt) == "RESOURCE_ALREADY_EXISTS"
    made = client.create_registered_model(f"{prompt}-2")
    assert refusal(client.register_prompt, made.name, "Hi") == INVALID


def test_a_prompt_that_is_too_long_leaves_nothing(client: Any, prompt: str, refusal: Any) -> None:
    assert refusal(client.register_prompt, prompt, "x" * 100_001) == INVALID
    assert refusal(client.load_prompt, prompt, 1) in GONE
    assert int(client.register_prompt(prompt, "x" * 100_000).version) == 1


@since_3
def test_prompts_of_messages_are_kept_whole(client: Any, prompt: str) -> None:
    messages = [{"role": "system", "content": "Be {{ how }}."}, {"role": "user", "content": "名"}]
    shape = {"type": "object", "properties": {"answer": {"type": "string"}}}
    how = {"model_name": "m", "temperature": 0.5}
    client.register_prompt(prompt, messages, response_format=shape, model_config=how)
    read = mlflow.genai.load_prompt(f"prompts:/{prompt}/1")
    assert (read.template, read.response_format) == (messages, shape)
    assert {k: v for k, v in read.model_config.items() if v is not None} == how
    assert read.format(how="kind")[0]["content"] == "Be kind."
    mlflow.genai.set_prompt_model_config(prompt, 1, {"model_name": "n"})
    assert mlflow.genai.load_prompt(prompt, 1).model_config["model_name"] == "n"


@since_3
def test_prompts_are_found_tagged_and_deleted(
    client: Any, prompt: str, experiment: Any, refusal: Any
) -> None:
    mlflow.genai.register_prompt(prompt, "one", commit_message="first", tags={"team": "a"})
    for text in ("two", "three"):
        mlflow.genai.register_prompt(prompt, text)
    client.create_prompt(f"{prompt}-2", "made apart", {"team": "b"})
    assert client.create_prompt_version(f"{prompt}-2", "Hi", "so far").version == 1

    def found(text: str, **more: Any) -> list[str]:
        return [one.name for one in client.search_prompts(text, **more)]

    both = f"name LIKE '{prompt}%'"
    assert found(both) == [prompt, f"{prompt}-2"]
    assert found(both, order_by=["name DESC"], max_results=1) == [f"{prompt}-2"]
    assert found(f"{both} AND tags.team = 'a'") == [prompt]
    page = client.search_prompts(both, max_results=1)
    assert found(both, max_results=1, page_token=page.token) == [f"{prompt}-2"]
    of_experiment = f"tags._mlflow_experiment_ids LIKE '%,{experiment.experiment_id},%'"
    until = time.monotonic() + 20  # the client tells of the experiment in a thread of its own
    while not found(of_experiment) and time.monotonic() < until:
        time.sleep(0.05)
    assert found(of_experiment) == [prompt]
    versions = client.search_prompt_versions(prompt, max_results=2)
    rest = client.search_prompt_versions(prompt, max_results=2, page_token=versions.token)
    assert [(one.version, one.template) for one in [*versions, *rest]] == [
        *((3, "three"), (2, "two"), (1, "one")),
    ]
    info = client.get_prompt(prompt)
    assert (info.description, info.tags["team"]) == ("first", "a")
    mlflow.genai.set_prompt_tag(prompt, "k", "v")
    mlflow.genai.delete_prompt_tag(prompt, "team")
    tags = mlflow.genai.get_prompt_tags(prompt)
    assert (tags["k"], "team" in tags) == ("v", False)
    mlflow.genai.set_prompt_version_tag(prompt, "2", "k", "v")
    assert client.load_prompt(prompt, 2).tags["k"] == "v"
    mlflow.genai.delete_prompt_version_tag(prompt, "2", "k")
    assert "k" not in client.load_prompt(prompt, 2).tags
    client.delete_prompt_version(prompt, "3")
    assert client.load_prompt(prompt).version == 2
    assert client.load_prompt(f"prompts:/{prompt}@latest").template == "two"
    assert client.load_prompt(prompt, 3, allow_missing=True) is None
    assert client.load_prompt(f"prompts:/{prompt}@best", allow_missing=True) is None
    client.delete_prompt(prompt)
    assert (client.get_prompt(prompt), found(both)) == (None, [f"{prompt}-2"])
    assert refusal(client.delete_prompt, prompt) == MISSING
    assert refusal(client.create_prompt, f"{prompt}-2") == "RESOURCE_ALREADY_EXISTS"


def test_a_prompt_is_linked_to_the_runs_that_use_it(client: Any, prompt: str) -> None:
    in_3 = hasattr(client, "link_prompt_version_to_run")
    link = client.link_prompt_version_to_run if in_3 else client.log_prompt
    load = mlflow.genai.load_prompt if in_3 else mlflow.load_prompt
    client.register_prompt(prompt, "Hi")
    with mlflow.start_run() as run:
        load(f"prompts:/{prompt}/1")
    other = client.create_run(run.info.experiment_id).info.run_id
    link(other, f"prompts:/{prompt}/1")
    for run_id in (run.info.run_id, other):
        if in_3:
            linked = client.get_run(run_id).data.tags["mlflow.linkedPrompts"]
            assert json.loads(linked) == [{"name": prompt, "version": "1"}]
        else:
            assert [one.name for one in client.list_logged_prompts(run_id)] == [prompt]
    if not in_3:
        client.detach_prompt_from_run(other, f"prompts:/{prompt}/1")
        assert client.list_logged_prompts(other) == []


@since_3
def test_a_prompt_is_linked_to_a_logged_model(client: Any, prompt: str) -> None:
    client.register_prompt(prompt, "Hi")
    with mlflow.start_run():
        model = mlflow.initialize_logged_model("agent")
    client.link_prompt_version_to_model(prompt, "1", model.model_id)
    linked = client.get_logged_model(model.model_id).tags["mlflow.linkedPrompts"]
    assert json.loads(linked) == [{"name": prompt, "version": "1"}]
