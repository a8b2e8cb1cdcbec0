"""What holds for every answer there is, whoever asked for what."""

import httpx2

from support.policy import Operation

LEAKS = ("Traceback", "sqlalchemy", "asyncpg", "site-packages", "/usr/", "$argon2")
GIVES_TOKENS = {"register_user", "login", "refresh_tokens", "accept_invitation", "set_up_platform"}


def keeps_the_rules(operation: Operation, answer: httpx2.Response) -> None:
    assert answer.status_code < 500
    for leak in LEAKS if operation.name in GIVES_TOKENS else (*LEAKS, "eyJ"):
        assert leak not in answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-request-id"]
    if operation.name != "read_signing_keys":
        assert answer.headers["cache-control"] == "no-store"
    if answer.is_error:
        problem = "application/json" if operation.mlflow else "application/problem+json"
        assert answer.headers["content-type"] == problem
    if answer.status_code == 401:
        assert answer.headers["www-authenticate"].startswith("Bearer")


def finds_nothing(answer: httpx2.Response) -> bool:
    """A page, a search or an export without a line."""
    if not answer.headers["content-type"].startswith("application/json"):
        lines = answer.text.splitlines()
        return len(lines) <= (1 if "csv" in answer.headers["content-type"] else 0)
    told = answer.json()
    lists = ("items", "runs", "experiments", "metrics", "models", "dataset_summaries")
    return not any(told.get(name) for name in lists)
