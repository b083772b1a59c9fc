"""The model file: weights, front end, labels, thresholds, semantics and a checksum, in one safetensors file.

Knows the format and refuses, by name, what does not fit. Runs nothing. Tensors: `layerN.weight` (in, out) int8,
`layerN.bias` (out,) int32, `layerN.beta` and `layerN.threshold` (out,) float32; the metadata's one entry,
`spiccato`, is JSON. A weight is its integer times `2 ** -shift`, a power-of-two grid.
"""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from engine.config import FrontEnd
from engine.lif import RESETS

FORMAT = 1
SEMANTICS = "snntorch.Leaky>=0.8"
MAX_FILE_BYTES = 256 * 1024 * 1024


class ModelError(ValueError):
    """A model file that cannot be used; the message names the file, the field and what was expected."""


@dataclass(frozen=True, eq=False)
class Layer:
    """One fully connected LIF layer on the grid of multiples of `2 ** -shift`."""

    weight: NDArray[np.int8]  # (in, out)
    bias: NDArray[np.int32]  # (out,)
    shift: int
    beta: NDArray[np.float32]  # (out,) decay of the membrane in one frame
    threshold: NDArray[np.float32]  # (out,)
    reset: str = "subtract"  # subtract | zero | none
    reset_delay: bool = True

    def __post_init__(self) -> None:
        out = self.weight.shape[1] if self.weight.ndim == 2 else -1
        if self.weight.dtype != np.int8 or self.weight.ndim != 2:
            raise ModelError(f"weight is {self.weight.dtype}{list(self.weight.shape)}, expected int8 (in, out)")
        for name, array, dtype in (
            ("bias", self.bias, np.int32),
            ("beta", self.beta, np.float32),
            ("threshold", self.threshold, np.float32),
        ):
            if array.dtype != dtype or array.shape != (out,):
                raise ModelError(f"{name} is {array.dtype}{list(array.shape)}, expected {np.dtype(dtype)}[{out}]")
        if not -32 <= self.shift <= 32:
            raise ModelError(f"shift={self.shift} is outside -32..32")
        if self.reset not in RESETS:
            raise ModelError(f"reset={self.reset!r} is not one of {sorted(RESETS)}")
        if not (np.all(self.beta >= 0) and np.all(self.beta <= 1)):
            raise ModelError("beta has values outside 0..1")
        if not np.all(np.isfinite(self.threshold)):
            raise ModelError("threshold has values that are not finite")
        largest = int(np.abs(self.bias).max(initial=0)) + int(
            np.abs(self.weight.astype(np.int64)).sum(axis=0).max(initial=0)
        )
        if largest >= 2**24:
            raise ModelError(f"a neuron's current can reach {largest} grid steps; float32 is exact below {2**24}")

    @property
    def step(self) -> float:
        return float(2.0**-self.shift)

    def real_weight(self) -> NDArray[np.float32]:
        """(in, out) float32, exact."""
        return self.weight.astype(np.float32) * np.float32(self.step)

    def real_bias(self) -> NDArray[np.float32]:
        """(out,) float32, exact below 2 ** 24 steps."""
        return self.bias.astype(np.float32) * np.float32(self.step)


@dataclass(frozen=True, eq=False)
class Model:
    """Everything that the engine needs to hear: front end, layers, labels and where each latch opens and closes."""

    name: str
    version: str
    labels: tuple[str, ...]
    families: tuple[str, ...]  # of each label
    front_end: FrontEnd
    layers: tuple[Layer, ...]
    on: tuple[float, ...]  # score above which a label turns on, 0..1
    off: tuple[float, ...]  # score below which it turns off, 0..1, below `on`
    trained: dict[str, Any] = field(default_factory=dict)  # how it was made: data, seed, figures
    sha256: str = ""  # of the file; empty when not from a file

    def __post_init__(self) -> None:
        n = len(self.labels)
        if n == 0 or len(set(self.labels)) != n:
            raise ModelError(f"labels must be one or more different names, got {list(self.labels)}")
        for name, values in (("families", self.families), ("on", self.on), ("off", self.off)):
            if len(values) != n:
                raise ModelError(f"{name} has {len(values)} values for {n} labels")
        for label, on, off in zip(self.labels, self.on, self.off, strict=True):
            if not 0 < off < on < 1:
                raise ModelError(f"{label}: thresholds on={on}, off={off}: needs 0 < off < on < 1")
        if not self.layers:
            raise ModelError("the model has no layer")
        fan_in = self.front_end.fibres
        for index, layer in enumerate(self.layers):
            if layer.weight.shape[0] != fan_in:
                raise ModelError(f"layer{index}.weight takes {layer.weight.shape[0]} inputs, it is given {fan_in}")
            fan_in = layer.weight.shape[1]
        if fan_in != n:
            raise ModelError(f"the last layer has {fan_in} neurons for {n} labels")

    @property
    def id(self) -> str:
        return f"{self.name}@{self.version}"

    @property
    def neurons(self) -> int:
        return sum(layer.weight.shape[1] for layer in self.layers)


