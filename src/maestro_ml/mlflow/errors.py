"""What this protocol may ask for, and is told that there is none of."""

from maestro_ml.core.errors import Invalid


class UploadUnsigned(Invalid):
    """A file counts against its tenant's limit, so it comes in through the server."""

    code = "upload-unsigned"

    def __init__(self) -> None:
        super().__init__(
            "Presigned upload is not supported for proxied artifact storage: send the file to the "
            "server, in parts if it is large."
        )


class DownloadUnsigned(Invalid):
    """Files in a local folder have no address of their own."""

    code = "download-unsigned"

    def __init__(self) -> None:
        super().__init__(
            "Presigned download is not supported for the current artifact repository: files are "
            "kept in the server's own folder. Fetch the file from the server."
        )


class MultipartDownloadUnsupported(DownloadUnsigned):
    """The same, where clients take it for a word to fetch the file in one piece."""

    code = "multipart-download-unsupported"


class VersionFilesKept(Invalid):
    """The files of a model version are what was looked at and approved."""

    code = "version-files-kept"

    def __init__(self) -> None:
        super().__init__(
            "The files of a model version never change: log a model and register a new version."
        )
