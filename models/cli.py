"""`spiccato train`: the training command. Knows its options; imports torch only when it runs."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

TRAIN_EXTRA = "training needs the train extra ({missing} is not installed): pip install 'spiccato[train]'"


def train(
    data: Annotated[
        list[Path], typer.Option(help="A corpus of any kind that `spiccato data check` knows; may be repeated.")
    ],
    out: Annotated[Path, typer.Option(help="Model file to write; its card goes beside it.")],
    seed: Annotated[int, typer.Option(help="The same seed and data give the same weights.")] = 1,
    scenes: Annotated[int | None, typer.Option(min=1, help="Training scenes; default: the shipped model's.")] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Passes over them; default: the shipped model's.")] = None,
    soundfonts: Annotated[bool, typer.Option(help="Also learn from notes of three Debian soundfonts.")] = True,
) -> None:
    """Train the instrument model from a folder of recordings, calibrate and evaluate it, and write it with its card."""
    try:
        from models.data.recording import CorpusError
        from models.data.render import SOUNDFONTS
        from models.make import make
        from models.train import Recipe
    except ModuleNotFoundError as error:
        raise typer.BadParameter(TRAIN_EXTRA.format(missing=error.name)) from error
    from dataclasses import replace

    from engine.weights import save
    from models.card import card

    recipe = Recipe(seed=seed)
    recipe = replace(recipe, scenes=scenes or recipe.scenes, epochs=epochs or recipe.epochs)
    console = Console(stderr=True)
    try:
        with bars(console) as progress:
            task = progress.add_task("recordings", total=None)
            model = make(
                data,
                recipe,
                SOUNDFONTS if soundfonts else (),
                report=console.print,
                progress=lambda done, total: progress.update(task, completed=done, total=total, visible=done < total),
            )
    except (FileNotFoundError, CorpusError) as error:
        raise typer.BadParameter(str(error)) from error
    save(model, out)
    out.with_suffix(".md").write_text(card(out), encoding="utf-8")
    console.print(f"wrote {out} and {out.with_suffix('.md')}")


def bars(console: Console) -> Progress:
    """Progress bars on a terminal, nothing elsewhere."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
