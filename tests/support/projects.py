"""Projects over HTTP: where they are, one with every field set, and what a list of them holds."""

from typing import Any

from support.native import Api
from support.world import LAB

P = "/projects"
AT = f"{P}/{LAB}"
EVERYTHING: dict[str, Any] = {
    "name": "Churn",
    "slug": "churn-2027",
    "description": "Who leaves, and why",
    "problem_class": "classification",
    "complexity_score": 40,
    "goal_metric": "auc",
    "goal_target": 1.7976931348623157e308,
    "planned_start": "2027-01-01",
    "planned_end": "2027-06-30",
    "actual_start": "2027-01-04",
    "actual_end": "2027-07-01",
    "budget": "9999999999999.99",
    "budget_currency": "EUR",
    "visibility": "internal",
    "status": "planned",
    "metadata": {"cost centre": 7, "ünï": [1.5, None, {"deep": True}]},
}


async def names(api: Api, who: str = "viewer", **params: Any) -> list[str]:
    page = await api.ok(who, "GET", P, params=params)
    return [project["name"] for project in page["items"]]
