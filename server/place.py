"""Which of several worker processes this is, and where the others are. Knows a folder and numbers; nothing of requests.

Each worker answers the others on a socket in a folder that only this user may enter. The first one has what a service
has once: its own microphones, history, the events of `/v1/events`; what the others hear is told to it.
"""

import socket
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from server.settings import Settings

FIRST = 0
TRUSTED = "spiccato.trusted"  # in the scope of what comes from another worker: the role of who asked it
REACH_S = 0.2
DIGITS = 2  # of a session's id, hexadecimal: its worker


def answers(path: Path) -> bool:
    """Somebody listens on that socket."""
    with socket.socket(socket.AF_UNIX) as asked:
        asked.settimeout(REACH_S)
        try:
            asked.connect(str(path))
        except OSError:
            return False
    return True


@dataclass(frozen=True)
class Place:
    number: int
    count: int
    folder: Path

    @property
    def is_first(self) -> bool:
        return self.number == FIRST

    @property
    def socket(self) -> Path:
        return self.socket_of(self.number)

    def socket_of(self, number: int) -> Path:
        return self.folder / f"worker-{number}"

    @property
    def used_tickets(self) -> Path:
        return self.folder / "tickets"

    def mark(self, session_id: str) -> str:
        """The id of a new session, so that every worker knows whose it is."""
        return f"s_{self.number:0{DIGITS}x}{session_id[2 + DIGITS :]}"

    def owner(self, token: str) -> int:
        """Whose session a resume token names; our own where it names nobody's."""
        try:
            number = int(token[2 : 2 + DIGITS], 16)
        except ValueError:
            return self.number
        return number if number < self.count else self.number

    def settings(self, settings: Settings) -> Settings:
        """Those of this worker: what a service has once, the first one has."""
        if self.is_first:
            return settings
        nothing: dict[str, object] = {"microphone": None, "sources": [], "sources_file": None, "outputs": ()}
        return settings.model_copy(update={**nothing, "history": SecretStr("off"), "clips": "off", "redis_url": None})
