"""Which addresses a stream may be fetched from: the schemes and hosts that the settings name. Opens nothing.

Who may add a stream can make this machine connect somewhere. So hosts can be named by the settings, each address is
checked after its name was looked up, and link-local ones (where clouds keep their machines' secrets) must be named.
"""

import ipaddress
import re
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

SCHEMES = ("http", "https", "rtsp", "rtsps", "udp", "rtp")
LISTENING = frozenset({"udp", "rtp"})  # we wait for what comes and call nobody
MAX_URL = 2_000  # characters

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class NotAllowed(ValueError):
    """An address that cannot be, or may not be, a stream's."""


@dataclass(frozen=True)
class Reach:
    """schemes: of SCHEMES. hosts: names, `*.names`, addresses and networks; none: any host."""

    schemes: tuple[str, ...] = SCHEMES
    hosts: tuple[str, ...] = ()

    def check(self, url: str) -> None:
        """Raise NotAllowed where `url` can be refused without asking a name server."""
        scheme, host = _parts(url)
        if scheme not in self.schemes:
            raise NotAllowed(
                f"a stream's address begins with {', '.join(f'{s}://' for s in self.schemes)}, not {scheme!r}"
            )
        if scheme in LISTENING:
            return
        if not host:
            raise NotAllowed(f"{shown(url)!r} names no host")
        address = _address(host)
        if address is not None:
            self.check_address(host, address)
        elif self.hosts and not self._named(host) and not any(map(_network, self.hosts)):
            raise NotAllowed(self._refusal(host))

    def check_address(self, host: str, address: Address) -> None:
        """Raise NotAllowed unless `host`, which was found to be at `address`, may be reached."""
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        networks = [network for network in map(_network, self.hosts) if network is not None]
        if any(address in network for network in networks):
            return
        if address.is_link_local:
            raise NotAllowed(f"{host} is {address}, a link-local address: allow it by name in stream_hosts")
        if self.hosts and not self._named(host):
            raise NotAllowed(self._refusal(host))

    def resolved(self, host: str, port: int) -> list[str]:
        """The addresses of `host`, all of them allowed. Blocks. Raises NotAllowed, OSError."""
        found = {str(info[4][0]): None for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)}
        for text in found:
            self.check_address(host, ipaddress.ip_address(text.partition("%")[0]))
        return list(found)

    def _named(self, host: str) -> bool:
        host = host.casefold().rstrip(".")
        return any(host.endswith(name[1:]) if name.startswith("*.") else host == name for name in self.hosts)

    def _refusal(self, host: str) -> str:
        return f"{host} is none of the hosts that streams may come from ({', '.join(self.hosts)})"


def scheme_of(url: str) -> str:
    return _parts(url)[0]


def host_of(url: str) -> str:
    return _parts(url)[1]


def _parts(url: str) -> tuple[str, str]:
    """Scheme and host. Raises NotAllowed where `url` is no address."""
    if len(url) > MAX_URL or any(character <= " " or character == "\x7f" for character in url):
        raise NotAllowed(f"no address of a stream: {MAX_URL} characters at most, no spaces or control characters")
    try:
        split = urlsplit(url)
        _ = split.port
    except ValueError as error:
        raise NotAllowed(f"no address of a stream: {error}") from error
    if not split.scheme or "://" not in url:
        raise NotAllowed("no address of a stream: write http://HOST/PATH, rtsp://HOST/PATH or udp://@:PORT")
    return split.scheme.casefold(), split.hostname or ""


def shown(url: str) -> str:
    """`url` for logs and answers: without user, password and query, where secrets stand."""
    try:
        split = urlsplit(url)
        port = "" if split.port is None else f":{split.port}"
    except ValueError:
        return "an address that cannot be read"
    host = split.hostname or ""
    host = f"[{host}]" if ":" in host else host
    path = "/..." if "@" in split.path else split.path  # of a password with a slash in it
    return urlunsplit((split.scheme, host + port, path, "..." if split.query else "", ""))


def schemes(text: str) -> tuple[str, ...]:
    """From a setting, with commas. Raises ValueError that names what is none."""
    wanted = _listed(text)
    if unknown := [scheme for scheme in wanted if scheme not in SCHEMES]:
        raise ValueError(f"{unknown[0]!r} is none of {', '.join(SCHEMES)}")
    return wanted


def hosts(text: str) -> tuple[str, ...]:
    """From a setting, with commas. Raises ValueError that names what is none."""
    wanted = _listed(text)
    for host in wanted:
        if "/" in host:
            ipaddress.ip_network(host)  # its own sentence names the value
        elif not re.fullmatch(r"(\*\.)?[\w.-]+|[0-9a-f:.]+", host):
            raise ValueError(f"{host!r} is no name, address or network")
    return wanted


def _listed(text: str) -> tuple[str, ...]:
    return tuple(part.strip().casefold() for part in text.split(",") if part.strip())


def _address(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None


def _network(host: str) -> Network | None:
    try:
        return ipaddress.ip_network(host)
    except ValueError:
        return None
