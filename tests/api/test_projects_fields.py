"""What a project may hold: each field that cannot be is refused by its name."""

from maestro_ml.core.ids import new_id
from support import OTHER
from support.native import Api
from support.projects import AT, EVERYTHING, P, names

BAD_FIELDS: list[tuple[str, object]] = [
    ("name", ""),
    ("name", "   "),
    ("name", "x" * 101),
    ("name", "a\x00b"),
    ("name", "two\nlines"),
    ("name", "\x1b[31mred"),
    ("name", "fdp.\u202egpj"),
    ("name", "\u200b\u200d"),
    ("name", 7),
    ("name", ["x"]),
    ("slug", "Not a slug"),
    ("slug", "workspaces"),
    ("slug", "x" * 64),
    ("description", "x" * 10_001),
    ("description", "\x00"),
    ("problem_class", "magic"),
    ("complexity_score", 0),
    ("complexity_score", 101),
    ("complexity_score", True),
    ("complexity_score", 2**63),
    ("goal_metric", ""),
    ("goal_target", True),
    ("goal_target", "much"),
    ("planned_start", "soon"),
    ("planned_start", "0000-01-01"),
    ("planned_end", "10000-01-01"),
    ("budget", -1),
    ("budget", "0.001"),
    ("budget", 10**14),
    ("budget", True),
    ("budget_currency", "eur"),
    ("budget_currency", "XYZ"),
    ("visibility", "public"),
    ("status", "PLANNED"),
    ("metadata", []),
    ("metadata", "x"),
    ("metadata", {"k": "\x00"}),
    ("metadata", {"\x00": 1}),
    ("metadata", {"k": 2**63}),
    ("metadata", {"k": "x" * 16_384}),
    ("metadata", {"a": {"b": {"c": {"d": {"e": {"f": {"g": {"h": [[]]}}}}}}}}),
    ("id", str(new_id())),
    ("tenant_id", str(OTHER)),
    ("created_by", str(new_id())),
    ("archived_at", None),
]


async def test_a_bad_field_is_named(api: Api) -> None:
    for field, value in BAD_FIELDS:
        for method, path, body in (("POST", P, {"name": "Bad"}), ("PATCH", AT, {})):
            problem = await api.refused(422, "admin", method, path, body | {field: value})
            assert any(field in fault["at"] for fault in problem["faults"]), (field, value)
            assert not any("Value error" in fault["why"] for fault in problem["faults"])
    assert await names(api) == ["lab"]


BAD_JSON = [
    b'{"name": "x", "goal_target": NaN}',
    b'{"name": "x", "goal_target": 1e400}',
    b'{"name": "x", "budget": Infinity, "budget_currency": "EUR"}',
    b'{"name": "x", "metadata": {"k": -Infinity}}',
    b'{"name": "x", "metadata": {"k": "\\ud800"}}',
    b'{"name": "x", "metadata": {"\\ud800": [1]}}',
    b'{"name": "\\ud800"}',
    b'{"name": "x", "\\ud800": 1}',
    b'{"name": "x", "complexity_score": 1' + b"0" * 400 + b"}",
    b'{"name": "x", "metadata": {"k": 1' + b"0" * 400 + b"}}",
    b'{"name": "x", "metadata": {"k": ' + b"[" * 500 + b"]" * 500 + b"}}",
    b"[]",
    b'"x"',
    b"{",
    b"",
]


async def test_json_that_no_database_could_hold_is_refused(api: Api) -> None:
    sent = {"Authorization": "Bearer admin", "Content-Type": "application/json"}
    for body in BAD_JSON:
        for method, path in (("POST", P), ("PATCH", AT)):
            answer = await api.http.request(method, path, content=body, headers=sent)
            assert answer.status_code == 422, (body, answer.text)
    assert await names(api) == ["lab"]


async def test_what_may_not_be_empty_cannot_be_emptied(api: Api) -> None:
    for field in ("name", "description", "visibility", "status", "metadata", "slug"):
        problem = await api.refused(422, "admin", "PATCH", AT, {field: None})
        assert problem["faults"][0]["at"] == ["body", field]


async def test_fields_that_do_not_fit_together_are_named(api: Api) -> None:
    dates = {"name": "x", "planned_start": "2027-02-01", "planned_end": "2027-01-01"}
    problem = await api.refused(422, "member", "POST", P, dates)
    assert problem["faults"][0]["at"] == ["body", "planned_end"]
    assert problem["detail"] == "planned_end lies before planned_start, 2027-02-01."
    problem = await api.refused(422, "member", "POST", P, {"name": "x", "budget": 1})
    assert problem["faults"][0]["at"] == ["body", "budget_currency"]
    made = await api.ok("member", "POST", P, EVERYTHING)
    for late in ({"planned_start": "2028-01-01"}, {"actual_end": "2026-01-01"}):
        await api.refused(422, "member", "PATCH", f"{P}/{made['id']}", late)
    alone = {"budget_currency": None}
    await api.refused(422, "member", "PATCH", f"{P}/{made['id']}", alone)
    await api.ok("member", "PATCH", f"{P}/{made['id']}", alone | {"budget": None})
