"""What is said about second factors, and what is seen of them."""

from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from maestro_ml.core.schemas import Command, Text, View
from maestro_ml.identity.schemas import Password, SignedIn, SignedInWeb, Token

Code = Annotated[
    Text,
    Field(pattern=r"^[0-9]{3} ?[0-9]{3}$", description="What the authenticator app shows."),
]
Recovery = Annotated[Text, Field(min_length=1, max_length=40)]
Method = Literal["totp", "recovery_code", "enrol"]


class Proof(Command):
    """A code of the second factor, or a recovery code in its place."""

    code: Code | None = None
    recovery_code: Recovery | None = Field(None, description="In place of a code; works once.")

    @property
    def given(self) -> bool:
        return self.code is not None or self.recovery_code is not None

    @model_validator(mode="after")
    def _not_both(self) -> Self:
        if self.code is not None and self.recovery_code is not None:
            raise ValueError("give a code or a recovery code, not both")
        return self


class Needed(Proof):
    @model_validator(mode="after")
    def _one(self) -> Self:
        if not self.given:
            raise ValueError("give a code, or a recovery code")
        return self


CurrentPassword = Annotated[
    Password | None,
    Field(description="Needed by everybody who has one; others sign in again first."),
]


class TotpBegin(Proof):
    current_password: CurrentPassword = None


class TotpConfirm(Command):
    code: Code


class Disable(Needed):
    current_password: CurrentPassword = None


class MfaLogin(Needed):
    mfa_token: Token


class MfaEnrol(Command):
    mfa_token: Token


class MfaConfirm(TotpConfirm):
    mfa_token: Token


class MfaRequired(View):
    """The first factor was right: a second one is asked for, or has to be set up."""

    mfa_required: Literal[True] = True
    mfa_token: str = Field(description="For the next step of this sign-in, and nothing else.")
    expires_in: int = Field(description="Seconds that the token lives.")
    methods: list[Method] = Field(
        description="`totp` and `recovery_code`: what answers; `enrol`: set one up first."
    )


class Enrolment(View):
    """Shown once: the secret that the authenticator app keeps."""

    secret: str = Field(description="To type in where no picture can be taken.")
    otpauth_uri: str
    qr_svg: str = Field(description="The same as a QR code.")
    qr_rows: list[str] = Field(
        description="And once more for whoever draws it: a row of the code each, `1` is dark."
    )
    expires_in: int = Field(description="Seconds in which the first code has to come.")


class RecoveryCodes(View):
    recovery_codes: list[str] = Field(
        description="Shown in this answer only. Each stands in for the app once."
    )


class MfaState(View):
    enabled: bool
    since: datetime | None
    recovery_codes_left: int
    required_by: list[str] = Field(
        description="Slugs of your tenants that ask for it; by single sign-on, of this one."
    )


class SignedInEnrolled(SignedIn, RecoveryCodes):
    """The same, after setting up a second factor on the way."""


class SignedInWebEnrolled(SignedInWeb, RecoveryCodes):
    """The same, after setting up a second factor on the way."""


Answer = SignedIn | SignedInWeb | MfaRequired | SignedInEnrolled | SignedInWebEnrolled
