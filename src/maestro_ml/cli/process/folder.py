"""The data folder, taken for what runs in this process."""

from pathlib import Path

from maestro_ml.cli.output import say
from maestro_ml.cli.process.failures import told
from maestro_ml.core import folder


def take(data: Path) -> None:
    """Make it, and keep every other server out of it until this process ends.

    Raises:
        Refused: it cannot be used; the sentence and the exit code say why.
    """
    with told():
        folder.prepare(data)
        folder.hold(data)
    if folder.open_to_others(data):
        say(f"Warning: others can look into the data folder: `chmod 700 {data}`.")
