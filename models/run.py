"""A training run and its folder: settings, checkpoints, log, curves. Knows order and files; nothing of gradients.

settings.json   what the run is: recipe, data, device, versions. A folder belongs to one run
checkpoint.pt   where it stands; the same command goes on from there and ends with the same bytes
best.pt         with patience: the best epoch of this part of the schedule
log.jsonl, events.out.tfevents.*   what it told (`runlog.py`)
curves.png      its picture, at the end
"""

import hashlib
import json
import math
import time
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from models import checkpoint, curves
from models.data.bank import Bank
from models.data.corpus import Clip
from models.networks import products_on
from models.runlog import RunLog, rows
from models.train import Recipe, Training, Watch
from models.validation import measure

CHECKPOINT_S = 60.0  # at most this much work is lost by a kill
RUNS = Path("build/runs")
LOG_STEPS = 20  # steps between two lines of the log
PACKAGES = ("spiccato", "torch", "snntorch", "numpy", "numba")


class RunError(ValueError):
    """A folder that belongs to another run, or a device that is not there; the message names what differs."""


class Run(Watch):
    """Give it to `make`. patience: epochs without a better validation accuracy that end a part of the schedule."""

    def __init__(self, folder: Path, patience: int | None = None, every_s: float = CHECKPOINT_S) -> None:
        self.folder = folder
        self.patience = patience
        self.report: Callable[[str], None] = lambda line: None
        self._every_s = every_s
        self._written = 0.0  # when, on the monotonic clock
        self._settings: dict[str, Any] = {}
        self._validation: Bank | None = None
        self._device = "cpu"
        self._log: RunLog | None = None
        self._best: dict[str, Any] = {}  # epoch, accuracy, and since: epochs without a better one

    def open(self, recipe: Recipe, data: dict[str, Any], device: str) -> None:
        """Make the folder this run's. Raises RunError, which names what differs, if it is another's."""
        self._device = device
        settings = {"recipe": recipe.to_dict(), "data": data, "device": device, "patience": self.patience}
        settings["products"] = products_on(device)
        settings["versions"] = {name: _version(name) for name in PACKAGES}
        self._settings = json.loads(json.dumps(settings))  # tuples are lists there
        path = self.folder / "settings.json"
        if path.exists():
            theirs = json.loads(path.read_text(encoding="utf-8"))
            if differing := differences(theirs, self._settings):
                raise RunError(
                    f"{self.folder} holds another run: {'; '.join(differing[:5])}. Give this one a folder of its own"
                    " with --run, or delete that one"
                )
        self.folder.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(path.name + ".new")
        beside.write_text(json.dumps(self._settings, indent=2) + "\n", encoding="utf-8")
        beside.replace(path)

    def validate_on(self, bank: Bank | None) -> None:
        self._validation = bank

    def begun(self, training: Training) -> None:
        state = checkpoint.read(self.folder / "checkpoint.pt")
        if state is not None:
            training.restore(state["training"])
            self._best = state["best"]
            self.report(f"going on after step {training.step} of {self.folder}")
        self._log = RunLog(self.folder, training.step, self._settings)
        self._written = time.monotonic()

    def stepped(self, training: Training, told: dict[str, float]) -> None:
        assert self._log is not None
        if training.step % LOG_STEPS == 0 or training.step == 1:
            self._log.write(training.step, "step", told)

    def settled(self, training: Training) -> None:
        if time.monotonic() - self._written >= self._every_s:
            self._keep(training)

    def epoch_ended(self, training: Training, epoch: int, means: dict[str, float]) -> bool:
        assert self._log is not None
        values = dict(means)
        over = False
        if self._validation is not None:
            values |= measure(training.network, self._validation, training.recipe, self._device)
            over = self._judge(training, epoch + 1, values)
            self.report(
                f"  left out: loss {values['validation_loss']:.4f},"
                f" accuracy of frames {100 * values['validation_accuracy']:.1f} %"
            )
        self._log.write(training.step, "epoch", {"epoch": epoch + 1, **values})
        if over:
            self._go_back(training)
        self._written = -math.inf  # an epoch is worth keeping at once
        return over

    def ended(self, training: Training) -> None:
        assert self._log is not None
        self._keep(training)
        if self.patience is not None:
            self._go_back(training)
        self._log.close()
        curves.draw(self.folder, self.best["epoch"] if self.best else None)

    @property
    def best(self) -> dict[str, Any]:
        """The epoch with the greatest validation accuracy, with its loss and F1; empty if none was measured. Not the
        least loss: that wanders while the accuracy rises (`docs/models.md`)."""
        told = [row for row in rows(self.folder) if row["kind"] == "epoch" and "validation_accuracy" in row]
        if not told:
            return {}
        row = max(told, key=lambda row: row["validation_accuracy"])
        return {"epoch": row["epoch"]} | {name: round(row[name], 4) for name in row if name.startswith("validation_")}

    def _judge(self, training: Training, epoch: int, values: dict[str, float]) -> bool:
        """Is it time to end this part of the schedule? The parts in float and on the grid are judged by themselves."""
        if self.patience is None:
            return False
        part = "grid" if training.network.folded else "float"
        if self._best.get("part") != part or values["validation_accuracy"] > self._best["accuracy"]:
            self._best = {"part": part, "epoch": epoch, "accuracy": values["validation_accuracy"], "since": 0}
            checkpoint.write(self.folder / "best.pt", training.state())
        else:
            self._best["since"] += 1
        return bool(self._best["since"] >= self.patience)

    def _go_back(self, training: Training) -> None:
        state = checkpoint.read(self.folder / "best.pt")
        if state is not None:
            step = training.step
            training.restore(state)
            training.step = step
            self.report(f"  back to epoch {self._best['epoch']}")

    def _keep(self, training: Training) -> None:
        checkpoint.write(self.folder / "checkpoint.pt", {"training": training.state(), "best": dict(self._best)})
        self._written = time.monotonic()


