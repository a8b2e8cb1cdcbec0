"""Every table of the product, whichever package it lives in."""

import importlib
import pkgutil

from sqlalchemy import MetaData

import maestro_ml
from maestro_ml.db.base import Base


def whole_schema() -> MetaData:
    """The tables of all packages; a package has some if it has a module `models`."""
    for package in pkgutil.iter_modules(maestro_ml.__path__, "maestro_ml."):
        if package.ispkg and package.name != __package__:
            rooms = importlib.import_module(package.name).__path__
            if any(room.name == "models" for room in pkgutil.iter_modules(rooms)):
                importlib.import_module(f"{package.name}.models")
    importlib.import_module("maestro_ml.db.installation")
    return Base.metadata
