"""What an address may be asked with: of a misspelt filter, the answer would be everything."""

from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any
from weakref import WeakKeyDictionary

from fastapi import Request
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel

_MOST_FAULTS = 10
_KNOWN: WeakKeyDictionary[Any, frozenset[str] | None] = WeakKeyDictionary()


async def only_known(request: Request) -> None:
    """Every name in the query is one that the route, or something it depends on, asks for.

    Raises:
        RequestValidationError: it is not.
    """
    if not request.scope["query_string"]:
        return
    route = request.scope["route"]
    if route.endpoint not in _KNOWN:
        _KNOWN[route.endpoint] = _names(route.dependant)
    known = _KNOWN[route.endpoint]
    if known is None:
        return
    unknown = [name for name in request.query_params if name not in known]
    if unknown:
        raise RequestValidationError(
            [
                {"loc": ("query", name), "msg": _remedy(name, known)}
                for name in unknown[:_MOST_FAULTS]
            ]
        )


def _names(dependant: Dependant) -> frozenset[str] | None:
    """None: it takes whatever comes."""
    found: set[str] = set()
    for one in _whole(dependant):
        for field in one.query_params:
            model = field.field_info.annotation
            if not (isinstance(model, type) and issubclass(model, BaseModel)):
                found.add(field.alias)
            elif model.model_config.get("extra") == "ignore":
                return None
            else:
                found |= {about.alias or name for name, about in model.model_fields.items()}
    return frozenset(found)


def _whole(dependant: Dependant) -> Iterator[Dependant]:
    yield dependant
    for one in dependant.dependencies:
        yield from _whole(one)


def _remedy(name: str, known: frozenset[str]) -> str:
    close = get_close_matches(name, known, n=1)
    if close:
        return f"There is no such parameter: did you mean '{close[0]}'?"
    if known:
        return f"There is no such parameter: there are {', '.join(sorted(known))}."
    return "There is no such parameter: this address takes none."
