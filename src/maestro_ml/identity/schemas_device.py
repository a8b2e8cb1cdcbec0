"""A terminal that signs in through a browser (RFC 8628): what it is told, and who approves it."""

from datetime import datetime
from typing import Annotated

from pydantic import Field

from maestro_ml.core.schemas import Command, Name, Text, View
from maestro_ml.identity.schemas import Token

UserCode = Annotated[Text, Field(min_length=8, max_length=20)]


class DeviceStart(Command):
    client: Name | None = Field(None, description="What asks, such as `maestro on laptop`.")


class DeviceStarted(View):
    device_code: str = Field(description="The terminal's own secret.")
    user_code: str = Field(description="What a person enters, or compares, in the browser.")
    verification_uri: str
    verification_uri_complete: str
    expires_in: int = Field(description="Seconds.")
    interval: int = Field(description="Least seconds between two questions.")


class DevicePoll(Command):
    device_code: Token


class DeviceDecision(Command):
    user_code: UserCode


class DevicePending(View):
    """Who asks. Approve nothing that you have not begun yourself."""

    client: str | None
    ip: str | None
    user_agent: str | None
    created_at: datetime
    expires_at: datetime
