"""What is said to change, or to get back, what one signs in with."""

from typing import Annotated

from pydantic import Field

from maestro_ml.core.schemas import Command, Name, Text, View
from maestro_ml.identity.schemas import Email, Password, Token


class Rename(Command):
    name: Name


class PasswordChange(Command):
    current_password: Password
    new_password: Password


class Forgot(Command):
    email: Annotated[Text, Field(min_length=1, max_length=320)]


class Reset(Command):
    token: Token = Field(description="What stands behind # in the mailed link.")
    new_password: Password


class Verify(Command):
    token: Token = Field(description="What stands behind # in the mailed link.")


class EmailChange(Command):
    new_email: Email
    current_password: Password | None = Field(
        None, description="Without it the change is refused, as with a wrong one."
    )


class Mailed(View):
    """The same, whatever is known of the address."""

    detail: str
