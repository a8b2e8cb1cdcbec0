"""Identifiers sort by creation."""

from maestro_ml.core.ids import new_id


def test_ids_are_version_7_and_sort_by_creation() -> None:
    made = [new_id() for _ in range(1000)]
    assert {id.version for id in made} == {7}
    assert [id.int >> 64 for id in made] == sorted(id.int >> 64 for id in made)
