"""What a system of the zoo is, and what training one gives. Knows no sound, no network and no file.

A **label system** names instruments: it gives each of its labels a score in every window, so that one judge hears all
of them on the same clips (`judge.py`). A **task system** has a task and figures of its own. Write a module with a
constant `SYSTEM`, name it in `registry.py`, and the commands know it.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.zoo.data import Data

Tensors = dict[str, NDArray[Any]]


class ZooError(ValueError):
    """A sentence about what is wrong with what the caller gave: a name, a setting, a file, too little data."""


@dataclass(frozen=True)
class Run:
    """What a training may use besides its settings and data."""

    report: Callable[[str], None] = lambda line: None  # told a line now and then
    folder: Path | None = None  # for logs (`models/runlog.py`); None: none are kept


class Trained(ABC):
    """A system that has learned. What `tensors` and `about` give, its system's `restore` takes."""

    @property
    @abstractmethod
    def parameters(self) -> int:
        """Learned numbers."""

    @abstractmethod
    def tensors(self) -> Tensors:
        """By name, for the file."""

    def about(self) -> dict[str, Any]:
        """What else `restore` needs, as JSON: labels, means, chosen sizes."""
        return {}


class Labeller(Trained):
    """A label system that has learned."""

    labels: tuple[str, ...]
    hop_samples: int  # a row of scores each so many samples at 16 kHz; divides 1 600
    answer: str = "mean"  # of the rows since the onset, or the "last" row alone: what was better on the calibrate part

    @abstractmethod
    def scores(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """samples: (n,) at 16 kHz, full scale 1. Returns (n // hop_samples, labels), 0 to 1.

        Row k has heard the samples before (k + 1) * hop_samples and none later; before the first there is silence.
        """

    @property
    @abstractmethod
    def operations_per_s(self) -> int:
        """Multiply-accumulates for a second of sound, without spectra, at `hop_samples`."""

    def further(self, data: Data, run: Run) -> dict[str, Any]:
        """Figures of its own, as JSON, beside those that the judge gives to all. Called once, at the end."""
        return {}


class Solver(Trained):
    """A task system that has learned."""

    @abstractmethod
    def figures(self, data: Data, run: Run) -> dict[str, Any]:
        """How good it is at its task, on what it has not learned from, as JSON. `headline`: a list of rows, each with
        `what`, `ours`, `to_beat` (text; "none" where its authors report none): the table shows them."""

    def predict(self, samples: NDArray[np.float32]) -> dict[str, Any]:
        """What it makes of a sound, as JSON. samples: (n,) at 16 kHz. Raises ZooError if its task is no sound."""
        raise ZooError("this system's task is not about a recording: there is nothing to predict")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that decides the weights, besides the data. Systems add their own fields, all with defaults."""

    seed: int = 1


@dataclass(frozen=True)
class System:
    """One system of the literature. settings: a subclass of Settings. See `train` and `restore` below."""

    name: str
    source: str  # who described it, and where
    settings: type[Settings]
    train: Callable[[Any, Data, Run], Trained]  # settings, data, run
    restore: Callable[[Any, dict[str, Any], Tensors], Trained]  # settings, about, tensors
    kind: str = "labels"  # or task
    needs_data: bool = True
    renders: bool = True  # whether it takes every label's notes from the soundfonts; or renders its own, or none
    notes: str = field(default="", kw_only=True)  # one sentence for the table: what is smaller here than in the source

    def set(self, given: Mapping[str, str | int | None]) -> Settings:
        """The default settings with those of `given` that are not None; text is read as the field's type.

        Raises ZooError naming the field and the value.
        """
        known = {one.name: one for one in fields(self.settings)}
        values: dict[str, Any] = {}
        for name, value in given.items():
            if value is None:
                continue
            if name not in known:
                raise ZooError(f"{self.name} has no setting {name!r}: it has {', '.join(sorted(known))}")
            values[name] = _read(self.name, name, getattr(self.settings(), name), value)
        return replace(self.settings(), **values)

    def settings_of(self, kept: Mapping[str, Any]) -> Settings:
        """From a file's JSON: lists become tuples again."""
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in kept.items()
        }
        try:
            return self.settings(**values)
        except TypeError as error:
            raise ZooError(f"the file's settings are not those of {self.name}: {error}") from error


def kept(settings: Settings) -> dict[str, Any]:
    """As JSON."""
    return asdict(settings)


def _read(system: str, name: str, default: Any, value: str | int) -> Any:
    """`value` as the default's type; of a tuple, numbers or words with commas between."""
    try:
        if isinstance(default, bool):
            return {"true": True, "false": False, "1": True, "0": False}[str(value).lower()]
        if isinstance(default, tuple):
            kind = type(default[0]) if default else str
            return tuple(kind(piece) for piece in str(value).split(",") if piece)
        return type(default)(value)
    except (KeyError, ValueError):
        raise ZooError(f"{system}: {name}={value!r} is no {type(default).__name__}") from None
