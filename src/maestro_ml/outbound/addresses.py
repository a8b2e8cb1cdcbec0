"""Where the server may connect to: the open internet, and what the operator allows beside it."""

from collections.abc import Collection
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from urllib.parse import urlsplit

from maestro_ml.outbound.errors import AddressRefused

Address = IPv4Address | IPv6Address
PORTS = frozenset({443, 8443})
_LONGEST = 2000
_NAT64 = ip_network("64:ff9b::/96")
# Not routed on the internet, whatever the standard library's release says.
_INSIDE = tuple(map(ip_network, ("192.88.99.0/24", "64:ff9b:1::/48", "2001::/32", "3fff::/20")))


@dataclass(frozen=True, slots=True)
class Target:
    """An address taken apart once, so that nobody reads it differently later."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        usual = self.port == (443 if self.scheme == "https" else 80)
        return host if usual else f"{host}:{self.port}"


class Allowed:
    """The operator's list: networks by their numbers, hosts by their exact names."""

    def __init__(self, entries: Collection[str]) -> None:
        self._networks = []
        self._hosts = set()
        for entry in entries:
            try:
                self._networks.append(ip_network(entry, strict=False))
            except ValueError:
                self._hosts.add(_plain(entry))

    def lists(self, host: str, address: Address) -> bool:
        inner = _inner(address)
        return _plain(host) in self._hosts or any(inner in network for network in self._networks)

    def check(self, target: Target, addresses: Collection[Address]) -> None:
        """Raises:
        AddressRefused: one of the addresses is not on the internet, or the way there is not
            encrypted, or the port is no web server's; and the list does not name it.
        """
        web = target.scheme == "https" and target.port in PORTS
        for address in addresses:
            if not self.lists(target.host, address) and not (web and is_public(address)):
                raise AddressRefused(
                    "This address is inside a network, is not encrypted or is no web server's "
                    "port. An operator can allow it with MAESTRO_OUTBOUND__ALLOW."
                )


def is_public(address: Address) -> bool:
    """Whether it is a single machine's on the internet, whichever way it is written."""
    inner = _inner(address)
    if isinstance(inner, IPv6Address) and (inner.is_site_local or inner.sixtofour is not None):
        return False
    if inner.is_multicast or inner.is_reserved or inner.is_unspecified or inner.is_loopback:
        return False
    return inner.is_global and not any(inner in network for network in _INSIDE)


def target_of(url: str) -> Target:
    """Raises:
    AddressRefused: it is no plain http or https URL.
    """
    sound = (
        len(url) <= _LONGEST and url.isascii() and not any(c <= " " or c in "\\\x7f" for c in url)
    )
    try:
        parts = urlsplit(url) if sound else urlsplit("")
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    host = (parts.hostname or "").rstrip(".")
    if parts.scheme not in {"http", "https"} or not host or "@" in parts.netloc:
        raise AddressRefused("This is no address like https://host/path.")
    if "#" in url:
        raise AddressRefused("The address must not have a part after #.")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(parts.scheme, host, port or (443 if parts.scheme == "https" else 80), path)


def numbers(text: str) -> Address:
    """An address of the resolver's, without the interface it may name."""
    return ip_address(text.partition("%")[0])


def _inner(address: Address) -> Address:
    """The IPv4 address that an IPv6 one stands for."""
    if isinstance(address, IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return IPv4Address(int(address) & 0xFFFFFFFF) if address in _NAT64 else address


def _plain(host: str) -> str:
    return host.lower().rstrip(".")
