"""What can go wrong with projects and their teams."""

from maestro_ml.core.errors import AlreadyExists, Conflict, Invalid, NotFound


class ProjectNotFound(NotFound):
    """There is no such project, or not for you."""

    code = "project-not-found"

    def __init__(self) -> None:
        super().__init__("There is no such project.")


class NoProject(NotFound):
    """You see no project that runs could land in."""

    code = "no-project"

    def __init__(self) -> None:
        super().__init__(
            "There is no project to work in. Create a project first: maestro projects create NAME"
        )


class ProjectNameTaken(AlreadyExists):
    """Another project of the tenant has the name, perhaps a private one."""

    code = "project-name-taken"

    def __init__(self, name: str) -> None:
        super().__init__(f"Your tenant already has a project called {name!r}.", name=name)


class ProjectSlugTaken(AlreadyExists):
    """Another project of the tenant has the slug, perhaps a private one."""

    code = "project-slug-taken"

    def __init__(self, slug: str) -> None:
        super().__init__(
            f"Your tenant already has a project with the slug {slug!r}. "
            "Choose another one, or leave it out and one is made from the name.",
            slug=slug,
        )


class ProjectInvalid(Invalid):
    """The fields are fine one by one, and not together."""

    code = "project-invalid"

    def __init__(self, field: str, why: str) -> None:
        super().__init__(why, faults=[{"at": ["body", field], "why": why}])


class DeleteUnconfirmed(Invalid):
    """A project is deleted only when its slug is given as `confirm`."""

    code = "project-delete-unconfirmed"

    def __init__(self, slug: str) -> None:
        super().__init__(
            "Deleting a project destroys its experiments, runs and team for good. "
            f"To confirm it, repeat the request with ?confirm={slug}",
            faults=[{"at": ["query", "confirm"], "why": f"must be {slug!r}"}],
        )


class ProjectHolds(Conflict):
    """The project is only deleted if nothing is in it, and something is."""

    code = "project-holds"

    def __init__(self) -> None:
        super().__init__(
            "There are experiments or runs in it, perhaps deleted ones. Ask for everything to be "
            "destroyed with it, in MLflow by the mode CASCADE, or leave it."
        )


class MemberNotFound(NotFound):
    """The person is not in the team."""

    code = "project-member-not-found"

    def __init__(self) -> None:
        super().__init__("There is no such person in the project's team.")


class PersonNotFound(NotFound):
    """Nobody in your tenant has that id or address."""

    code = "person-not-found"

    def __init__(self) -> None:
        super().__init__("There is no such person in your tenant.")


class MemberExists(AlreadyExists):
    """The person is in the team already."""

    code = "project-member-exists"

    def __init__(self) -> None:
        super().__init__("This person is in the project's team already: change their role.")


class LastMaintainer(Conflict):
    """A private project keeps somebody who can manage it."""

    code = "last-maintainer"

    def __init__(self) -> None:
        super().__init__(
            "A private project keeps at least one maintainer in its team, or nobody could manage "
            "it. Make somebody else a maintainer first, or the project internal."
        )


class DefaultProjectGone(NotFound):
    """The project that an API key works in was deleted, or is out of its owner's sight."""

    code = "default-project-gone"

    def __init__(self) -> None:
        super().__init__(
            "The project that this API key works in is not there for you any more. Name another "
            "one with the header X-MLFLOW-WORKSPACE, or make a new key."
        )
