"""Which audio inputs a machine has, and which one a name means. Knows PortAudio's lists; opens nothing.

Imported by the recording process, so imports nothing of ours.
"""

import re
from collections import Counter
from pathlib import Path
from typing import Any

CARDS = Path("/sys/class/sound")
ALSA_CARD = re.compile(r" ?\(hw:(\d+),(\d+)\)$")  # at the end of PortAudio's name; the first number moves


class CaptureError(Exception):
    """Why nothing can be captured: a code for programs, a sentence for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def inputs(sd: Any) -> list[dict[str, Any]]:
    """Devices that can record. `index` changes when devices come and go; `id` stays."""
    apis = sd.query_hostapis()
    found = [
        {
            "index": device["index"],
            "name": device["name"],
            "host_api": apis[device["hostapi"]]["name"],
            "channels": device["max_input_channels"],
            "sample_rate": round(device["default_samplerate"]),
            "default": device["index"] == sd.default.device[0],
        }
        for device in sd.query_devices()
        if device["max_input_channels"] > 0
    ]
    seen: Counter[str] = Counter()
    for device in found:
        id = identity(device["name"], device["host_api"])
        seen[id] += 1
        device["id"] = id if seen[id] == 1 else f"{id} #{seen[id]}"  # twins: by their order, which is all there is
    return found


def identity(name: str, host_api: str, cards: Path = CARDS) -> str:
    """What a device is called whenever it is there: "ALSA: USB Audio @1-1.2". ALSA's number of the card, which moves,
    is replaced by the socket that it is plugged into, which tells two devices of the same name apart."""
    card = ALSA_CARD.search(name)
    if card is None:
        return f"{host_api}: {name}"
    number, device = card.groups()
    told = f"{host_api}: {name[: card.start()].rstrip(' :-')}" + ("" if device == "0" else f" [{device}]")
    place = cards / f"card{number}" / "device"
    return f"{told} @{place.resolve().name.partition(':1.')[0]}" if place.exists() else told


def bare(name: str) -> str:
    """A name or id without card and socket."""
    return ALSA_CARD.sub("", name).partition(" @")[0].casefold()


def choose(devices: list[dict[str, Any]], wanted: str | None, host_api: str | None = None) -> dict[str, Any]:
    """The default device, or the one whose id, index, name or part of a name (in any case) is `wanted`; of one host API
    only, where it is given. Where its card or socket is another now, the only device of its name is meant."""
    if not devices:
        raise CaptureError("no_device", "this machine has no audio input: connect a microphone or an audio interface")
    if host_api is not None:
        apis = ", ".join(sorted({device["host_api"] for device in devices}))
        devices = [device for device in devices if device["host_api"].casefold() == host_api.casefold()]
        if not devices:
            raise CaptureError("unknown_device", f"no audio input has the host API {host_api!r}; there are {apis}")
    if wanted is None:
        return next((device for device in devices if device["default"]), devices[0])
    folded, plain = wanted.casefold(), bare(wanted)
    for found in (
        [device for device in devices if folded == device["id"].casefold()],
        [device for device in devices if folded in (str(device["index"]), device["name"].casefold())],
        [device for device in devices if plain in (bare(device["id"]), bare(device["name"]))],
        [device for device in devices if folded in f"{device['name']}, {device['host_api']}".casefold()],
    ):
        if found:
            break
    names = ", ".join(f"{device['index']}: {device['id']}" for device in found or devices)
    if not found:
        raise CaptureError("unknown_device", f"no audio input is called {wanted!r}; there are {names}")
    if len(found) > 1:
        raise CaptureError("ambiguous_device", f"{len(found)} audio inputs match {wanted!r}: {names}; say more of it")
    return found[0]
