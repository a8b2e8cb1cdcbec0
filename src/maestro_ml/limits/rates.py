"""How often something may happen, and what counts as one address.

The generic cell rate algorithm (ATM Forum, Traffic Management Specification 4.1, 4.4.2; ITU-T
I.371, annex A), which is the leaky bucket as a meter: all that is remembered is one instant, the
theoretical arrival time, up to which what has happened has used the rate up.
"""

from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from maestro_ml.core.context import origin

_ROUNDING = 0.001  # instants are floats
_IPV6_SITE = 64  # a household or a server gets no smaller network than that


@dataclass(frozen=True, slots=True)
class Rate:
    """So many at once, and after them one whenever its share of the time has passed."""

    most: int
    seconds: float

    @property
    def step(self) -> float:
        """How far one moves the theoretical arrival time on."""
        return self.seconds / self.most

    @property
    def slack(self) -> float:
        """How far ahead of now that time may lie for one more."""
        return self.seconds - self.step + _ROUNDING

    def latest(self, now: float) -> float:
        """As far as that time can be moved by now. Beyond it, the clock was set back meanwhile, and
        nobody waits for as long as that: meters set what they remember back to this."""
        return now + self.seconds + _ROUNDING

    def wait(self, until: float, now: float, ahead: int = 0) -> float:
        """Seconds until one more may, when `ahead` others are about to; 0: it may now."""
        return max(0.0, max(until, now) + ahead * self.step - now - self.slack)


@dataclass(frozen=True, slots=True)
class Tap:
    """What one rate is counted for."""

    key: str
    rate: Rate


def address() -> str | None:
    """Where the request under way comes from: an IPv4 address, or an IPv6 network of 64 bits."""
    here = origin.get()
    if here is None or here.ip is None:
        return None
    try:
        ip = ip_address(here.ip.partition("%")[0])
    except ValueError:
        return here.ip
    if ip.version == 4:
        return str(ip)
    if ip.ipv4_mapped is not None:
        return str(ip.ipv4_mapped)
    return str(ip_network((ip, _IPV6_SITE), strict=False))
