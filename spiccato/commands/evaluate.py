"""`spiccato evaluate`: its options."""

from pathlib import Path
from typing import Annotated

import typer

from spiccato.config import load
from spiccato.options import ModelOption


def evaluate(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="A folder for each instrument, or a CSV.")],
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write every figure there.")] = None,
    model: ModelOption = None,
    sweeps: Annotated[
        bool, typer.Option("--sweeps", help="Also at other levels and in noise: takes about five times as long.")
    ] = False,
    limit: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="At most N clips of each instrument, drawn with the seed.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of everything random: pieces, noise, draws.")] = 1,
    confusion: Annotated[
        Path | None, typer.Option(metavar="FILE.csv", help="Write the confusion matrix there.")
    ] = None,
    plots: Annotated[Path | None, typer.Option(metavar="DIR", help="Write pictures there; needs matplotlib.")] = None,
) -> None:
    """Judge the model on labelled recordings: accuracy over time, events, latency, false onsets, operations.

    --model may be a file of `spiccato train --system`; PATH may then also be one sound file, and the answer is what it
    hears in each second. PATH is a folder of folders, one for each instrument, or a CSV with the columns path (relative
    to it) and instrument; or mixtures with a truth.csv, as `spiccato data render` writes them. What cannot be read and
    instruments that the model does not know are listed and left out.

    **Examples**

    - `spiccato evaluate recordings/`
    - `spiccato evaluate notes.csv --json figures.json --confusion confusion.csv`
    - `spiccato evaluate recordings/ --sweeps --limit 20 --plots pictures/`
    """
    from models.zoo.file import is_zoo
    from spiccato import evaluate as evaluating
    from spiccato import zoo
    from spiccato.model import warmed
    from spiccato.trouble import told

    with told():
        outputs = evaluating.Outputs(json_file, confusion, plots)
        outputs.check()
        if model is not None and is_zoo(model):
            zoo.run(model, path, outputs, sweeps=sweeps, limit=limit, seed=seed)
            return
        evaluating.run(warmed(load(None, model=model).settings), path, outputs, sweeps=sweeps, limit=limit, seed=seed)
