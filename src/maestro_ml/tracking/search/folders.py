"""Folders are what files' rows say: one is there while something lies in it."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select

from maestro_ml.db.work import Work


@dataclass(frozen=True, slots=True)
class Entry:
    """A file, or a folder without a size."""

    path: str
    size: int | None = None


async def entries(work: Work, files: Select[str, str, int], folder: Any, path: str) -> list[Entry]:
    """What lies in a folder, by name, out of rows of a folder, a name and a size."""
    start = f"{path}/" if path else ""
    here = await work.session.execute(files.where(folder == path))
    found = [Entry(f"{start}{name}", size) for _, name, size in here]
    deeper = files.with_only_columns(folder, maintain_column_froms=True)
    deeper = deeper.where(below(folder, path)).distinct()
    names = {one[len(start) :].partition("/")[0] for one in await work.session.scalars(deeper)}
    found += [Entry(f"{start}{name}") for name in names]
    return sorted(found, key=lambda entry: entry.path)


def below(folder: Any, path: str) -> ColumnElement[bool]:
    """Whether a folder lies in this one, however deep."""
    if not path:
        anywhere: ColumnElement[bool] = folder > ""
        return anywhere
    inside: ColumnElement[bool] = (folder > f"{path}/") & (folder < f"{path}0")
    return inside  # 0 comes right after the slash
