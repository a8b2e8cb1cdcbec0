"""What can go wrong with background work."""

from maestro_ml.core.errors import Conflict, NotFound


class JobNotFound(NotFound):
    """There is no such job, or not for you."""

    code = "job-not-found"

    def __init__(self) -> None:
        super().__init__("There is no such job.")


class JobEnded(Conflict):
    """The job has ended, so there is nothing left to stop."""

    code = "job-ended"

    def __init__(self, state: str) -> None:
        super().__init__(f"The job is {state} already: there is nothing to stop.", state=state)
