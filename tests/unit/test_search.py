"""MLflow's filters: what they are read as, and what they find."""

import math
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestro_ml.core.errors import Invalid
from maestro_ml.db.work import Work
from maestro_ml.mlflow.filters import EXPERIMENTS, RUNS, parse_filter, parse_order
from maestro_ml.tracking.errors import FilterInvalid
from maestro_ml.tracking.models import RunStatus
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
from maestro_ml.tracking.search.tree import Comparison, Field, Kind, Op, Order, Search
from maestro_ml.tracking.service import experiments, logs, runs
from support import LAB

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
MILLIS = int(NOON.timestamp()) * 1000
METRIC, PARAM, TAG, ATTRIBUTE = Kind.METRIC, Kind.PARAM, Kind.TAG, Kind.ATTRIBUTE


@pytest.mark.parametrize(
    ("text", "kind", "key", "op", "value"),
    [
        ("metrics.acc > 0.5", METRIC, "acc", Op.GT, 0.5),
        ("metric.acc>=-1e-3", METRIC, "acc", Op.GE, -0.001),
        ("metrics.`a b/c` < 1", METRIC, "a b/c", Op.LT, 1.0),
        ('metrics."a b" <= .5', METRIC, "a b", Op.LE, 0.5),
        ("`metrics`.acc = +1.", METRIC, "acc", Op.EQ, 1.0),
        ("metrics.f1.macro != 2", METRIC, "f1.macro", Op.NE, 2.0),
        ("metrics.1 = 1", METRIC, "1", Op.EQ, 1.0),
        ("params.lr = '0.1'", PARAM, "lr", Op.EQ, "0.1"),
        ('param.lr != "0.1"', PARAM, "lr", Op.NE, "0.1"),
        ("parameters.lr LIKE '0.%'", PARAM, "lr", Op.LIKE, "0.%"),
        ("parameter.lr ilike 'x'", PARAM, "lr", Op.ILIKE, "x"),
        ("params.lr IS NULL", PARAM, "lr", Op.IS_NULL, None),
        ("params.lr is not null", PARAM, "lr", Op.IS_NOT_NULL, None),
        ("params.`learning-rate` = ''", PARAM, "learning-rate", Op.EQ, ""),
        ("params.learning-rate = 'it''s'", PARAM, "learning-rate", Op.EQ, "it's"),
        ("tags.mlflow.source.name = 'x'", TAG, "mlflow.source.name", Op.EQ, "x"),
        ('tags."mlflow.runName" = "it\'s"', TAG, "mlflow.runName", Op.EQ, "it's"),
        ("tag.`a``b` = 'x'", TAG, "a`b", Op.EQ, "x"),
        ("tags.t IN ('a', \"b\",'c')", TAG, "t", Op.IN, ("a", "b", "c")),
        ("attributes.status = 'FINISHED'", ATTRIBUTE, "status", Op.EQ, "FINISHED"),
        ("attr.run_id IN ('a')", ATTRIBUTE, "id", Op.IN, ("a",)),
        ("run_id not  in ('a')", ATTRIBUTE, "id", Op.NOT_IN, ("a",)),
        ("run.user_id = 'me'", ATTRIBUTE, "user_name", Op.EQ, "me"),
        ("run_name LIKE '%x%'", ATTRIBUTE, "name", Op.LIKE, "%x%"),
        ("attributes.`Run name` = 'x'", ATTRIBUTE, "name", Op.EQ, "x"),
        ("`run name` = 'x'", ATTRIBUTE, "name", Op.EQ, "x"),
        ("artifact_uri = 'x'", ATTRIBUTE, "artifact_uri", Op.EQ, "x"),
        (f"start_time >= {MILLIS}", ATTRIBUTE, "start_time", Op.GE, NOON),
        (f"attributes.end_time < {MILLIS}.0", ATTRIBUTE, "end_time", Op.LT, NOON),
        (f"created != {MILLIS}", ATTRIBUTE, "start_time", Op.NE, NOON),
    ],
)
def test_one_comparison_is_read(text: str, kind: Kind, key: str, op: Op, value: object) -> None:
    (read,) = parse_filter(text, RUNS)
    assert (read.field, read.op, read.value) == (Field(kind, key), op, value)


