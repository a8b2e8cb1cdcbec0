"""How long a sign-in lasts, by the profile of the tenant it is in (NIST 800-63B: AAL1, AAL2)."""

from dataclasses import dataclass
from datetime import timedelta

from maestro_ml.tenancy.models import SessionProfile


@dataclass(frozen=True, slots=True)
class Lifetime:
    """Unused for `idle`, or `absolute` after the sign-in, a session is over."""

    idle: timedelta
    absolute: timedelta


STANDARD = Lifetime(idle=timedelta(days=7), absolute=timedelta(days=30))
STRICT = Lifetime(idle=timedelta(hours=1), absolute=timedelta(hours=24))


def lifetime_in(profile: SessionProfile | None) -> Lifetime:
    return STRICT if profile is SessionProfile.STRICT else STANDARD
