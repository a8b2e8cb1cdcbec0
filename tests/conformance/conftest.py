"""Which clients are run, and with which database."""

import os

import pytest

collect_ignore = ["clients"]  # for the clients' environments: `test_clients.py` runs them there
CI = {("newest", "sqlite"), ("newest", "postgresql"), ("oldest", "sqlite")}
ALL = os.environ.get("MAESTRO_TEST_CLIENTS") == "all"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what only `make conformance-all` runs."""
    left_out = [] if ALL else [item for item in items if _only_for_all(item)]
    items[:] = [item for item in items if item not in left_out]
    config.hook.pytest_deselected(items=left_out)


def _only_for_all(item: pytest.Item) -> bool:
    if item.path.name != "test_clients.py" or not isinstance(item, pytest.Function):
        return False
    params = item.callspec.params
    return (params["client"], params["databases"]) not in CI
