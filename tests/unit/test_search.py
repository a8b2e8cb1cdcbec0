"""Searches: what filters find, in which order, page by page."""

import math
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import event, insert

from maestro_ml.core.errors import Invalid
from maestro_ml.core.ids import new_id
from maestro_ml.db.work import Work
from maestro_ml.mlflow.filters import EXPERIMENTS, RUNS, parse_filter, parse_order
from maestro_ml.tracking.errors import FilterInvalid
from maestro_ml.tracking.models import Run, RunStatus
from maestro_ml.tracking.schemas import (
    Batch,
    ExperimentCreate,
    LogMetric,
    LogParam,
    RunChange,
    RunCreate,
    SetExperimentTag,
    SetTag,
)
from maestro_ml.tracking.schemas_models import Dataset, DatasetUse, InputTag, RunInputs
from maestro_ml.tracking.search import logged_models
from maestro_ml.tracking.search.tree import (
    Comparison,
    Field,
    Kind,
    Op,
    Operand,
    Order,
    Search,
)
from maestro_ml.tracking.search.tree import (
    Dataset as OnDataset,
)
from maestro_ml.tracking.service import experiments, inputs, logs, runs
from support import LAB
from support.statements import plan_of
from support.tracking import MILLIS, NOON


async def a_world_of_runs(work: Work) -> tuple[UUID, dict[str, UUID]]:
    """Runs named by a letter; `a` is the oldest."""
    command = ExperimentCreate(project_id=LAB, name="search")
    experiment = (await experiments.create(work, command)).id
    made: dict[str, UUID] = {}
    values = {
        "a": (0.5, "Adam", "x_y"),
        "b": (-1.0, "adam", "x%y"),
        "c": (math.nan, "sgd", "x*y"),
        "d": (math.inf, "SGD", None),
        "e": (-math.inf, None, "[x]"),
        "f": (None, "", "xzy"),
    }
    for n, (name, (acc, opt, tag)) in enumerate(values.items()):
        command_ = RunCreate(
            experiment_id=experiment,
            name=name,
            user_name=f"user {name}",
            start_time=NOON + timedelta(hours=n),
        )
        made[name] = (await runs.create(work, command_)).run.id
        metrics = [] if acc is None else [LogMetric(key="acc", value=acc, at=NOON)]
        batch = Batch(
            metrics=[*metrics, LogMetric(key="other", value=9, at=NOON)],
            params=[] if opt is None else [LogParam(key="opt", value=opt)],
            tags=[] if tag is None else [SetTag(key="tag", value=tag)],
        )
        await logs.log_batch(work, made[name], batch)
    ended = RunChange(status=RunStatus.FINISHED, end_time=NOON + timedelta(days=1))
    await runs.update(work, made["b"], ended)
    await work.session.flush()
    return experiment, made


async def found_by(work: Work, experiment: UUID, text: str = "", *order: str) -> str:
    wanted = Search(where=parse_filter(text, RUNS), order=parse_order(order, RUNS))
    page = await runs.search(work, [experiment], wanted)
    return "".join(record.run.name for record in page.items)


