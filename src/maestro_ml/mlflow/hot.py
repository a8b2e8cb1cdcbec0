"""MLflow's calls that are made all the time. `runs` has an ordinary route for each of them."""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, TypeVar
from urllib.parse import parse_qsl
from uuid import UUID

import msgspec

from maestro_ml.core.access import Access
from maestro_ml.db.hot import FastWork
from maestro_ml.db.work import open_work
from maestro_ml.http.shortcuts import Call, Shortcut, Unusual
from maestro_ml.mlflow import filters, messages, wire
from maestro_ml.mlflow.deps import DEFAULT_EXPERIMENT, DEFAULT_WORKSPACE
from maestro_ml.mlflow.millis import from_millis
from maestro_ml.tracking.schemas import RunCreate, SetTag
from maestro_ml.tracking.search.tree import Search
from maestro_ml.tracking.service import logs, runs, workspaces

T = TypeVar("T")
M = TypeVar("M")
Verb = Callable[[FastWork, UUID], Awaitable[T]]
Way = Callable[..., Awaitable[tuple[FastWork, UUID]]]  # into one project
_JSON = b"application/json"
_ENCODE = msgspec.json.Encoder().encode
_SEARCH = msgspec.json.Decoder(messages.SearchRuns)
_CREATE = msgspec.json.Decoder(messages.CreateRun)


async def log(decoder: msgspec.json.Decoder[Any], call: Call) -> bytes:
    message = _message(decoder, call)
    run_id, told = _run(message.run_id or message.run_uuid), message.told()
    await _write(call, lambda work, _: logs.log(work, run_id, told))
    return b"{}"


async def create(call: Call) -> bytes:
    message = _message(_CREATE, call)
    for text in (message.user_id, message.run_name):
        messages.check_text(text)
    tags = messages.checked({tag.key: tag.value for tag in message.tags})

    async def made(work: FastWork, project_id: UUID) -> Any:
        experiment = message.experiment_id
        if experiment == DEFAULT_EXPERIMENT:
            id = await workspaces.default_experiment(work, project_id)
        else:
            id = wire.as_id(experiment)
        if id is None:
            raise Unusual
        start = message.start_time
        command = RunCreate.model_construct(
            experiment_id=id,
            name=message.run_name or None,
            user_name=message.user_id,
            start_time=None if start is None else from_millis(start),
            tags=[SetTag.model_construct(key=key, value=value) for key, value in tags.items()],
        )
        return await runs.create(work, command)

    return _ENCODE({"run": wire.run_message(await _write(call, made))})


async def get(call: Call) -> bytes:
    query = dict(parse_qsl(call.query.decode("latin-1"), keep_blank_values=True))
    run_id = _run(query.get("run_id") or query.get("run_uuid") or "")
    found = await _read(call, lambda work, _: runs.get(work, run_id))
    return _ENCODE({"run": wire.run_message(found)})


async def search(call: Call) -> bytes:
    """In the caller's project as for the others; but it looks through many runs, so it waits for
    its answer as every other request does."""
    message = _message(_SEARCH, call)
    for text in (message.filter, message.page_token, *message.order_by, *message.experiment_ids):
        messages.check_text(text)
    wanted = Search(
        where=filters.parse_filter(message.filter, filters.RUNS),
        order=filters.parse_order(message.order_by, filters.RUNS),
        view=wire.VIEWS[message.run_view_type],
        limit=message.max_results,
        cursor=message.page_token or None,
    )
    ids = [id for text in message.experiment_ids if (id := wire.as_id(text)) is not None]

    async def inside(work: FastWork, project_id: UUID) -> Access:
        if DEFAULT_EXPERIMENT in message.experiment_ids:
            default = await workspaces.default_experiment(work, project_id)
            ids.extend([] if default is None else [default])
        return work.access

    runtime = call.runtime
    act = _acting(call, workspaces.inside, inside, hold=False)
    access = await runtime.sessions.hot.read(call.access, runtime.clock(), act)
    async with open_work(runtime.sessions, access, read_only=True, clock=runtime.clock) as work:
        found = await runs.search(work, ids, wanted)
    listed = [wire.run_message(record) for record in found.items]
    return _ENCODE(wire.paged({"runs": listed}, found.next_cursor))


def _logging(kind: type[msgspec.Struct]) -> Shortcut:
    return partial(log, msgspec.json.Decoder(kind))


_CALLS: Mapping[tuple[str, str], Shortcut] = {
    ("POST", "runs/log-metric"): _logging(messages.LogMetric),
    ("POST", "runs/log-batch"): _logging(messages.LogBatch),
    ("POST", "runs/log-parameter"): _logging(messages.LogParam),
    ("POST", "runs/set-tag"): _logging(messages.SetTag),
    ("POST", "runs/create"): create,
    ("GET", "runs/get"): get,
    ("POST", "runs/search"): search,
}
SHORTCUTS: Mapping[tuple[str, str], Shortcut] = {
    (method, f"{prefix}/{path}"): call
    for (method, path), call in _CALLS.items()
    for prefix in ("/api/2.0/mlflow", "/ajax-api/2.0/mlflow")
}


def _message(decoder: msgspec.json.Decoder[M], call: Call) -> M:
    """Raises:
    Unusual: it is not in plain form.
    """
    if call.headers.get(b"content-type", b"").partition(b";")[0] != _JSON:
        raise Unusual
    try:
        return decoder.decode(call.body)
    except (ValueError, RecursionError):  # all that msgspec raises for bytes
        raise Unusual from None


def _run(id: str) -> UUID:
    known = wire.as_id(id)
    if known is None:
        raise Unusual
    return known


async def _read(call: Call, verb: Verb[T]) -> T:
    runtime = call.runtime
    act = _acting(call, workspaces.beside, verb, hold=False)
    return await runtime.sessions.hot.read(call.access, runtime.clock(), act)


async def _write(call: Call, verb: Verb[T]) -> T:
    runtime = call.runtime
    act = _acting(call, workspaces.beside, verb, hold=True)
    return await runtime.sessions.hot.write(call.access, runtime.clock(), act)


def _acting(
    call: Call, way: Way, verb: Verb[T], *, hold: bool
) -> Callable[[FastWork], Awaitable[T]]:
    """Every call happens inside one project, as `deps` says."""
    named = call.headers.get(b"x-mlflow-workspace", b"").decode("latin-1")
    slug = None if named in ("", DEFAULT_WORKSPACE) else named

    async def act(work: FastWork) -> T:
        return await verb(*await way(work, slug, hold=hold))

    return act
