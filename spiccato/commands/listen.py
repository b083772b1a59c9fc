"""`spiccato listen`: its options."""

from pathlib import Path
from typing import Annotated

import typer

from spiccato.config import load
from spiccato.options import ChannelOption, HostApiOption, JsonOption, ModelOption, channel_of


def listen(
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="[SOURCE]",
            help="A file, the address of a stream, or - for samples on standard input; without it, the microphone.",
        ),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option("--device", metavar="NAME", help="Name of the audio input, a part of it, or its number."),
    ] = None,
    host_api: HostApiOption = None,
    channel: ChannelOption = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for a device that is not there yet.")] = False,
    file: Annotated[str | None, typer.Option("--file", metavar="FILE", help="The same as a file as SOURCE.")] = None,
    stream: Annotated[str | None, typer.Option("--stream", metavar="URL", help="The same as a URL as SOURCE.")] = None,
    fast: Annotated[
        bool, typer.Option("--fast", help="A file or standard input: as fast as it can be heard; no time of day.")
    ] = False,
    loop: Annotated[bool, typer.Option("--loop", help="A file: over and over.")] = False,
    encoding: Annotated[str, typer.Option("--format", help="Of raw samples: s16le, s24le or f32le.")] = "s16le",
    rate: Annotated[int, typer.Option(metavar="HZ", help="Of raw samples.")] = 16_000,
    channels: Annotated[int, typer.Option(metavar="N", help="Of raw samples.")] = 1,
    labels: Annotated[
        str | None,
        typer.Option(metavar="A,B,...", help="Only these instruments; without it, all of the model's."),
    ] = None,
    save: Annotated[
        Path | None,
        typer.Option(metavar="FILE.wav", help="Keep the samples that are heard; `classify` of it says the same."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE.jsonl", help="Append the JSON lines to this file as well.")
    ] = None,
    server: Annotated[
        str | None, typer.Option(metavar="URL", help="Let this running service hear it, e.g. ws://127.0.0.1:8000")
    ] = None,
    model: ModelOption = None,
    as_json: JsonOption = False,
) -> None:
    """Listen to a microphone, a network stream, a file or standard input. Ctrl-C ends it with a summary.

    In a terminal: a lane for each instrument with its evidence. Piped, or with --json: a line for each event.

    **Examples**

    - `spiccato listen`
    - `spiccato listen --device USB --channel 1 --labels violin,cello`
    - `spiccato listen https://radio.example/live.mp3 --out radio.jsonl`
    - `spiccato listen song.flac --fast`
    - `ffmpeg -i x.mkv -f s16le -ar 16000 -ac 1 - | spiccato listen - --fast`
    - `spiccato listen --save take.wav | jq -r 'select(.phase == "onset") | .label'`
    - `spiccato listen --server ws://studio.local:8000`
    """
    from spiccato import listen as listening
    from spiccato.inputs import Asked, chosen
    from spiccato.trouble import fail, told

    with told():
        if server is not None and model is not None:
            fail("--model is for hearing here; with --server, the server's own model hears")
        named = [one for one in (source, file, stream) if one is not None]
        if len(named) > 1:
            fail(f"{' and '.join(named)}: one thing can be heard at a time")
        wanted = [part.strip() for part in (labels or "").split(",") if part.strip()]
        settings = load(None, model=model).settings
        what = named[0] if named else None
        asked = Asked(device, host_api, channel_of(channel), what, fast, loop, encoding, rate, channels)
        input, name = chosen(asked, settings)
        listening.run(
            settings, input, name, labels=wanted, save=save, out=out, server=server, wait=wait, as_json=as_json
        )
