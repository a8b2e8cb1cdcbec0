"""Codes of an authenticator app (RFC 6238): six digits that change every thirty seconds."""

from datetime import datetime
from io import BytesIO

import pyotp
import segno
from pyotp.exceptions import OTPVerificationError

ISSUER = "Maestro ML"


def new_secret() -> str:
    """160 random bits, in base32."""
    return pyotp.random_base32()


def uri(secret: str, email: str) -> str:
    """What an app reads from the QR code, or takes typed in."""
    return pyotp.TOTP(secret).provisioning_uri(name=email, issuer_name=ISSUER)


def qr(text: str) -> segno.QRCode:
    return segno.make_qr(text, error="m")


def svg(code: segno.QRCode) -> str:
    """As a picture that any page can show, if it may show pictures."""
    picture = BytesIO()
    code.save(picture, kind="svg", xmldecl=False, scale=4, light="#fff")
    return picture.getvalue().decode()


def rows(code: segno.QRCode) -> list[str]:
    """As it is, without a margin: a page that takes no markup from elsewhere draws it."""
    return ["".join("1" if dark else "0" for dark in row) for row in code.matrix]


def step_of(secret: str, code: str, now: datetime) -> int | None:
    """The time step that the code is of; None: of none about now. Clocks differ, so the code
    before and the code after will do."""
    try:
        return pyotp.TOTP(secret).verify_and_get_timecode(code, for_time=now, valid_window=1)
    except OTPVerificationError:
        return None
