"""The base of every command a service takes and every view it is rendered to."""

from typing import Annotated, Generic, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints


def _sound(text: str) -> str:
    """PostgreSQL stores no NUL, and a lone surrogate cannot leave as UTF-8."""
    if "\x00" in text:
        raise ValueError("must not contain a NUL character")
    if not text.isascii() and any("\ud800" <= char <= "\udfff" for char in text):
        raise ValueError("must not contain a lone surrogate")
    return text


Text = Annotated[str, AfterValidator(_sound)]
# Only a native name is trimmed. Passwords and MLflow's names are kept as they were sent.
Name = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=100),
    AfterValidator(_sound),
]
Slug = Annotated[
    str,
    StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", min_length=2, max_length=63),
]


class Command(BaseModel):
    """What a caller sends: an unknown field is a mistake they want to hear about."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class View(BaseModel):
    """What a caller sees: read straight off a row."""

    model_config = ConfigDict(from_attributes=True)


V = TypeVar("V", bound=View)


class PageView(View, Generic[V]):
    items: list[V]
    next_cursor: str | None
