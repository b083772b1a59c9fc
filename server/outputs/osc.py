"""OSC by UDP: `/spiccato/<source>/<label>` with 1 or 0 and the score; where asked for, each label's score at a rate as
`/spiccato/<source>/<label>/score`. Knows packets; UDP tells nothing of whether they come.

What is on when the output closes is sent as 0: a light must not stay on because a service stopped.
"""

import asyncio
import re
import socket

from pythonosc.osc_bundle_builder import IMMEDIATELY, OscBundleBuilder
from pythonosc.osc_message import OscMessage
from pythonosc.osc_message_builder import OscMessageBuilder

from server.outputs.config import Osc
from server.outputs.sender import Lost, Message, Sender

FORBIDDEN = re.compile(r"[^!-~]|[#*,/?\[\]{}]")  # in a part of an address (OSC 1.0)
BUNDLE = 16  # messages in a packet: under 1 200 bytes, which no network splits


class OscSender(Sender):
    def __init__(self, config: Osc) -> None:
        self._config = config
        self._socket: socket.socket | None = None
        self._on: set[tuple[str, str]] = set()  # (source, label) told as 1
        self._scored_s: dict[str, float] = {}  # by source: when its scores were sent

    @property
    def target(self) -> str:
        return f"{self._config.host}:{self._config.port}"

    async def open(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(self._config.host, self._config.port, type=socket.SOCK_DGRAM)
        except OSError as error:
            raise Lost(f"{self._config.host}: {error.strerror}") from error
        family, *_, address = found[0]
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        if family == socket.AF_INET:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        self._address = address

    async def send(self, source: str, message: Message) -> None:
        on = message["phase"] == "onset"
        self._note(source, message["label"], on)
        self._packet(self._message(source, message["label"], "", int(on), float(message["score"])).dgram)

    def scores(self, source: str, top: list[tuple[str, float]]) -> None:
        now_s = asyncio.get_running_loop().time()
        every_s = 1 / self._config.evidence_hz if self._config.evidence_hz else None
        if every_s is None or now_s - self._scored_s.get(source, -every_s) < 0.9 * every_s:  # they come at 10 Hz, about
            return
        self._scored_s[source] = now_s
        for at in range(0, len(top), BUNDLE):
            bundle = OscBundleBuilder(IMMEDIATELY)
            for label, score in top[at : at + BUNDLE]:
                bundle.add_content(self._message(source, label, "/score", float(score)))
            self._packet(bundle.build().dgram)

    async def close(self) -> None:
        if self._socket is None:
            return
        for source, label in sorted(self._on):
            self._packet(self._message(source, label, "", 0, 0.0).dgram)
        self._on.clear()
        self._socket.close()
        self._socket = None

    def _note(self, source: str, label: str, on: bool) -> None:
        (self._on.add if on else self._on.discard)((source, label))

    def _packet(self, data: bytes) -> None:
        assert self._socket is not None
        try:
            self._socket.sendto(data, self._address)
        except OSError as error:  # no route, or the machine's own buffer is full
            raise Lost(f"{self.target}: {error.strerror}") from error

    def _message(self, source: str, label: str, rest: str, *values: float) -> OscMessage:
        builder = OscMessageBuilder(f"{self._config.prefix}/{part(source)}/{part(label)}{rest}")
        for value in values:
            builder.add_arg(value)
        return builder.build()


def part(name: str) -> str:
    """A name as a part of an address."""
    return FORBIDDEN.sub("_", name)