async def test_operators_find_what_they_say(work: Work) -> None:
    experiment, made = await a_world_of_runs(work)
    for text, names in {
        "": "abcdef",
        "metrics.acc > 0": "ad",
        "metrics.acc >= 0.5": "ad",
        "metrics.acc < 0": "be",
        "metrics.acc <= -1": "be",
        "metrics.acc = 0": "",
        "metrics.acc = -1": "b",
        "metrics.acc != 0.5": "bcde",
        "metrics.missing != 1": "",
        "metrics.acc > 1e308 AND metrics.other = 9": "d",
        "params.opt = 'Adam'": "a",
        "params.opt != 'Adam'": "bcdf",
        "params.opt LIKE 'a%'": "b",
        "params.opt ILIKE 'a%'": "ab",
        "params.opt LIKE '%'": "abcdf",
        "params.opt IN ('Adam', 'sgd')": "ac",
        "params.opt NOT IN ('Adam', 'sgd')": "bdf",
        "params.opt IS NULL": "e",
        "params.opt IS NOT NULL AND tags.tag IS NULL": "d",
        "tags.tag LIKE 'x_y'": "abcf",
        "tags.tag LIKE 'x*y'": "c",
        "tags.tag LIKE '[x]'": "e",
        "tags.tag LIKE 'x?y'": "",
        "tags.tag LIKE '%\\'": "",
        "tags.tag ILIKE 'X%Y'": "abcf",
        "tags.tag ILIKE '\\%'": "",
        "status = 'FINISHED'": "b",
        "status = 'finished'": "",
        "status != 'RUNNING'": "b",
        "status LIKE 'RUN%'": "acdef",
        "status IN ('FINISHED', 'nonsense')": "b",
        "run_name IN ('a', 'b')": "ab",
        "user_id = 'user c'": "c",
        "run_id = 'x'": "",
        "run_id != 'x'": "abcdef",
        f"run_id = '{made['c'].hex}'": "c",
        f"run_id != '{made['c'].hex}'": "abdef",
        f"run_id IN ('{made['c'].hex}', '{made['a'].hex}', '')": "ac",
        f"run_id NOT IN ('{made['c'].hex}')": "abdef",
        f"run_id LIKE '%{made['e'].hex[8:]}'": "e",
        f"artifact_uri = 'mlflow-artifacts:/{experiment.hex}/{made['d'].hex}/artifacts'": "d",
        f"start_time > {MILLIS}": "bcdef",
        f"start_time = {MILLIS}": "a",
        "start_time > -5": "abcdef",
        "end_time > 0": "b",
        "end_time != 0": "b",
    }.items():
        assert "".join(sorted(await found_by(work, experiment, text))) == names, text


async def test_orders_put_nan_after_numbers_and_missing_last(work: Work) -> None:
    experiment, _ = await a_world_of_runs(work)
    for order, names in {
        (): "fedcba",
        ("start_time",): "abcdef",
        ("start_time DESC",): "fedcba",
        ("metrics.acc",): "ebadcf",
        ("metrics.acc DESC",): "dabecf",
        ("end_time",): "bfedca",
        ("end_time DESC",): "bfedca",
        ("run_name DESC",): "fedcba",
        ("metrics.missing", "run_name"): "abcdef",
        ("params.missing DESC", "tags.missing", "attributes.run_name"): "abcdef",
        ("metrics.other", "metrics.acc"): "ebadcf",
    }.items():
        assert await found_by(work, experiment, "", *order) == names, order


async def test_pages_are_complete_and_nothing_comes_twice(work: Work) -> None:
    experiment, _ = await a_world_of_runs(work)
    for text in ("metrics.acc DESC", "params.opt", "tags.tag DESC", "end_time", "run_id", ""):
        order = [text] if text else []
        whole = await found_by(work, experiment, "", *order)
        seen, cursor = "", None
        while True:
            wanted = Search(order=parse_order(order, RUNS), limit=2, cursor=cursor)
            page = await runs.search(work, [experiment], wanted)
            seen += "".join(record.run.name for record in page.items)
            cursor = page.next_cursor
            if cursor is None:
                break
            if text == "":  # what starts meanwhile is not on the pages to come
                late = RunCreate(experiment_id=experiment, name="z", start_time=NOON + timedelta(9))
                await runs.create(work, late)
        assert seen == whole, text


