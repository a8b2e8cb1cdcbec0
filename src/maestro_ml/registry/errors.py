"""What can go wrong with registered models and their versions."""

from maestro_ml.core.errors import AlreadyExists, Invalid, NotFound


class RegisteredModelNotFound(NotFound):
    """The project has no registered model of that name, or not for you."""

    code = "registered-model-not-found"

    def __init__(self) -> None:
        super().__init__("There is no registered model of that name in this project.")


class ModelVersionNotFound(NotFound):
    """The registered model has no version of that number."""

    code = "model-version-not-found"

    def __init__(self) -> None:
        super().__init__("The registered model has no such version.")


class ModelAliasNotFound(NotFound):
    """None of the model's versions is known by that alias."""

    code = "model-alias-not-found"

    def __init__(self, alias: str) -> None:
        super().__init__(f"Registered model alias {alias} not found.")


class RegisteredModelNameTaken(AlreadyExists):
    """The project already has a registered model of that name."""

    code = "registered-model-name-taken"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"Registered Model (name={name}) already exists in this project. Add a version to it, "
            "or take another name.",
            name=name,
        )


class ModelNameUnclear(Invalid):
    """Several projects that you see have a registered model of the name."""

    code = "model-name-unclear"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"Several projects that you see have a registered model {name!r}: say which one by "
            "`project=SLUG`.",
            name=name,
        )


class ModelDeleteUnconfirmed(Invalid):
    """Deleting a registered model destroys its versions, so its name has to be said twice."""

    code = "model-delete-unconfirmed"

    def __init__(self, name: str) -> None:
        super().__init__(
            "This destroys the model with all of its versions. To confirm, send its name: "
            f"confirm={name}.",
            name=name,
        )


class StageKept(Invalid):
    """Versions are put aside for the one that takes their stage, and there are two such stages."""

    code = "stage-kept"

    def __init__(self, stage: str) -> None:
        super().__init__(
            f"Model version transition cannot archive existing model versions because {stage!r} is "
            "not an Active stage. Valid stages are ['Staging', 'Production'].",
            stage=stage,
        )


class SourceInvalid(Invalid):
    """What a version is to be made from is nothing that the server can take it from."""

    code = "source-invalid"

    def __init__(self, why: str) -> None:
        super().__init__(f"Invalid model version source: {why}.")
