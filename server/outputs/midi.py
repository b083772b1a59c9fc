"""MIDI: a note that sounds, or a controller that is up, for as long as a label is on. Knows ports and messages.

What is on when the output closes is turned off. The packages (mido, python-rtmidi) are an extra: `spiccato[midi]`.
"""

from typing import Any

from engine.weights import Model
from server.outputs.config import Midi
from server.outputs.sender import Lost, Message, Sender


class MidiSender(Sender):
    def __init__(self, config: Midi, model: Model) -> None:
        self._config = config
        self._numbers = numbers(config, model)
        self._port: Any = None
        self._on: dict[str, set[str]] = {}  # label to the sources of which it is on

    @property
    def target(self) -> str:
        return f"{'virtual port' if self._config.virtual else 'port'} {self._config.port}"

    async def open(self) -> None:
        import mido

        try:
            if self._config.virtual:
                self._port = mido.open_output(self._config.port, virtual=True)
            else:
                self._port = mido.open_output(_named(self._config.port, mido.get_output_names()))
        except (OSError, RuntimeError) as error:  # rtmidi's own errors are RuntimeErrors: no ALSA, no such port
            raise Lost(f"{self.target}: {error}") from error

    async def send(self, source: str, message: Message) -> None:
        label = message["label"]
        sounding = self._on.setdefault(label, set())
        before = bool(sounding)
        (sounding.add if message["phase"] == "onset" else sounding.discard)(source)
        if before != bool(sounding):
            self._tell(label, self._velocity(message["score"]) if sounding else 0)

    async def close(self) -> None:
        port, self._port = self._port, None
        if port is None:
            return
        for label in sorted(label for label, sources in self._on.items() if sources):
            port.send(self._made(label, 0))
        self._on.clear()
        port.close()

    def _tell(self, label: str, value: int) -> None:
        try:
            self._port.send(self._made(label, value))
        except (OSError, RuntimeError) as error:
            raise Lost(f"{self.target}: {error}") from error

    def _made(self, label: str, value: int) -> Any:
        """On with a value of 1 to 127, off with 0."""
        import mido

        channel, number = self._config.channel - 1, self._numbers[label]
        if self._config.send == "controller":
            return mido.Message("control_change", channel=channel, control=number, value=value)
        return mido.Message("note_on" if value else "note_off", channel=channel, note=number, velocity=value)

    def _velocity(self, score: float) -> int:
        return self._config.velocity or max(1, min(127, round(score * 127)))


def numbers(config: Midi, model: Model) -> dict[str, int]:
    """The note or controller of each label."""
    return {label: config.numbers.get(label, config.first + index) for index, label in enumerate(model.labels)}


def _named(wanted: str, names: list[str]) -> str:
    """The port with this name, or the only one with it as a part. Raises OSError naming those that there are."""
    found = [name for name in names if name == wanted] or [name for name in names if wanted in name]
    if len(found) != 1:
        raise OSError(f"{len(found)} ports are called so; there are {names}")
    return found[0]
