"""`spiccato classify`: its options."""

from pathlib import Path
from typing import Annotated

import typer

from spiccato.config import load
from spiccato.options import JsonOption, ModelOption


def classify(
    files: Annotated[list[Path], typer.Argument(metavar="FILE", help="WAV, FLAC, OGG, MP3 or M4A.")],
    model: ModelOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say which instruments play in sound files, and when.

    A file that cannot be read stops no other; the exit status is then 1.

    **Examples**

    - `spiccato classify song.flac`
    - `spiccato classify --json *.wav > events.jsonl`
    """
    from spiccato import classify as classifying
    from spiccato.model import warmed
    from spiccato.trouble import told

    with told():
        if classifying.run(warmed(load(None, model=model).settings), files, as_json):
            raise typer.Exit(1)
