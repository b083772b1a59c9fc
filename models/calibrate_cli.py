"""`spiccato calibrate`: new thresholds for a finished model. Knows its options; trains nothing."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from models.cli import FALSE_ONSETS_HELP, SHIPPED_MODEL, TRAIN_EXTRA


def calibrate(
    data: Annotated[
        list[Path],
        typer.Option(help="The corpora that the model was trained from; may be repeated.", show_default=False),
    ],
    out: Annotated[Path, typer.Option(help="Model file to write; its card goes beside it.", show_default=False)],
    model: Annotated[
        Path | None, typer.Argument(metavar="MODEL", help="Model file; without it, the one that is shipped.")
    ] = None,
    budget: Annotated[float | None, typer.Option("--false-onsets-per-hour", min=0.0, help=FALSE_ONSETS_HELP)] = None,
) -> None:
    """Set a model's thresholds to a budget of false onsets, from recordings that it did not learn from.

    The split of the data decides: thresholds come from the calibration half, the card's figures from the report half.

    **Example**

    - `spiccato calibrate mine.safetensors --data recordings/ --false-onsets-per-hour 2 --out strict.safetensors`
    """
    try:
        from models.calibrate import BUDGET
        from models.data.corpus import read_corpora
        from models.data.recording import CorpusError
        from models.make import judged
    except ModuleNotFoundError as error:
        raise typer.BadParameter(TRAIN_EXTRA.format(missing=error.name)) from error
    from engine.weights import ModelError, load, save
    from models.card import card
    from models.data.ontology import LABELS

    path = model or SHIPPED_MODEL
    try:
        known = load(path)
        clips = read_corpora(data, parts=("calibrate", "report"))
    except (FileNotFoundError, CorpusError, ModelError) as error:
        raise typer.BadParameter(str(error)) from error
    if known.labels != tuple(LABELS):
        raise typer.BadParameter(f"{path} has other labels than this version trains; --add sets its own thresholds")
    for part in ("calibrate", "report"):
        own = {clip.label for clip in clips if clip.part == part}
        if not own & set(LABELS) or not own - set(LABELS):
            raise typer.BadParameter(f"the {part} half of the data needs instruments, and noise or speech")
    made = judged(known, clips, BUDGET if budget is None else budget)
    save(made, out)
    out.with_suffix(".md").write_text(card(out), encoding="utf-8")
    chosen = made.trained["calibration"]["chosen"]
    console = Console(stderr=True)
    console.print(
        f"{chosen['false_onsets_per_hour']} false onsets an hour for each label, recall {chosen['recall']} %,"
        f" F1 {chosen['f1']} % on the clips that set the thresholds; wrote {out} and {out.with_suffix('.md')}"
    )
