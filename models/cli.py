"""`spiccato train`: the training command. Knows its options; imports torch only when it runs."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

SHIPPED_MODEL = Path(__file__).parent / "weights" / "orchestra.safetensors"
BUDGET = 20.0  # false onsets an hour of an added label
FALSE_ONSETS_HELP = "False onsets an hour of each label, on noise and speech, that the thresholds keep to. [default: 8]"
TRAIN_EXTRA = "training needs the train extra ({missing} is not installed): pip install 'spiccato[train]'"


def train(
    data: Annotated[
        list[Path] | None, typer.Option(help="A corpus of any kind that `spiccato data check` knows; may be repeated.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Model file to write; its card goes beside it. With --add: MODEL+NAME.safetensors, here."),
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed and data give the same weights.")] = 1,
    scenes: Annotated[int | None, typer.Option(min=1, help="Training scenes; default: the shipped model's.")] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Passes over them; default: the shipped model's.")] = None,
    soundfonts: Annotated[bool, typer.Option(help="Also learn from notes of three Debian soundfonts.")] = True,
    run: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder of this run: checkpoints, log, curves. The same command goes on from it after a kill."
            " [default: one below build/runs/]",
        ),
    ] = None,
    patience: Annotated[
        int | None,
        typer.Option(min=1, help="Epochs without a better accuracy on left-out libraries that end a part early."),
    ] = None,
    variant: Annotated[
        str, typer.Option(help="Hidden layers: `shared` by all labels, or a `bank` of a network for each.")
    ] = "shared",
    shift_decays: Annotated[
        bool, typer.Option("--shift-decays", help="Decays of the form 1 - 2^-k, for chips that decay by shifting.")
    ] = False,
    false_onsets: Annotated[
        float | None, typer.Option("--false-onsets-per-hour", min=0.0, help=FALSE_ONSETS_HELP)
    ] = None,
    twin: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="For use, once FILE, made by the same command without this, has been judged: learn from the half that"
            " judged it too, and carry its figures.",
        ),
    ] = None,
    compute: Annotated[
        str, typer.Option("--device", help="`cpu`, `cuda`, or `auto`: a GPU where there is one.")
    ] = "auto",
    label: Annotated[
        str | None, typer.Option("--add", metavar="NAME", help="Add a detector for this instrument to a model.")
    ] = None,
    source: Annotated[
        list[Path] | None, typer.Option("--from", metavar="PATH", help="Recordings of it: a folder or a file.")
    ] = None,
    base: Annotated[
        Path | None,
        typer.Option("--model", metavar="FILE", help="The model to add it to; without it, the one that is shipped."),
    ] = None,
    replacing: Annotated[
        bool, typer.Option("--replace", help="In place of a label of that name; --out may be overwritten.")
    ] = False,
    negatives: Annotated[
        list[Path] | None, typer.Option(metavar="PATH", help="Recordings in which it does not play; may be repeated.")
    ] = None,
    budget: Annotated[
        float, typer.Option(min=0.0, help="False onsets an hour that the added label may give.")
    ] = BUDGET,
    family: Annotated[str | None, typer.Option(help="The added label's family.")] = None,
    system: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Train a system of the literature instead; `list` names them all."),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="With --system: a setting of it; may be repeated."),
    ] = None,
) -> None:
    """Train the instrument model from a folder of recordings, calibrate and evaluate it, and write it with its card.

    With --add, instead, a detector for one's own instrument is added to a finished model; with --system, a system of
    the literature is trained and judged on the same recordings.

    **Examples**

    - `spiccato train --data recordings/ --out mine.safetensors`
    - `spiccato train --add theremin --from my-theremin/` - then `spiccato serve --model orchestra+theremin.safetensors`
    - `spiccato train --system mel-cnn --data recordings/ --out mel-cnn.safetensors` - then `spiccato evaluate` with it
    """
    given = {"--from": source, "--negatives": negatives, "--family": family, "--replace": replacing, "--model": base}
    of_a_whole_model = {
        "--run": run, "--patience": patience, "--variant": variant != "shared", "--shift-decays": shift_decays,
        "--no-soundfonts": not soundfonts, "--device": compute != "auto",
        "--false-onsets-per-hour": false_onsets is not None, "--twin": twin,
    }  # fmt: skip
    if system is not None:
        others = {**given, **of_a_whole_model, "--add": label, "--scenes": scenes}
        if wrong := [name for name, value in others.items() if value and name not in ("--run", "--no-soundfonts")]:
            raise typer.BadParameter(f"{', '.join(wrong)}: not with --system, whose settings are given by --set")
        _system(system, data or [], out, seed, epochs, set_ or [], soundfonts, run)
        return
    if set_:
        raise typer.BadParameter("--set: only with --system NAME")
    if label is not None:
        if wrong := [name for name, value in of_a_whole_model.items() if value]:
            raise typer.BadParameter(f"{', '.join(wrong)}: not with --add, which trains one small detector (--budget)")
        _add(
            label, source, base or SHIPPED_MODEL, out, family, replacing, negatives, data, budget, seed, scenes, epochs
        )
        return
    if wrong := [name for name, value in given.items() if value]:
        raise typer.BadParameter(f"{', '.join(wrong)}: only with --add NAME")
    if not data or out is None:
        raise typer.BadParameter("needs --data DIR and --out FILE, or --add NAME and --from FOLDER")
    try:
        from models.calibrate import BUDGET as DEFAULT_FALSE_ONSETS
        from models.checkpoint import CheckpointError
        from models.data.recording import CorpusError
        from models.data.render import SOUNDFONTS
        from models.make import make
        from models.run import Run, RunError, default_folder, device_of
        from models.train import Recipe
    except ModuleNotFoundError as error:
        raise typer.BadParameter(TRAIN_EXTRA.format(missing=error.name)) from error
    from dataclasses import replace

    from engine.weights import ModelError, load, save
    from models.card import card
    from models.data.ontology import LABELS

    recipe = Recipe(seed=seed)
    recipe = replace(recipe, scenes=scenes or recipe.scenes, epochs=epochs or recipe.epochs)
    if variant == "bank":  # the nearest widths that every label can have an equal part of
        recipe = replace(recipe, hidden=tuple(len(LABELS) * max(1, round(w / len(LABELS))) for w in recipe.hidden))
    elif variant != "shared":
        raise typer.BadParameter(f"--variant {variant!r} is not one of shared, bank")
    recipe = replace(recipe, variant=variant, shift_decays=shift_decays)
    folder = run or default_folder(out, recipe, data, soundfonts, patience, twin)
    console = Console(stderr=True)
    try:
        device = device_of(compute)
        with bars(console) as progress:
            task = progress.add_task("recordings", total=None)
            model = make(
                data,
                recipe,
                SOUNDFONTS if soundfonts else (),
                report=console.print,
                progress=lambda done, total: progress.update(task, completed=done, total=total, visible=done < total),
                run=Run(folder, patience),
                device=device,
                budget=DEFAULT_FALSE_ONSETS if false_onsets is None else false_onsets,
                twin=load(twin) if twin else None,
            )
    except (OSError, CorpusError, CheckpointError, RunError, ModelError) as error:
        raise typer.BadParameter(str(error)) from error
    save(model, out)
    out.with_suffix(".md").write_text(card(out), encoding="utf-8")
    console.print(f"wrote {out} and {out.with_suffix('.md')}; the run's log and curves are in {folder}")


def _system(
    name: str,
    data: list[Path],
    out: Path | None,
    seed: int,
    epochs: int | None,
    wishes: list[str],
    soundfonts: bool,
    run: Path | None,
) -> None:
    console = Console(stderr=True)
    try:
        from models.checkpoint import CheckpointError  # noqa: F401  (PyTorch is there)
        from models.data.recording import CorpusError
        from models.zoo.command import headline, train
        from models.zoo.registry import names, system
        from models.zoo.system import ZooError
    except ModuleNotFoundError as error:
        raise typer.BadParameter(TRAIN_EXTRA.format(missing=error.name)) from error
    if name == "list":
        for each in names():
            typer.echo(f"{each}: {system(each).source}")
        return
    given: dict[str, str | int | None] = {"seed": seed, "epochs": epochs}
    for wish in wishes:
        key, equals, value = wish.partition("=")
        if not equals:
            raise typer.BadParameter(f"--set {wish!r} is not NAME=VALUE")
        given[key] = value
    try:
        system(name)
        if out is None:
            raise ZooError("needs --out FILE")
        folder = run or Path("build/runs") / out.stem
        with bars(console) as progress:
            task = progress.add_task("recordings", total=None)
            results = train(
                name, data, out, given, soundfonts, folder, console.print,
                lambda done, total: progress.update(task, completed=done, total=total, visible=done < total),
            )  # fmt: skip
    except (FileNotFoundError, CorpusError, ZooError) as error:
        raise typer.BadParameter(str(error)) from error
    console.print(f"{headline(results)}\nwrote {out} and {out.with_suffix('.json')}")


def _add(
    label: str,
    source: list[Path] | None,
    model: Path,
    out: Path | None,
    family: str | None,
    replace: bool,
    negatives: list[Path] | None,
    data: list[Path] | None,
    budget: float,
    seed: int,
    scenes: int | None,
    epochs: int | None,
) -> None:
    try:
        from models.add_command import Refused, Wish, run
        from models.detector import Plan
    except ModuleNotFoundError as error:
        raise typer.BadParameter(TRAIN_EXTRA.format(missing=error.name)) from error
    plan = Plan(seed=seed, **{k: v for k, v in (("scenes", scenes), ("epochs", epochs)) if v is not None})
    wish = Wish(
        label=label, sources=source or [], model=model, out=out, family=family, replace=replace,
        negatives=negatives or [], data=data or [], budget=budget, plan=plan,
    )  # fmt: skip
    console = Console(stderr=True)
    try:
        run(wish, console, bars(console))
    except Refused as error:
        raise typer.BadParameter(str(error)) from error


def bars(console: Console) -> Progress:
    """Progress bars on a terminal, nothing elsewhere."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
