"""What can go wrong with files."""

from maestro_ml.core.errors import AlreadyExists, Conflict, Invalid, NotFound, Unavailable


class BlobNotFound(NotFound):
    """The file was never stored, or it was deleted."""

    code = "blob-not-found"

    def __init__(self) -> None:
        super().__init__("There is no such file.")


class BlobExists(AlreadyExists):
    """A stored file never changes: new content is a new file."""

    code = "blob-exists"

    def __init__(self) -> None:
        super().__init__("This file is stored already, and a stored file never changes.")


class BlobTooLarge(Invalid):
    """The file has more bytes than are allowed here; `limit` says how many are."""

    code = "blob-too-large"

    def __init__(self, limit: int) -> None:
        super().__init__(f"The file is larger than the {limit} bytes allowed here.", limit=limit)


class UploadLost(Conflict):
    """The upload was given up, here or by a request to abort it: nothing of it is kept."""

    code = "upload-lost"

    def __init__(self) -> None:
        super().__init__("The upload was given up before it was whole. Begin it anew.")


class StorageSettingsInvalid(Invalid):
    """Said once, at the start: the settings name no place where files could live."""

    code = "storage-settings-invalid"


def away() -> Unavailable:
    return Unavailable(
        "Files cannot be reached right now: their store does not answer, or it is full. "
        "Try again in a moment."
    )
