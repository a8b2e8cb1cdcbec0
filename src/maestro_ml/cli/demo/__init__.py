"""`maestro demo`: the main job on real data, on a server of its own that leaves nothing behind."""

import importlib.util

from maestro_ml.cli.output import Refused

NEEDED = ("mlflow", "sklearn")


def demo() -> None:
    """Show what Maestro does, step by step, on real data, in a temporary folder.

    Starts a server of its own, trains a model through the unmodified MLflow client, finds the run
    again, shows that another tenant sees nothing, and removes everything. Fails when a step is not
    as it should be.
    """
    if any(importlib.util.find_spec(name) is None for name in NEEDED):
        raise Refused(
            "The demo needs the MLflow client and scikit-learn: `make demo` installs both and "
            "runs it."
        )
    # The HTTP client takes longer to load than `--help` takes.
    from maestro_ml.cli.demo.story import tell

    tell()
