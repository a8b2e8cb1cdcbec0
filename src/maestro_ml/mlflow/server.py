"""What clients ask about the server itself."""

from fastapi import APIRouter

router = APIRouter()


@router.get("/server-info")
async def server_info() -> dict[str, bool]:
    return {
        "workspaces_enabled": True,
        "trace_archival_enabled": False,
        "multipart_uploads_enabled": False,
        "multipart_downloads_enabled": False,
    }
