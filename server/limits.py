"""How often one address may try: a bucket of attempts that refills with time. Knows addresses and a clock it is given.

A fixed number of addresses is remembered, the newest ones; an IPv6 customer has a whole /64, so that is one address.
"""

import ipaddress
from collections import OrderedDict

ADDRESSES = 4_096  # remembered: some 600 KB


class Attempts:
    def __init__(self, burst: int, per_minute: float) -> None:
        self.burst = burst
        self.per_s = per_minute / 60
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()  # address: attempts left, when

    def wait_s(self, address: str, now: float) -> float:
        """Seconds until this address may try again; 0: now."""
        left = self._at(address, now)
        return 0.0 if left >= 1 else (1 - left) / self.per_s

    def count(self, address: str, now: float) -> None:
        """One attempt was made."""
        left = self._at(address, now)
        self._left[address] = (max(0.0, left - 1), now)
        self._left.move_to_end(address)
        if len(self._left) > ADDRESSES:
            self._left.popitem(last=False)

    def _at(self, address: str, now: float) -> float:
        left, then = self._left.get(address, (float(self.burst), now))
        return min(self.burst, left + (now - then) * self.per_s)


def one_address(host: str) -> str:
    """What counts as one address: an IPv4 address, an IPv6 /64, or whatever else the transport says."""
    try:
        ip = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if ip.version == 4:
        return str(ip)
    return str(ip.ipv4_mapped or ipaddress.ip_network((int(ip), 64), strict=False))


def is_loopback(host: str) -> bool:
    """Is this a name or an address of this machine alone?"""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
