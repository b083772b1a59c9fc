"""Builds and calls c_loop.c for one network. Knows compilers; None where there is none."""

import ctypes
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.weights import Model

SOURCE = Path(__file__).with_name("c_loop.c")
MOST_LAYERS = 4
PLAIN = ("-O3",)
NATIVE = ("-O3", "-march=native")


def compiler() -> str | None:
    """The C compiler: $CC, else gcc, else cc; None if there is none."""
    named = os.environ.get("CC")
    return named or shutil.which("gcc") or shutil.which("cc")


class CLoop:
    """One network in C; `run` steps it over all of its inputs in one call."""

    def __init__(self, model: Model, spikes: NDArray[np.uint8], flags: tuple[str, ...]) -> None:
        self._run = _build(model, flags)
        parts = [
            np.ravel(part)
            for layer in model.layers
            for part in (layer.real_weight(), layer.real_bias(), layer.beta, layer.threshold)
        ]
        self._net = aligned(sum(map(len, parts)))
        np.concatenate(parts, out=self._net)
        self._inputs = np.ascontiguousarray(spikes)
        self._v = aligned(model.neurons)
        self._spikes = np.zeros(model.neurons, np.uint8)

    def run(self) -> None:
        self._call(None, None)

    def answers(self) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """Membranes and spikes of every neuron in every frame, (frames, neurons), from a state of zeros."""
        self._v[:] = 0
        self._spikes[:] = 0
        kept_v = np.zeros((len(self._inputs), len(self._v)), np.float32)
        kept_spikes = np.zeros(kept_v.shape, np.uint8)
        self._call(kept_v.ctypes.data, kept_spikes.ctypes.data)
        return kept_v, kept_spikes

    def _call(self, kept_v: int | None, kept_spikes: int | None) -> None:
        self._run(
            self._net.ctypes.data, self._inputs.ctypes.data, len(self._inputs), self._v.ctypes.data,
            self._spikes.ctypes.data, kept_v, kept_spikes,
        )  # fmt: skip


def aligned(count: int) -> NDArray[np.float32]:
    """Zeros that start at a cache line's border: worth a fifth of the time to wide loads."""
    room = np.zeros(count + 16, np.float32)
    start = -(room.ctypes.data // 4) % 16
    return room[start : start + count]


def _build(model: Model, flags: tuple[str, ...]):  # type: ignore[no-untyped-def]
    """`run` of c_loop.c compiled for this network. Raises CalledProcessError with the compiler's words."""
    if len(model.layers) > MOST_LAYERS or any(not layer.reset_delay or layer.reset == "zero" for layer in model.layers):
        raise ValueError(
            f"{model.name}: the C loop has at most {MOST_LAYERS} layers, reset by delayed subtraction or none"
        )
    sizes = [model.front_end.fibres, *(layer.weight.shape[1] for layer in model.layers)]
    defines = [f"-DLAYERS={len(model.layers)}", f"-DN0={sizes[0]}"]
    for i in range(1, MOST_LAYERS + 1):
        there = i < len(sizes)
        defines += [
            f"-DN{i}={sizes[i] if there else 0}",
            f"-DR{i}={int(there and model.layers[i - 1].reset == 'subtract')}",
        ]
    command = [compiler() or "cc", *flags, "-std=c11", "-ffp-contract=off", "-shared", "-fPIC", *defines]
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "c_loop.so"
        subprocess.run([*command, "-o", str(library), str(SOURCE)], check=True, capture_output=True, text=True)
        run = ctypes.CDLL(str(library)).run
    pointer = ctypes.c_void_p
    run.argtypes = (pointer, pointer, ctypes.c_long, pointer, pointer, pointer, pointer)
    run.restype = None
    return run
