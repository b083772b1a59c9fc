"""Samples to gammatone bands, as the inner ear has them: a front end for models that listen without spikes.

    y1 = (1 - r) x + a y1;  y2 = (1 - r) y1 + a y2;  y3, y4 alike;  a = r exp(2 pi i f / rate)
    energy = 2 mean |y4|^2 over a hop

Four complex one-pole filters in a row for each band: their impulse response is the gammatone t^3 r^t exp(2 pi i f t),
and at its centre a band's energy is a tone's mean square. Then the gain that all bands share and the fourth root, as
in `bands.py`. Knows samples and bands; nothing of memory, spikes or labels.
Source: Hohmann 2002, "Frequency analysis and synthesis using a gammatone filterbank"; Glasberg and Moore 1990 for
the equivalent rectangular bandwidth (ERB) and the scale on which centres are equally spaced.
"""

import math
from dataclasses import asdict, dataclass
from typing import Any

import numba as nb
import numpy as np
from numpy.typing import NDArray

from engine.bands import follow_level, mean_energy, normalise
from engine.ear import checked
from engine.jit import Record, inlined, kernel

f32 = np.float32
usize = nb.uintp

ORDER = 4
BANDWIDTHS = math.pi * math.factorial(6) / 2**6 / math.factorial(3) ** 2  # of one pole in an ERB, for order 4
INAUDIBLE = f32(1e-20)  # a filter's state below it becomes 0: denormal numbers are slow on some CPUs


@dataclass(frozen=True, kw_only=True)
class GammatoneFrontEnd:
    """Samples to features. Every field belongs to the model that learned from them."""

    sample_rate_hz: int = 16_000
    hop_samples: int = 160  # 10 ms
    bands: int = 100
    low_hz: float = 50.0  # centre of the lowest band
    high_hz: float = 7_000.0  # and of the highest
    gain_release_s: float = 0.2  # time constant of the one gain that all bands share
    gate_dbfs: float = -70.0  # below this level the gain no longer follows

    def __post_init__(self) -> None:
        if not 8_000 <= self.sample_rate_hz <= 96_000:
            raise ValueError(f"sample_rate_hz={self.sample_rate_hz} is outside 8000..96000")
        if not 16 <= self.hop_samples <= 4_096:
            raise ValueError(f"hop_samples={self.hop_samples} is outside 16..4096")
        if not 2 <= self.bands <= 256:
            raise ValueError(f"bands={self.bands} is outside 2..256")
        if not 20 <= self.low_hz < self.high_hz <= 0.45 * self.sample_rate_hz:
            raise ValueError(
                f"low_hz={self.low_hz}, high_hz={self.high_hz}: needs 20 <= low < high <= {0.45 * self.sample_rate_hz}"
            )
        if not 0.001 <= self.gain_release_s <= 60:
            raise ValueError(f"gain_release_s={self.gain_release_s} is outside 0.001..60")
        if not -120 <= self.gate_dbfs <= 0:
            raise ValueError(f"gate_dbfs={self.gate_dbfs} is outside -120..0")

    @property
    def hop_s(self) -> float:
        return self.hop_samples / self.sample_rate_hz

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def erb_hz(hz: float) -> float:
    """Bandwidth of the ear's filter at `hz`."""
    return 24.7 * (4.37e-3 * hz + 1.0)


def centres_hz(config: GammatoneFrontEnd) -> NDArray[np.float64]:
    """(bands,), equally spaced on the scale of ERBs."""
    low, high = (math.log(4.37e-3 * hz + 1.0) for hz in (config.low_hz, config.high_hz))
    return np.asarray((np.exp(np.linspace(low, high, config.bands)) - 1.0) / 4.37e-3)


def parameters(config: GammatoneFrontEnd) -> NDArray[np.void]:
    """Read-only tables, (1,) record."""
    bands = (config.bands,)
    dtype = np.dtype(
        [
            ("hop", np.int64),
            ("real", np.float32, bands),  # of each band's pole
            ("imag", np.float32, bands),
            ("share", np.float32, bands),  # 1 - radius: gain 1 at the centre
            ("release", np.float32),  # share of the way that the envelope falls in one hop
            ("floor", np.float32),  # power of the gate
        ],
        align=True,
    )
    record = np.zeros(1, dtype)
    centre = centres_hz(config)
    radius = np.exp([-2.0 * math.pi * erb_hz(hz) / BANDWIDTHS / config.sample_rate_hz for hz in centre])
    angle = 2.0 * np.pi * centre / config.sample_rate_hz
    record["hop"] = config.hop_samples
    record["real"][0] = radius * np.cos(angle)
    record["imag"][0] = radius * np.sin(angle)
    record["share"][0] = 1.0 - radius
    record["release"] = 1.0 - np.exp(-config.hop_s / config.gain_release_s)
    record["floor"] = 10.0 ** (config.gate_dbfs / 10.0)
    return record


