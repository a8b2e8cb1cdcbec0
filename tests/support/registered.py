"""Registered models on MLflow's wire, as tests want them."""

from typing import Any

from support.files import FILES
from support.wire import Wire


async def a_model(wire: Wire, name: str = "churn", **more: Any) -> dict[str, Any]:
    made = await wire.ok("POST", "registered-models/create", {"name": name, **more})
    model: dict[str, Any] = made["registered_model"]
    return model


async def a_version(wire: Wire, name: str = "churn", **more: Any) -> dict[str, Any]:
    message = {"name": name, "source": "s3://bucket/models/1", **more}
    made = await wire.ok("POST", "model-versions/create", message)
    version: dict[str, Any] = made["model_version"]
    return version


async def sent(wire: Wire, method: str, path: str, message: dict[str, Any], **more: Any) -> Any:
    """DELETE with a body, as clients send it."""
    answer = await wire.http.request(
        method,
        f"/api/2.0/mlflow/{path}",
        json=message,
        headers={"Authorization": f"Bearer {more.get('as_', 'admin')}"},
    )
    assert answer.status_code == more.get("status", 200), answer.text
    return answer.json()


async def a_run_with_files(wire: Wire, **files: bytes) -> str:
    run = await wire.run()
    for name, content in files.items():
        await put(wire, run, name.replace("__", "/"), content)
    return run


async def put(wire: Wire, run: str, path: str, content: bytes) -> None:
    info = (await wire.ok("GET", "runs/get", {"run_id": run}))["run"]["info"]
    root = info["artifact_uri"].removeprefix("mlflow-artifacts:/")
    answer = await wire.http.put(
        f"{FILES}/artifacts/{root}/{path}",
        content=content,
        headers={"Authorization": "Bearer admin"},
    )
    assert answer.is_success, answer.text


async def read(wire: Wire, uri: str, path: str, **more: Any) -> Any:
    root = uri.removeprefix("mlflow-artifacts:/")
    return await wire("GET", f"{FILES}/artifacts/{root}/{path}", **more)
