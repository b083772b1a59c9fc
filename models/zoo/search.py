"""The search for a network's sizes with Optuna: each trial trains for a few epochs on a part of the examples. Knows
trials; nothing of what the sizes mean.

Every trial is a run of its own below the run's folder (`trial-03/`: log and TensorBoard), and a line of `trials.jsonl`
tells its sizes, its balanced accuracy on the calibrate part and how it ended. A trial that is worse than the median of
those before it at the same epoch, from the second on, is ended early. Source: Akiba and others, Optuna, KDD 2019.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import optuna
from torch import nn

from models.zoo.data import Data
from models.zoo.system import Run, ZooError
from models.zoo.training import fit
from models.zoo.windowed import View, examples_of, viewed

DRAWS = 10  # for each trial that is trained: those that are too large cost nothing and do not count


@dataclass(frozen=True)
class Choice:
    """What a setting may be: one of `of`, or a number from `low` to `high`."""

    of: tuple[Any, ...] = ()
    low: float = 0.0
    high: float = 1.0
    log: bool = False

    def __str__(self) -> str:
        return f"one of {', '.join(map(str, self.of))}" if self.of else f"between {self.low:g} and {self.high:g}"

    def allows(self, value: Any) -> bool:
        return value in self.of if self.of else self.low <= value <= self.high

    def drawn(self, trial: optuna.Trial, name: str) -> Any:
        if self.of:
            return trial.suggest_categorical(name, self.of)
        return trial.suggest_float(name, self.low, self.high, log=self.log)


def searched(
    settings: Any,
    choices: Mapping[str, Choice],
    network_of: Callable[[Any, int], nn.Module],
    view: View,
    data: Data,
    run: Run,
    too_large: Callable[[Any], bool],
) -> tuple[Any, list[dict[str, Any]]]:
    """The settings with the best choices, and a row for each trial. The settings as given are the first trial.

    settings: with `trials`, `trial_examples` and `trial_epochs`. Raises ZooError if one is no choice.
    """
    for name, choice in choices.items():
        if not choice.allows(value := getattr(settings, name)):
            raise ZooError(f"{name}={value} is not {choice}: with trials=0 nothing is searched and it may be anything")
    training, calibrate = examples_of(data, settings)
    count = min(settings.trial_examples, len(training))
    inputs, held = viewed(training.windows[:count], view), viewed(calibrate.windows, view)
    rows: list[dict[str, Any]] = []

    def tried(trial: optuna.Trial) -> float:
        sizes = {name: choice.drawn(trial, name) for name, choice in choices.items()}
        wanted = replace(settings, **sizes, epochs=settings.trial_epochs, patience=settings.trial_epochs)
        row: dict[str, Any] = {"trial": trial.number, **sizes, "ended": "too large", "accuracy": None}
        rows.append(row)
        try:
            if too_large(wanted):
                raise optuna.TrialPruned
            row["ended"] = "early"

            def epoch_ended(epoch: int, accuracy: float) -> None:
                row["accuracy"] = round(accuracy, 4)
                trial.report(accuracy, epoch)
                if trial.should_prune():
                    raise optuna.TrialPruned

            quiet = Run(folder=run.folder)
            network = network_of(wanted, len(training.labels))
            log = f"trial-{trial.number:02d}"
            best = fit(
                network, inputs, training.answers[:count], held, calibrate.answers, wanted, quiet, epoch_ended, log
            )
            row["ended"], row["accuracy"] = "whole", round(best, 4)
            return best
        finally:
            run.report(f"trial {json.dumps(row)}")
            if run.folder is not None:
                run.folder.mkdir(parents=True, exist_ok=True)
                with (run.folder / "trials.jsonl").open("a" if trial.number else "w", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        direction="maximize",
        sampler=optuna.samplers.TPESampler(seed=settings.seed, n_startup_trials=min(6, settings.trials)),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=1),
    )
    study.enqueue_trial({name: getattr(settings, name) for name in choices})
    study.optimize(tried, n_trials=DRAWS * settings.trials, callbacks=[lambda study, _: enough(study, settings, rows)])
    return replace(settings, **study.best_params), rows


def enough(study: optuna.Study, settings: Any, rows: list[dict[str, Any]]) -> None:
    """End the search once `trials` were trained."""
    if sum(row["ended"] != "too large" for row in rows) >= settings.trials:
        study.stop()
