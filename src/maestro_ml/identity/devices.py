"""What a device is called, by what its program says of itself. Good enough to recognise one's
own; nothing is decided by it."""

import re

_SYSTEMS = (
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("Windows", "Windows"),
    ("Mac OS X|Macintosh", "a Mac"),
    ("CrOS", "ChromeOS"),
    ("Linux|X11", "Linux"),
)
# The first that fits: most programs claim to be several others as well.
_PROGRAMS = (
    ("maestro-ml-client", "Maestro's command line or SDK"),
    ("mlflow", "MLflow client"),
    ("Edg(e|A|iOS)?/", "Edge"),
    ("OPR/|Opera", "Opera"),
    ("Firefox/|FxiOS/", "Firefox"),
    ("Chrome/|CriOS/|Chromium/", "Chrome"),
    ("Safari/", "Safari"),
    ("curl/", "curl"),
    ("python|httpx|aiohttp", "a Python program"),
)


def device_of(user_agent: str | None) -> str:
    """`Firefox on Linux`."""
    program = _first(_PROGRAMS, user_agent or "")
    system = _first(_SYSTEMS, user_agent or "")
    if program is None:
        return f"A program on {system}" if system else "An unknown device"
    return f"{program} on {system}" if system else program


def _first(names: tuple[tuple[str, str], ...], text: str) -> str | None:
    found = (name for pattern, name in names if re.search(pattern, text, re.IGNORECASE))
    return next(found, None)