def identity(clips: Sequence[Clip], described: dict[str, Any]) -> dict[str, Any]:
    """What the data are: how many clips of what, and a digest of every sample in order."""
    digest = hashlib.sha256()
    for clip in clips:
        digest.update(f"{clip.label}|{clip.library}|{clip.group}|{clip.part}|{len(clip.samples)}|".encode())
        digest.update(clip.samples.tobytes())
    return {**described, "sha256": digest.hexdigest()}


def differences(theirs: Any, ours: Any, name: str = "") -> list[str]:
    """`recipe.epochs is 3 there and 5 here`, for each leaf that differs."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        keys = sorted({*theirs, *ours})
        return [
            line for key in keys for line in differences(theirs.get(key), ours.get(key), f"{name}.{key}".lstrip("."))
        ]
    return [] if theirs == ours else [f"{name} is {theirs} there and {ours} here"]


def default_folder(
    out: Path, recipe: Recipe, data: Sequence[Path], soundfonts: bool, patience: int | None, twin: Path | None = None
) -> Path:
    """Below `build/runs/`, named after the model file and the command: the same command finds its run again."""
    beside = [str(twin.resolve())] if twin else []
    asked = json.dumps([recipe.to_dict(), [str(path.resolve()) for path in data], soundfonts, patience, *beside])
    return RUNS / f"{out.stem}-{hashlib.sha256(asked.encode()).hexdigest()[:8]}"


def device_of(wanted: str) -> str:
    """cpu, cuda, or auto: cuda where there is one. Raises RunError for one that is not there."""
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if wanted == "cuda" and not torch.cuda.is_available():
        raise RunError("--device cuda: torch finds no GPU here")
    if wanted not in ("cpu", "cuda"):
        raise RunError(f"--device {wanted!r} is not one of auto, cpu, cuda")
    return wanted


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # spiccato, run from a checkout that was never installed
        return "0+checkout"
