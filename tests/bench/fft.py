"""The transform alone: the engine's (window and power included) beside libraries that do only the transform.

Libraries are called from Python, once a frame, as a program in Python must; that call is part of their time. rocket-fft
runs inside a compiled loop, as the engine's does. "batched" is one call for many frames: no live stream can.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numba
import numpy as np
import scipy.fft
from numpy.typing import NDArray

from engine.config import FrontEnd
from engine.ear import parameters, scratch_fields
from engine.fft import power_spectrum
from engine.jit import Record, kernel
from tests.bench.missing import Missing
from tests.bench.subjects import sound
from tests.bench.timing import Run, Times, compete

LENGTHS = (512, 1024, 2048)
BATCH = 256  # frames

FRAMES = 4  # a power of two

Frames = NDArray[np.float32]  # (frames, n)
Spectra = Callable[[], Sequence[Any]]  # transforms every frame; the last of the results is the last frame's spectrum


@kernel
def transform_all(ear: Record, scratches: Record, count: int) -> None:
    """The engine's window, transform and power, `count` times, going round over a few frames."""
    e = ear[0]
    for i in range(count):
        power_spectrum(e, scratches[i % FRAMES])


def frames_of(n: int) -> Frames:
    """Frames of music, one after another."""
    return sound(BATCH * n / 16_000).reshape(BATCH, n)


def engine_records(n: int) -> tuple[NDArray[np.void], NDArray[np.void]]:
    """Parameters of a front end, and the work space of FRAMES frames of music."""
    config = FrontEnd(frame_samples=n)
    scratches = np.zeros(FRAMES, np.dtype(scratch_fields(config), align=True))
    scratches["frame"] = frames_of(n)[:FRAMES]
    return parameters(config), scratches


def engine_run(n: int) -> Run:
    ear, scratches = engine_records(n)
    return Run(lambda: transform_all(ear, scratches, 4 * BATCH), 4 * BATCH)


def numpy_fft(frames: Frames) -> Spectra:
    rows = list(frames)
    return lambda: [np.fft.rfft(row) for row in rows]


def scipy_fft(frames: Frames) -> Spectra:
    rows = list(frames)
    return lambda: [scipy.fft.rfft(row) for row in rows]


def scipy_batched(frames: Frames) -> Spectra:
    return lambda: scipy.fft.rfft(frames)


def ducc0_fft(frames: Frames) -> Spectra:
    import ducc0

    rows, out = list(frames), room(frames)
    places = list(out)

    def run() -> NDArray[np.complex64]:
        for row, place in zip(rows, places, strict=True):
            ducc0.fft.r2c(row, out=place)
        return out

    return run


def ducc0_batched(frames: Frames) -> Spectra:
    import ducc0

    out = room(frames)
    return lambda: ducc0.fft.r2c(frames, axes=(1,), out=out)


def pyfftw_fft(frames: Frames) -> Spectra:
    import pyfftw

    x = pyfftw.empty_aligned(frames.shape[1], "float32")
    y = pyfftw.empty_aligned(frames.shape[1] // 2 + 1, "complex64")
    plan = pyfftw.FFTW(x, y, flags=("FFTW_PATIENT",), threads=1)
    x[:] = frames[-1]
    turns = range(len(frames))

    def run() -> list[Any]:
        for _ in turns:
            plan.execute()  # on its own arrays: the time to fill them is not in it
        return [y]

    return run


def rocket_fft(frames: Frames) -> Spectra:
    from rocket_fft import r2c

    axes, out = np.array([0]), room(frames)

    @numba.njit(nogil=True)
    def loop(frames, out, axes):  # type: ignore[no-untyped-def]
        for i in range(frames.shape[0]):
            r2c(frames[i], out[i], axes, True, 1.0, 1)

    def run() -> NDArray[np.complex64]:
        loop(frames, out, axes)
        return out

    return run


def torch_fft(frames: Frames) -> Spectra:
    import torch

    torch.set_num_threads(1)
    rows = list(torch.from_numpy(frames))

    def run() -> list[Any]:
        with torch.inference_mode():
            return [torch.fft.rfft(row) for row in rows]

    return run


def room(frames: Frames) -> NDArray[np.complex64]:
    return np.zeros((len(frames), frames.shape[1] // 2 + 1), np.complex64)


LIBRARIES: dict[str, Callable[[Frames], Spectra]] = {
    "scipy": scipy_fft,
    "numpy": numpy_fft,
    "ducc0": ducc0_fft,
    "pyFFTW": pyfftw_fft,
    "rocket-fft": rocket_fft,
    "torch": torch_fft,
    "scipy, batched": scipy_batched,
    "ducc0, batched": ducc0_batched,
}


def measure(lengths: tuple[int, ...], rounds: int, missing: Missing) -> dict[int, dict[str, Times]]:
    """Length to name to the time of one transform."""
    times = {}
    for n in lengths:
        frames = frames_of(n)
        runs = {"engine, window and power": engine_run(n)}
        for name, make in LIBRARIES.items():
            call = missing.attempt(f"FFT: {name}", lambda make=make, frames=frames: make(frames))  # type: ignore[misc]
            if call:
                runs[name] = Run(call, len(frames))
        times[n] = compete(runs, rounds)
    return times
