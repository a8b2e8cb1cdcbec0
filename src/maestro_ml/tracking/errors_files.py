"""What can go wrong with files of runs and logged models."""

from maestro_ml.core.errors import Conflict, Invalid, NotFound


class FileNotFound(NotFound):
    """There is no such file, or not for you."""

    code = "file-not-found"

    def __init__(self) -> None:
        super().__init__("There is no such file.")


class PathInvalid(Invalid):
    """A path that somebody's computer might take for one that leads elsewhere."""

    code = "path-invalid"

    def __init__(self, why: str) -> None:
        super().__init__(f"Invalid path: {why}.")


class PathTaken(Conflict):
    """The path would be a file and a folder at the same time."""

    code = "path-taken"

    def __init__(self) -> None:
        super().__init__("The path would be a file and a folder at the same time. Take another.")


class UploadNotFound(NotFound):
    """There is no such multipart upload, or it is not yours, or it has expired."""

    code = "upload-not-found"

    def __init__(self) -> None:
        super().__init__("There is no such upload.")


class PartsUnsound(Invalid):
    """The parts that were named are not those that were received."""

    code = "parts-unsound"

    def __init__(self) -> None:
        super().__init__("The parts are not those that were received: send each of them once more.")
