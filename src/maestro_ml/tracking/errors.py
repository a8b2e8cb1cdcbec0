"""What can go wrong with experiments and runs."""

from maestro_ml.core.errors import AlreadyExists, Invalid, NotFound


class ExperimentNotFound(NotFound):
    """There is no such experiment, or not for you."""

    code = "experiment-not-found"

    def __init__(self) -> None:
        super().__init__("There is no such experiment.")


class ExperimentNameTaken(AlreadyExists):
    """The project already has an experiment of that name, perhaps a deleted one."""

    code = "experiment-name-taken"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"Experiment {name!r} already exists in this project. If it was deleted, restore it "
            "or take another name.",
            name=name,
        )


class ExperimentDeleted(Invalid):
    """A deleted experiment takes no change but its restoration."""

    code = "experiment-deleted"

    def __init__(self) -> None:
        super().__init__(
            "The experiment must be in the 'active' state. Current state is deleted. Restore it "
            "first."
        )


class ExperimentActive(NotFound):
    """Only a deleted experiment can be restored."""

    code = "experiment-active"

    def __init__(self) -> None:
        super().__init__("There is no deleted experiment of that id: it is active.")


class ExperimentGone(NotFound):
    """Only an active experiment can be deleted."""

    code = "experiment-gone"

    def __init__(self) -> None:
        super().__init__("There is no active experiment of that id: it is deleted already.")


class DefaultExperimentKept(Invalid):
    """A project's default experiment keeps its name and its place."""

    code = "default-experiment-kept"

    def __init__(self) -> None:
        super().__init__(
            "The default experiment of a project can be neither renamed nor deleted: it is where "
            "runs go that name no experiment."
        )


class RunNotFound(NotFound):
    """There is no such run, or not for you."""

    code = "run-not-found"

    def __init__(self) -> None:
        super().__init__("There is no such run.")


class RunDeleted(Invalid):
    """A deleted run takes no change but its restoration."""

    code = "run-deleted"

    def __init__(self) -> None:
        super().__init__(
            "The run must be in the 'active' state. Current state is deleted. Restore it first."
        )


class RunNameUnclear(Invalid):
    """The name of a run was given twice, and not alike."""

    code = "run-name-unclear"

    def __init__(self) -> None:
        super().__init__("'run_name' and the tag 'mlflow.runName' are both given, but differ.")


class LoggedModelNotFound(NotFound):
    """There is no such logged model, or not for you; a deleted one takes no change."""

    code = "logged-model-not-found"

    def __init__(self) -> None:
        super().__init__("The logged model was not found.")


class ModelHistoryFull(Invalid):
    """What a run's tag says of the models it logged can grow no further."""

    code = "model-history-full"

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"The list of models that were logged to this run holds at most {limit} characters. "
            "Log further models to another run.",
            limit=limit,
        )


class TagNotFound(NotFound):
    """The experiment, run or logged model has no tag of that key."""

    code = "tag-not-found"

    def __init__(self) -> None:
        super().__init__("There is no such tag.")


class ParamChanged(Invalid):
    """A param is written once; the same value again is fine, another is not."""

    code = "param-changed"

    def __init__(self, key: str) -> None:
        super().__init__(
            f"Changing param values is not allowed. Param {key!r} was already logged with another "
            "value. Log it to a new run, for instance a nested one, or to a new model.",
            key=key,
        )


class FilterInvalid(Invalid):
    """A filter or an order cannot be read; `position` is where reading it stopped."""

    code = "filter-invalid"

    def __init__(self, why: str, *, position: int | None = None) -> None:
        place = "" if position is None else f" (at character {position + 1})"
        super().__init__(f"{why}{place}.", position=position)