def state_dtype(config: GammatoneFrontEnd) -> np.dtype[np.void]:
    """What one stream remembers between two samples."""
    bands = config.bands
    fields: list[tuple[Any, ...]] = [
        ("real", np.float32, (ORDER, bands)),  # the four filters of each band
        ("imag", np.float32, (ORDER, bands)),
        ("sum", np.float32, (bands,)),  # |y4|^2 of the hop so far
        ("pending", np.int64),  # samples of the hop so far
        ("envelope", np.float32),  # power that sets the shared gain
        ("energy", np.float32, (bands,)),  # of the last hop
        ("feature", np.float32, (bands,)),
    ]
    return np.dtype(fields, align=True)


@inlined
def filter_sample(
    x: np.float32,
    pole_real: NDArray[np.float32],
    pole_imag: NDArray[np.float32],
    share: NDArray[np.float32],
    real: NDArray[np.float32],
    imag: NDArray[np.float32],
    total: NDArray[np.float32],
) -> None:
    """One sample through every band's filters; total += |y4|^2.

    pole_*, share, total: (bands,) float32. real, imag: (ORDER, bands) float32, updated.
    """
    for j in range(usize(total.shape[0])):
        a, b, g = pole_real[j], pole_imag[j], share[j]
        u, v = x, f32(0.0)
        for stage in range(ORDER):
            p, q = real[stage, j], imag[stage, j]
            u, v = g * u + (a * p - b * q), g * v + (a * q + b * p)
            real[stage, j] = u
            imag[stage, j] = v
        total[j] += u * u + v * v


@kernel
def end_hop(ear: Record, state: Record) -> None:
    """The hop's energies, gain and features; filters that have rung out are set to rest."""
    scale = f32(2.0) / f32(ear.hop)
    for j in range(state.sum.shape[0]):
        state.energy[j] = scale * state.sum[j]
        state.sum[j] = f32(0.0)
    for stage in range(ORDER):
        for j in range(state.sum.shape[0]):
            if abs(state.real[stage, j]) + abs(state.imag[stage, j]) < INAUDIBLE:
                state.real[stage, j] = f32(0.0)
                state.imag[stage, j] = f32(0.0)
    state.envelope = follow_level(state.envelope, mean_energy(state.energy), ear.release)
    normalise(state.energy, state.envelope, ear.floor, state.feature)
    state.pending = 0


@kernel
def _hear(ear: Record, state: Record, samples: NDArray[np.float32], features: NDArray[np.float32]) -> None:
    e, s = ear[0], state[0]
    frame = 0
    for i in range(samples.shape[0]):
        filter_sample(samples[i], e.real, e.imag, e.share, s.real, s.imag, s.sum)
        s.pending += 1
        if s.pending == e.hop:
            end_hop(e, s)
            features[frame, :] = s.feature
            frame += 1


class GammatoneEar:
    """Samples to features, for one stream. `feed` in any chunking gives the same rows, bit for bit."""

    def __init__(self, config: GammatoneFrontEnd) -> None:
        self.config = config
        self._parameters = parameters(config)
        self._state = np.zeros(1, state_dtype(config))

    def reset(self) -> None:
        """Forget everything heard: equal to a new GammatoneEar."""
        self._state[:] = np.zeros(1, self._state.dtype)

    def feed(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """samples: (n,) float32 at the front end's rate. Returns features (frames, bands) float32, a row for each hop
        that is complete: fourth roots of the bands' energies over the shared gain. Raises ValueError on a sample out of
        range.
        """
        samples = checked(samples)
        frames = (int(self._state["pending"][0]) + len(samples)) // self.config.hop_samples
        features = np.empty((frames, self.config.bands), np.float32)
        _hear(self._parameters, self._state, samples, features)
        return features