def to_bytes(model: Model) -> bytes:
    """The file's bytes: the same model gives the same bytes."""
    tensors: dict[str, NDArray[Any]] = {}
    layers = []
    for index, layer in enumerate(model.layers):
        tensors[f"layer{index}.weight"] = np.ascontiguousarray(layer.weight)
        tensors[f"layer{index}.bias"] = layer.bias
        tensors[f"layer{index}.beta"] = layer.beta
        tensors[f"layer{index}.threshold"] = layer.threshold
        layers.append({"shift": layer.shift, "reset": layer.reset, "reset_delay": layer.reset_delay})
    header = {
        "format": FORMAT,
        "semantics": SEMANTICS,
        "name": model.name,
        "version": model.version,
        "labels": list(model.labels),
        "families": list(model.families),
        "front_end": model.front_end.to_dict(),
        "layers": layers,
        "on": list(model.on),
        "off": list(model.off),
        "trained": model.trained,
        "tensors_sha256": _digest(tensors),
    }
    return save_tensors(tensors, metadata={"spiccato": json.dumps(header, sort_keys=True)})


def save(model: Model, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(to_bytes(model))


def load(path: Path) -> Model:
    """Read and check a model file. Raises ModelError with the path and the reason."""
    try:
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise ModelError(f"{size} bytes is over the limit of {MAX_FILE_BYTES}")
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror or error}") from error
    try:
        return from_bytes(data)
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error


def from_bytes(data: bytes) -> Model:
    """Raises ModelError naming the field that does not fit."""
    try:
        tensors = load_tensors(data)
        length = int.from_bytes(data[:8], "little")
        header = json.loads(json.loads(data[8 : 8 + length])["__metadata__"]["spiccato"])
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"not a Spiccato model file ({error})") from error
    try:
        if header["format"] != FORMAT:
            raise ModelError(f"format={header['format']}: this version reads {FORMAT}")
        if header["semantics"] != SEMANTICS:
            raise ModelError(f"semantics={header['semantics']!r}: this engine runs {SEMANTICS!r}")
        if header["tensors_sha256"] != _digest(tensors):
            raise ModelError("tensors_sha256 does not match the tensors: the file is damaged")
        layers = tuple(
            Layer(
                weight=tensors[f"layer{index}.weight"],
                bias=tensors[f"layer{index}.bias"],
                beta=tensors[f"layer{index}.beta"],
                threshold=tensors[f"layer{index}.threshold"],
                shift=int(settings["shift"]),
                reset=settings["reset"],
                reset_delay=bool(settings["reset_delay"]),
            )
            for index, settings in enumerate(header["layers"])
        )
        return Model(
            name=header["name"],
            version=header["version"],
            labels=tuple(header["labels"]),
            families=tuple(header["families"]),
            front_end=FrontEnd.from_dict(header["front_end"]),
            layers=layers,
            on=tuple(float(value) for value in header["on"]),
            off=tuple(float(value) for value in header["off"]),
            trained=header["trained"],
            sha256=hashlib.sha256(data).hexdigest(),
        )
    except KeyError as error:
        raise ModelError(f"{error.args[0]} is missing") from error
    except (TypeError, ValueError) as error:
        raise ModelError(str(error)) from error


def _digest(tensors: dict[str, NDArray[Any]]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        array = np.ascontiguousarray(tensors[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