async def test_runs_are_found_by_their_datasets(work: Work) -> None:
    experiment, made = await a_world_of_runs(work)
    for name, digest, context in [("a", "1", "train"), ("a", "2", "test"), ("b", "1", None)]:
        dataset = Dataset(name=f"set {name}", digest=digest, source_type="x", source="y")
        tags = [InputTag(key="mlflow.data.context", value=context)] if context else []
        used = RunInputs(datasets=[DatasetUse(dataset=dataset, tags=tags)])
        await inputs.log_inputs(work, made[name], used)
    compared: list[tuple[str, Op, Operand, str]] = [
        ("name", Op.EQ, "set a", "a"),
        ("name", Op.LIKE, "set%", "ab"),
        ("name", Op.IN, ("set b", "set c"), "b"),
        ("digest", Op.EQ, "1", "ab"),
        ("digest", Op.NE, "1", "a"),
        ("context", Op.ILIKE, "T%", "a"),
        ("context", Op.NOT_IN, ("train",), "a"),
        ("context", Op.EQ, "' OR '1'='1", ""),
    ]
    for key, op, value, names in compared:
        where = [Comparison(Field(Kind.DATASET, key), op, value)]
        page = await runs.search(work, [experiment], Search(where=where))
        found = "".join(sorted(record.run.name for record in page.items))
        assert found == names, (key, op, value)


NOT_OURS = [
    *("x", "é", "e30", "W10", "bnVsbA", "WzEsMl0", "WyJ4IiwieCJd", "A" * 5001),
    *("WyIyMDI2LTExLTI0VDEyOjAwOjAwIiwieCJd", "W1tbW1tbW1tbW1td", "WyJcdTAwMDAiLCAieCJd"),
]


async def test_a_cursor_that_is_not_ours_is_refused(work: Work) -> None:
    experiment, _ = await a_world_of_runs(work)
    for cursor in NOT_OURS:
        with pytest.raises(Invalid):
            await runs.search(work, [experiment], Search(cursor=cursor))


async def test_a_cursor_of_another_order_is_refused(work: Work) -> None:
    experiment, _ = await a_world_of_runs(work)
    cursor = (await runs.search(work, [experiment], Search(limit=1))).next_cursor
    orders = parse_order(["metrics.acc"], RUNS)
    with pytest.raises(Invalid):
        await runs.search(work, [experiment], Search(order=orders, cursor=cursor))


ATTACKS = [
    "' OR '1'='1",
    "'; DROP TABLE runs--",
    "1)) UNION SELECT password_hash FROM users--",
    "name; SELECT pg_sleep(5)",
    "\\",
    "x%27",  # without the x an id that ends in 27 is found
    "$where",
    '{"$gt":""}',
    "%' ESCAPE '%",
]


async def test_attacks_are_texts_like_any_other(work: Work) -> None:
    experiment, made = await a_world_of_runs(work)
    for n, attack in enumerate(ATTACKS):
        value, key = attack.replace("'", "''"), attack.replace("`", "``")
        await logs.log_batch(work, made["a"], Batch(params=[LogParam(key=f"p{n}", value=attack)]))
        assert await found_by(work, experiment, f"params.p{n} = '{value}'") == "a"
        for op in ("=", "LIKE", "ILIKE"):
            for name in ("params.none", f"tags.`{key}`", "run_id", "run_name", "artifact_uri"):
                assert await found_by(work, experiment, f"{name} {op} '{value}'") == ""
        assert await found_by(work, experiment, "", f"metrics.`{key}` DESC") == "fedcba"
    assert await found_by(work, experiment) == "fedcba"


async def test_a_search_has_its_limits(work: Work) -> None:
    experiment, _ = await a_world_of_runs(work)
    ids = ", ".join(f"'{n}'" for n in range(10_001))
    for text in (
        " AND ".join(["metrics.a = 1"] * 101),
        f"run_id IN ({ids})",
        f"params.opt LIKE '{'%a' * 5001}'",
    ):
        with pytest.raises(FilterInvalid):
            await found_by(work, experiment, text)
    for order in ([f"metrics.m{n}" for n in range(17)], ["metrics.a", "metrics.a DESC"]):
        with pytest.raises(FilterInvalid):
            await found_by(work, experiment, "", *order)
    most = " AND ".join(
        [f"params.p{n} IS NULL" for n in range(99)] + [f"run_id IN ({ids[:60000]})"]
    )
    with pytest.raises(FilterInvalid):
        await found_by(work, experiment, most + "'")
    text = " AND ".join(f"params.p{n} IS NULL" for n in range(100))
    assert await found_by(work, experiment, text, *[f"metrics.m{n}" for n in range(16)]) == "fedcba"


