"""The options that several commands have. Knows how they are explained, nothing of what they do."""

from pathlib import Path
from typing import Annotated, Literal

import typer

ModelOption = Annotated[
    Path | None, typer.Option("--model", metavar="FILE", help="Model file; without it, the one that is shipped.")
]
ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="Settings in TOML; without it, SPICCATO_CONFIG or ./spiccato.toml."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="JSON lines instead of text for people.")]
HostApiOption = Annotated[str | None, typer.Option("--host-api", metavar="NAME", help="Only the devices of this one.")]
ChannelOption = Annotated[
    str | None, typer.Option("--channel", metavar="N", help="From 0, or `mix`: all; without it, the driver's own mono.")
]


def channel_of(text: str | None) -> int | Literal["mix"] | None:
    """What ChannelOption was given. Raises BadParameter where it is none."""
    if text is None:
        return None
    if text == "mix":
        return "mix"
    if not text.isascii() or not text.isdigit():
        raise typer.BadParameter(f"{text!r} is neither a number from 0 nor `mix`", param_hint="--channel")
    return int(text)
