"""`spiccato embed`: what the listener makes of recordings. Knows its options; imports torch when it runs."""

from pathlib import Path
from typing import Annotated

import typer

EXTRA = "embedding needs the train extra ({missing} is not installed): pip install 'spiccato[train]'"


def embed(
    data: Annotated[Path, typer.Argument(metavar="DATA", help="A corpus that `spiccato data check` knows.")],
    model: Annotated[Path, typer.Option(metavar="FILE", help="A listener, of `spiccato train --system listener`.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="Table to write: a name that ends with .npz or .csv.")],
    plot: Annotated[Path | None, typer.Option(metavar="FILE.png", help="Write a map of them, too.")] = None,
    method: Annotated[str, typer.Option(help="Of the map: `pca`, or `umap` where umap-learn is installed.")] = "pca",
    each: Annotated[int, typer.Option(min=1, max=1_000, help="Moments of each recording, at most.")] = 10,
    part: Annotated[
        str | None, typer.Option(help="Only this part of the fixed split: train, calibrate or report.")
    ] = None,
) -> None:
    """Write the listener's embeddings of labelled recordings, 250 numbers a moment, for tools of your own.

    **Example**

    - `spiccato embed recordings/ --model listener.safetensors --out moments.npz --plot moments.png`
    """
    if part not in (None, "train", "calibrate", "report"):
        raise typer.BadParameter(f"--part {part!r} is not one of train, calibrate, report")
    if out.suffix not in (".npz", ".csv"):
        raise typer.BadParameter(f"--out {out}: needs a name that ends with .npz or .csv")
    for option, file in (("--out", out), ("--plot", plot)):
        if file is not None and (file.is_dir() or not file.absolute().parent.is_dir()):
            raise typer.BadParameter(f"{option} {file}: " + ("is a folder" if file.is_dir() else "no such folder"))
    try:
        from models.data.corpus import read_corpora
        from models.data.ontology import LABELS
        from models.data.recording import CorpusError
        from models.zoo.embeddings import embedded, projection, write
        from models.zoo.embeddings import plot as draw
        from models.zoo.file import load
        from models.zoo.listener import Listener
        from models.zoo.system import ZooError
    except ModuleNotFoundError as error:
        raise typer.BadParameter(EXTRA.format(missing=error.name)) from error
    try:
        kept = load(model)
        if not isinstance(kept.trained, Listener):
            raise ZooError(f"{model} is {kept.system.name}: only the listener has embeddings")
        project = projection(method)
        clips = [clip for clip in read_corpora([data]) if clip.label in LABELS and part in (None, clip.part)]
        rows = embedded(kept.trained, clips, each)
        write(out, rows)
        if plot is not None:
            draw(plot, rows, project)
    except (FileNotFoundError, CorpusError, ZooError) as error:
        raise typer.BadParameter(str(error)) from error
    typer.echo(f"{len(rows.label)} moments of {len(set(rows.clip))} recordings, {len(set(rows.label))} labels: {out}")