async def test_experiments_are_found_by_name_time_and_tag(work: Work) -> None:
    for name in ("a", "b", "ab"):
        tags = [SetExperimentTag(key="team", value=name)]
        await experiments.create(work, ExperimentCreate(project_id=LAB, name=name, tags=tags))
    for text, names in {
        "name LIKE 'a%'": ["a", "ab"],
        "name = 'b'": ["b"],
        "name ILIKE 'A_'": ["ab"],
        "tags.team != 'a'": ["b", "ab"],
        "tags.team IS NULL": [],
        "creation_time > 0": ["a", "b", "ab"],
        "last_update_time < 5": [],
    }.items():
        wanted = Search(
            where=parse_filter(text, EXPERIMENTS), order=parse_order(["name"], EXPERIMENTS)
        )
        found = await experiments.search(work, LAB, wanted)
        assert [r.experiment.name for r in found.items] == sorted(names), text


async def test_what_a_metric_ranks_is_looked_up_by_its_key(work: Work, database: str) -> None:
    """Also where the database has not yet looked at what its tables hold."""
    experiment, _ = await a_world_of_runs(work)
    others = {
        "tenant_id": work.tenant_id,
        "project_id": LAB,
        "experiment_id": experiment,
        "name": "one of many",
        "status": RunStatus.FINISHED,
        "start_time": NOON,
        "created_at": NOON,
        "user_name": "",
    }
    many = [others | {"id": new_id()} for _ in range(4_000)]
    await work.session.execute(insert(Run), many)
    sent: list[tuple[str, object]] = []
    bind = work.session.get_bind()
    event.listen(bind, "before_cursor_execute", lambda *a: sent.append((a[2], a[3])))
    text = "metrics.acc > -2 AND params.opt LIKE 'a%'"
    assert await found_by(work, experiment, text, "metrics.acc DESC") == "b"
    (statement,) = [one for one in sent if "ORDER BY" in one[0] and "AS term_0" in one[0]]
    plan = await plan_of(database, *statement)
    assert "ix_latest_metrics_ranked" in plan
    assert "ix_runs" not in plan
    assert "SCAN runs" not in plan
    assert "Seq Scan" not in plan


async def test_many_parts_of_a_filter_make_no_large_join(work: Work, database: str) -> None:
    """PostgreSQL weighs every order of a join: of a hundred parts for longer than a search may."""
    experiment, _ = await a_world_of_runs(work)
    parts = [f"params.p{n} = 'x' AND metrics.m{n} != 1 AND tags.t{n} IS NULL" for n in range(3)]
    text = " AND ".join(parts)
    sent: list[tuple[str, object]] = []
    bind = work.session.get_bind()
    event.listen(bind, "before_cursor_execute", lambda *a: sent.append((a[2], a[3])))
    assert await found_by(work, experiment, text) == ""
    (statement,) = [one for one in sent if "ORDER BY" in one[0] and "AS term_0" in one[0]]
    plan = await plan_of(database, *statement)
    assert "Nested Loop" not in plan
    assert "Join" not in plan


async def test_logged_models_of_thousands_of_experiments_are_searched_in_any_order(
    work: Work,
) -> None:
    experiments = [new_id() for _ in range(2_100)]
    order = [Order(Field(Kind.METRIC, f"m{n}")) for n in range(16)]
    found = await logged_models.page(work.session, experiments, Search(order=order))
    assert found.items == []


async def test_a_search_compares_so_many_metrics_on_so_many_datasets(work: Work) -> None:
    datasets = [OnDataset(f"d{n}") for n in range(100)]
    where = [Comparison(Field(Kind.METRIC, f"m{n}"), Op.GT, 1.0) for n in range(11)]
    with pytest.raises(FilterInvalid, match="at most 1000"):
        await logged_models.page(work.session, [], Search(where=where, datasets=datasets))
    most = Search(where=where[:10], datasets=datasets)
    assert (await logged_models.page(work.session, [new_id()], most)).items == []