@pytest.mark.parametrize(
    ("text", "n"),
    [
        ("", 0),
        ("  \n ", 0),
        ("metrics.a = 1 AND params.b = 'and'", 2),
        ("metrics.a=1 and metrics.b=2 aNd tags.c IS NULL", 3),
        (" metrics.a = 1\n\tAND\n tags.`AND` = 'x' ", 2),
    ],
)
def test_and_joins_comparisons(text: str, n: int) -> None:
    assert len(parse_filter(text, RUNS)) == n


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("metrics.a = 1 OR metrics.b = 2", 14),
        ("metrics.a = 1 AND", 17),
        ("metrics.a = 1,", 13),
        ("metrics.a = '1'", 12),
        ("metrics.a = NaN", 12),
        ("metrics.a LIKE 'x'", 10),
        ("metrics.a IS NULL", 10),
        ("metrics.a == 1", 11),
        ("metrics.a <> 1", 11),
        ("metrics.a", 9),
        ("metrics.", 8),
        ("metrics.a ~ 1", 9),
        ("params.a = 1", 11),
        ("params.a = x", 11),
        ("params.a = `x`", 11),
        ("params.a > '1'", 9),
        ("params.a = 'open", 10),
        ("params.a IN 'x'", 12),
        ("params.a IN ()", 13),
        ("params.a IN ('x' 'y')", 17),
        ("params.a IN ('x',)", 17),
        ("params.a NOT 'x'", 13),
        ("params.a IS 'x'", 12),
        ("'params'.a = 'x'", 0),
        ("1 = 1", 0),
        ("nothing.a = 'x'", 0),
        ("password_hash = 'x'", 0),
        ("attributes.tenant_id = 'x'", 0),
        ("datasets.name = 'x'", 0),
        ("start_time > '2026'", 13),
        ("start_time > 99999999999999999999", 13),
        ("start_time > 1e999", 13),
        ("start_time IN ('1')", 11),
        ("params.x = 'a' OR tenant_id != ''", 15),
        ("params.x = 'a'; DROP TABLE users--", 14),
        ("params.x = 'a' UNION SELECT 1", 15),
        ("metrics.a = 1 AND (metrics.b = 2)", 18),
    ],
)
def test_what_cannot_be_read_says_where(text: str, at: int) -> None:
    with pytest.raises(FilterInvalid) as refused:
        parse_filter(text, RUNS)
    assert refused.value.facts["position"] == at
    assert f"at character {at + 1}" in refused.value.detail


def test_experiments_have_names_of_their_own() -> None:
    text = f"name LIKE 'a%' AND tags.team = 'x' AND creation_time > {MILLIS}"
    assert [c.field.key for c in parse_filter(text, EXPERIMENTS)] == ["name", "team", "created_at"]
    for wrong in ("metrics.a = 1", "params.a = 'x'", "status = 'x'"):
        with pytest.raises(FilterInvalid):
            parse_filter(wrong, EXPERIMENTS)


@pytest.mark.parametrize(
    ("text", "order"),
    [
        ("metrics.acc DESC", Order(Field(METRIC, "acc"), descending=True)),
        ("params.`a b` asc", Order(Field(PARAM, "a b"))),
        ("start_time", Order(Field(ATTRIBUTE, "start_time"))),
        ('attributes."run_name" Desc', Order(Field(ATTRIBUTE, "name"), descending=True)),
    ],
)
def test_an_order_is_read(text: str, order: Order) -> None:
    assert parse_order([text], RUNS) == [order]


@pytest.mark.parametrize(
    "text", ["", "metrics.", "metrics.a UP", "metrics.a DESC x", "1", "(select 1)", "tenant_id"]
)
def test_a_wrong_order_is_refused(text: str) -> None:
    with pytest.raises(FilterInvalid):
        parse_order([text], RUNS)


WORDS = "metrics params. tags.` ` ' \" . AND NOT IN ( ) , = != > LIKE NULL 1 - e5 start_time \\ a é"
PIECES = st.sampled_from([*WORDS.split(" "), " ", "\n"])


@given(st.one_of(st.text(), st.lists(PIECES).map("".join), st.lists(PIECES).map(" ".join)))
def test_any_text_is_a_tree_or_a_refusal(text: str) -> None:
    for grammar in (RUNS, EXPERIMENTS):
        for parse in (parse_filter, lambda t, g: parse_order([t], g)):
            try:
                found = parse(text, grammar)
            except FilterInvalid:
                continue
            assert all(isinstance(part, Comparison | Order) for part in found)


@given(st.text(), st.text(min_size=1))
def test_what_is_quoted_is_read_as_it_was(value: str, key: str) -> None:
    quoted = value.replace("'", "''")
    named = key.replace("`", "``")
    (read,) = parse_filter(f"tags.`{named}` = '{quoted}'", RUNS)
    assert (read.field.key, read.value) == (key, value)


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
    "%27",
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
