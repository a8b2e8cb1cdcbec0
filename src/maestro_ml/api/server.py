"""How the web server is set up, whoever starts it."""

import uvicorn
from fastapi import FastAPI

from maestro_ml.api.protocol import BACKLOG, Protocol, allow_files
from maestro_ml.core import logging
from maestro_ml.core.settings import Settings

GRACE = 5  # seconds for what is under way; jobs have their own on top


def config_for(app: FastAPI, settings: Settings) -> uvicorn.Config:
    """The application's server: no header of its own, no log but ours, no proxy believed but by
    our own setting."""
    logging.configure(settings.log)
    allow_files()
    return uvicorn.Config(
        app,
        host=settings.server.host,
        port=settings.server.port,
        ssl_certfile=settings.server.ssl_certfile,
        ssl_keyfile=settings.server.ssl_keyfile,
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        http=Protocol,
        ws="none",
        backlog=BACKLOG,
        timeout_graceful_shutdown=GRACE,
        timeout_keep_alive=30,
    )
