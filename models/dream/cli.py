"""`spiccato dream`: what neurons, filters and layers hear. Knows its options; imports torch when it runs."""

from pathlib import Path
from typing import Annotated

import typer

from models.cli import SHIPPED_MODEL

EXTRA = "dreaming needs the train extra ({missing} is not installed): pip install 'spiccato[train]'"


def dream(
    model: Annotated[
        Path | None,
        typer.Argument(metavar="MODEL", help="A spiking model or a CNN of the zoo; without it, the shipped model."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder for the sounds, pictures and figures.")
    ] = None,
    layer: Annotated[
        str, typer.Option(metavar="NAME", help="`labels`, hidden1, hidden2 ...; a wrong name lists them all.")
    ] = "labels",
    neuron: Annotated[
        list[str] | None,
        typer.Option(metavar="N", help="A neuron's number, or a label; may be repeated. [default: the whole layer]"),
    ] = None,
    filter_: Annotated[
        list[str] | None, typer.Option("--filter", metavar="N", help="The same for a filter of a CNN.")
    ] = None,
    source: Annotated[
        Path | None, typer.Option("--from", metavar="FILE", help="Begin with this sound instead of noise.")
    ] = None,
    seconds: Annotated[
        float, typer.Option(min=0.2, max=30.0, help="Of the sound; a CNN always hears one second.")
    ] = 2.4,
    steps: Annotated[int, typer.Option(min=1, max=10_000, help="Of the ascent, in each octave.")] = 60,
    rate: Annotated[float, typer.Option(min=0.01, max=20.0, help="Of the ascent: mean change of a step in dB.")] = 0.5,
    octaves: Annotated[
        int, typer.Option(min=1, max=8, help="From coarse to fine in so many sizes, each half as coarse.")
    ] = 3,
    jitter: Annotated[
        int, typer.Option(min=0, max=20, help="Each step hears the picture moved by up to so many rows.")
    ] = 2,
    seed: Annotated[int, typer.Option(min=0, help="Of the noise, the jitter and the phases.")] = 1,
) -> None:
    """Make sounds that a neuron, a filter or a whole layer answers to most, by gradient ascent on a spectrogram.

    DIR gets before.wav, a WAV for each dream, a sheet of pictures (dreams.png) and figures (dreams.json). The rise is
    measured on the sounds as they were written.

    **Examples**

    - `spiccato dream --neuron violin --neuron drums --out dreams/`
    - `spiccato dream --layer hidden2 --neuron 17 --neuron 40 --out dreams/`
    - `spiccato dream --layer hidden1 --from song.flac --out dreams/` - what the layer would rather hear in it
    - `spiccato dream mel-cnn.safetensors --layer convolutions.4 --filter 3 --out dreams/`
    """
    if out is None:
        raise typer.BadParameter("needs --out DIR")
    if out.exists() and not out.is_dir():
        raise typer.BadParameter(f"--out {out}: is no folder")
    from engine.weights import ModelError

    try:
        from models.dream.ascent import Dream
        from models.dream.run import run, subject_of
        from models.dream.subject import RATE_HZ, DreamError
        from models.evaluation.sound import Unreadable, pieces
        from models.zoo.system import ZooError
    except ModuleNotFoundError as error:
        raise typer.BadParameter(EXTRA.format(missing=error.name)) from error
    try:
        sound = None
        if source is not None:
            sound = next(pieces(source, RATE_HZ), None)
            if sound is None:
                raise Unreadable("there is no sound in it")
        units: list[str | None] = [*(neuron or []), *(filter_ or [])]
        run(
            subject_of(model or SHIPPED_MODEL),
            layer,
            units or [None],
            out,
            Dream(steps=steps, rate_db=rate, octaves=octaves, jitter=jitter, seed=seed),
            seconds,
            sound,
            typer.echo,
        )
    except Unreadable as error:
        raise typer.BadParameter(f"--from {source}: {error}") from error
    except (DreamError, ModelError, ZooError) as error:
        raise typer.BadParameter(str(error)) from error
    typer.echo(f"wrote {out / 'before.wav'}, the sounds above, {out / 'dreams.png'} and {out / 'dreams.json'}")
