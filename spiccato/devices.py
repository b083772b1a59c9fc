"""`spiccato devices`: the microphones of this machine. Knows how they are shown; `server.microphone` finds them."""

import asyncio
import json

from rich.console import Console
from rich.table import Table

from server import microphone
from spiccato.trouble import fail


def run(as_json: bool) -> None:
    """Raises ReadError where they cannot be listed."""
    found = asyncio.run(microphone.devices())
    if as_json:
        for device in found:
            print(json.dumps(device))
        return
    if not found:
        fail("this machine has no audio input: connect a microphone or an audio interface")
    table = Table("", "", "name", "host API", "channels", "rate", "id", box=None, header_style="dim")
    for device in found:
        mark = "default" if device["default"] else ""
        rate = f"{device['sample_rate']} Hz"
        row = (
            str(device["index"]),
            mark,
            device["name"],
            device["host_api"],
            str(device["channels"]),
            rate,
            device["id"],
        )
        table.add_row(*row)
    Console(highlight=False).print(table)
