"""MLflow's filters and orders: what they are read as, and where they cannot be."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestro_ml.mlflow.filters import EXPERIMENTS, RUNS, parse_filter, parse_order
from maestro_ml.tracking.errors import FilterInvalid
from maestro_ml.tracking.search.tree import Comparison, Field, Kind, Op, Order
from support.tracking import MILLIS, NOON

METRIC, PARAM, TAG, ATTRIBUTE = Kind.METRIC, Kind.PARAM, Kind.TAG, Kind.ATTRIBUTE
DATASET, MANY = Kind.DATASET, ("train", "test")


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
        ("run_id IN ('a',)", ATTRIBUTE, "id", Op.IN, ("a",)),
        ("run_id NOT IN ('a', 'b' , )", ATTRIBUTE, "id", Op.NOT_IN, ("a", "b")),
        ("run.user_id = 'me'", ATTRIBUTE, "user_name", Op.EQ, "me"),
        ("run_name LIKE '%x%'", ATTRIBUTE, "name", Op.LIKE, "%x%"),
        ("attributes.`Run name` = 'x'", ATTRIBUTE, "name", Op.EQ, "x"),
        ("`run name` = 'x'", ATTRIBUTE, "name", Op.EQ, "x"),
        ("artifact_uri = 'x'", ATTRIBUTE, "artifact_uri", Op.EQ, "x"),
        ("datasets.name = 'x'", DATASET, "name", Op.EQ, "x"),
        ("dataset.digest LIKE 'x%'", DATASET, "digest", Op.LIKE, "x%"),
        ("datasets.`context` NOT IN ('train', 'test')", DATASET, "context", Op.NOT_IN, MANY),
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
        ("\u2028", 0),
        ("metrics.a = \u0663", 12),
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
        ("params.a IN ('x',,)", 17),
        ("params.a IN (,)", 13),
        ("params.a NOT 'x'", 13),
        ("params.a IS 'x'", 12),
        ("'params'.a = 'x'", 0),
        ("1 = 1", 0),
        ("nothing.a = 'x'", 0),
        ("password_hash = 'x'", 0),
        ("attributes.tenant_id = 'x'", 0),
        ("datasets.size = 'x'", 0),
        ("datasets.name > 'x'", 14),
        ("datasets.name IS NULL", 14),
        ("start_time IS NULL", 11),
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
    "text",
    [
        "",
        "datasets.name",
        "metrics.",
        "metrics.a UP",
        "metrics.a DESC x",
        "1",
        "(select 1)",
        "tenant_id",
    ],
)
def test_a_wrong_order_is_refused(text: str) -> None:
    with pytest.raises(FilterInvalid):
        parse_order([text], RUNS)


def test_what_is_too_long_is_refused_before_its_end_is_read() -> None:
    unread = "'"
    texts = ["metrics.a = 1"] * 101
    with pytest.raises(FilterInvalid, match="at most 100 comparisons"):
        parse_filter(" AND ".join([*texts, unread]), RUNS)
    half = ", ".join(["'x'"] * 5_001)
    with pytest.raises(FilterInvalid, match="at most 10000 values"):
        parse_filter(f"run_id IN ({half}) AND run_id IN ({half}, {unread}", RUNS)
    with pytest.raises(FilterInvalid, match="at most 16 names"):
        parse_order([*(f"metrics.m{n}" for n in range(16)), unread], RUNS)


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
