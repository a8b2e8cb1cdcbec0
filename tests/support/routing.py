"""Routers, included once for all tests: working out what that means takes longer than a test."""

from fastapi import APIRouter, FastAPI

_INCLUDED: dict[tuple[tuple[str, int], ...], APIRouter] = {}


def include(app: FastAPI, *mounts: tuple[str, APIRouter]) -> None:
    """As `app.include_router` does for each prefix and its router, which lives as long as we do."""
    known = tuple((prefix, id(router)) for prefix, router in mounts)
    if known not in _INCLUDED:
        _INCLUDED[known] = whole = APIRouter()
        for prefix, router in mounts:
            whole.include_router(router, prefix=prefix)
    app.router.routes.extend(_INCLUDED[known].routes)
