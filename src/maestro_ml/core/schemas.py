"""The base of every command a service takes and every view it is rendered to."""

import math
import re
import unicodedata
from typing import Annotated, Generic, Self, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints, model_validator


def _sound(text: str) -> str:
    """PostgreSQL stores no NUL, and a lone surrogate cannot leave as UTF-8."""
    if "\x00" in text:
        raise ValueError("must not contain a NUL character")
    if not text.isascii() and any("\ud800" <= char <= "\udfff" for char in text):
        raise ValueError("must not contain a lone surrogate")
    return text


# Controls, line and paragraph separators, and what turns the direction of the text around it.
_MISLEADS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_UNSEEN = frozenset({"Cf", "Mn", "Zs"})


def _legible(name: str) -> str:
    """What people know a thing by is one line that they can see."""
    if _MISLEADS.search(name):
        raise ValueError("must not contain control characters, line breaks or direction marks")
    if all(unicodedata.category(char) in _UNSEEN for char in name):
        raise ValueError("must contain something to see")
    return name


Text = Annotated[str, AfterValidator(_sound)]
# Only a native name is trimmed. Passwords and MLflow's names are kept as they were sent.
Name = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=100),
    AfterValidator(_sound),
    AfterValidator(_legible),
]
Slug = Annotated[
    str,
    StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", min_length=2, max_length=63),
]


class Command(BaseModel):
    """What a caller sends: an unknown field is a mistake they want to hear about."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Change(Command):
    """What is left out stays as it is, and something is not."""

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not self.model_dump():
            raise ValueError("name at least one thing to change")
        return self


class View(BaseModel):
    """What a caller sees: read straight off a row."""

    model_config = ConfigDict(from_attributes=True)


V = TypeVar("V", bound=View)


class PageView(View, Generic[V]):
    items: list[V]
    next_cursor: str | None


def spelled(value: float) -> float | str:
    """A number as JSON can say it: NaN and the infinities by name, as MLflow's clients do."""
    if math.isfinite(value):
        return value
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"
