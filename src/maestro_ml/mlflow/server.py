"""What clients ask about the server itself."""

from typing import Any

from fastapi import APIRouter

router = APIRouter()


@router.get("/server-info")
@router.get("/server-features")  # the older name
async def server_info() -> dict[str, Any]:
    return {
        "store_type": "SqlStore",
        "workspaces_enabled": True,
        "trace_archival_enabled": False,
        "multipart_uploads_enabled": True,
        "multipart_downloads_enabled": False,
        "features_enabled": {"gateway": False},
    }
