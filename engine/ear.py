"""The front end as one block: samples in, cochlea spikes out. What a model trains on and what serves it.

Knows frames, bands and the cochlea; nothing of instruments. `hear_frame` is the whole way of the data from ring to
spikes, a line a stage; `pipeline.py` goes on from there. A front end may look twice: a short frame each hop tells when,
a long one each few hops tells which partials.
"""

from typing import Any

import numba as nb
import numpy as np
from numba.extending import overload
from numpy.typing import NDArray

from engine.bands import band_energies, follow_level, mean_energy, mel_table, normalise
from engine.cochlea import change, derived_beta, fire, inhibit, inhibition_kernel
from engine.config import FrontEnd
from engine.fft import first_twiddles, power_spectrum, twiddles
from engine.jit import OPTIONS, Record, kernel, named
from engine.ring import newest, push
from engine.stft import window

f32 = np.float32
usize = nb.uintp

NEVER = -(2**40)  # a frame index long before the stream's start
MAX_AMPLITUDE = 1_000.0  # 60 dB over full scale; beyond it float32 powers lose their meaning


def parameters(config: FrontEnd) -> NDArray[np.void]:
    """Read-only tables of a front end, (1,) record: shared by all streams, sizes known to the compiler."""
    table = mel_table(config)
    flank = inhibition_kernel(config.inhibition, config.inhibition_reach)
    gains = np.array(config.fibre_gains, np.float32)
    n = config.frame_samples
    fine = [("fine", parameters(config.fine).dtype)] if config.fine else []
    dtype = np.dtype(
        [
            *fine,
            ("hop", np.int64),
            ("window", np.float32, (n,)),
            ("twiddle", np.float32, (2, n)),
            ("first_twiddle", np.float32, (6, 5 * n // 32)),
            ("band_first", np.int32, (config.bands,)),
            ("band_count", np.int32, (config.bands,)),
            ("band_offset", np.int32, (config.bands,)),
            ("band_weight", np.float32, table.weight.shape),
            ("release", np.float32),  # share of the way that the envelope falls in one hop
            ("floor", np.float32),  # power of the noise gate
            ("flank", np.float32, flank.shape),
            ("gains", np.float32, gains.shape),
            ("change_gain", np.float32),
            ("beta", np.float32),  # decay of a cochlea neuron in one hop
        ],
        align=True,
    )
    record = np.zeros(1, dtype)
    record["hop"] = config.hop_samples
    record["window"][0] = window(n)
    record["twiddle"][0] = twiddles(n)
    record["first_twiddle"][0] = first_twiddles(n)
    record["band_first"][0] = table.first
    record["band_count"][0] = table.count
    record["band_offset"][0] = table.offset
    record["band_weight"][0] = table.weight
    record["release"] = 1.0 - np.exp(-config.hop_s / config.gain_release_s)
    record["floor"] = 10.0 ** (config.gate_dbfs / 10.0)
    record["flank"][0] = flank
    record["gains"][0] = gains
    record["change_gain"] = config.change_gain
    record["beta"] = config.cochlea_beta or derived_beta(config.hop_s)
    if config.fine:
        record["fine"] = parameters(config.fine)
    return record


def state_fields(config: FrontEnd) -> list[tuple[Any, ...]]:
    """What one stream remembers between frames."""
    fine: list[tuple[Any, ...]] = []
    if config.fine:
        fine = [("fine_envelope", np.float32), ("fine_before", np.float32, (config.fine.bands,))]
    return [
        *fine,
        ("ring", np.float32, (max(config.frame_samples, config.fine_samples),)),
        ("written", np.int64),  # samples pushed
        ("pending", np.int64),  # samples of the hop that is not complete
        ("frame", np.int64),  # frames done
        ("envelope", np.float32),  # power that sets the shared gain
        ("rising", np.uint8),  # the last frame was a rise of more than 6 dB
        ("attack", np.int64),  # frame in which the last rise began
        ("before", np.float32, (config.bands,)),  # features of the last frame
        ("cochlea_v", np.float32, (config.fibres,)),  # membrane potentials
        ("cochlea_spikes", np.uint8, (config.fibres,)),  # of the last frame
    ]


def scratch_fields(config: FrontEnd) -> list[tuple[Any, ...]]:
    """Work space: means nothing between frames."""
    fine = [("fine", np.dtype(scratch_fields(config.fine), align=True))] if config.fine else []
    return [
        *fine,
        ("frame", np.float32, (config.frame_samples,)),  # the newest samples, in order
        ("work", np.float32, (2 * config.frame_samples,)),
        ("power", np.float32, (config.frame_samples // 2 + 1,)),
        ("level", np.float32),  # mean band energy
        ("energy", np.float32, (config.bands,)),
        ("feature", np.float32, (config.bands,)),
        ("padded", np.float32, (config.bands + 2 * config.inhibition_reach,)),  # features and repeated edges
        ("drive", np.float32, (config.bands,)),
        ("rise", np.float32, (config.bands,)),
    ]


@kernel
def fill_hop(ear: Record, state: Record, samples: NDArray[np.float32], at: int) -> int:
    """Push samples from `at` on until the hop is complete or they end; returns the index after the last one used."""
    count = min(ear.hop - state.pending, samples.shape[0] - at)
    push(state.ring, state.written, samples, at, count)
    state.written += count
    state.pending += count
    return at + count


@kernel
def hear_frame(ear: Record, state: Record, scratch: Record) -> None:
    """One frame, ring to cochlea spikes. ear, state, scratch: records of the dtypes above."""
    newest(state.ring, state.written, scratch.frame)
    power_spectrum(ear, scratch)
    band_energies(scratch.power, ear.band_first, ear.band_count, ear.band_offset, ear.band_weight, scratch.energy)

    level = mean_energy(scratch.energy)
    rises = level > ear.floor and f32(0.25) * level > state.envelope
    if rises and not state.rising:
        state.attack = state.frame
    state.rising = rises
    state.envelope = follow_level(state.envelope, level, ear.release)
    scratch.level = level

    normalise(scratch.energy, state.envelope, ear.floor, scratch.feature)
    inhibit(scratch.feature, ear.flank, scratch.padded, scratch.drive)
    change(scratch.feature, state.before, scratch.rise)
    fire(scratch.drive, ear.gains, scratch.rise, ear.change_gain, ear.beta, state.cochlea_v, state.cochlea_spikes, 0)
    look_closer(ear, state, scratch)
    state.pending = 0
    state.frame += 1


def look_closer(ear: Record, state: Record, scratch: Record) -> None:
    """The fine look, if the front end has one: the stages of `hear_frame` on a longer frame, each `fine_hops` hops.

    Frame `k` of the hops sees it when `(k + 1) % fine_hops == 0`; in the others its neurons are silent.
    """
    raise NotImplementedError("look_closer runs inside compiled kernels only")


@overload(look_closer, jit_options=OPTIONS)
def _look_closer(ear, state, scratch):  # type: ignore[no-untyped-def]
    fields = dict(ear.fields)
    if "fine" not in fields:

        def nothing(ear, state, scratch):  # type: ignore[no-untyped-def]
            pass

        return nothing
    fine = dict(fields["fine"].type.fields)
    rows = fine["gains"].type.shape[0]
    bands = fine["band_first"].type.shape[0]
    total = dict(state.fields)["cochlea_v"].type.shape[0]

    def look(ear, state, scratch):  # type: ignore[no-untyped-def]
        fine, work = ear.fine, scratch.fine
        first = total - (rows + usize(2) * usize(fine.change_gain > f32(0.0))) * bands
        if (state.frame + 1) % (fine.hop // ear.hop) != 0:
            for i in range(usize(first), usize(total)):
                state.cochlea_spikes[i] = 0
            return
        newest(state.ring, state.written, work.frame)
        power_spectrum(fine, work)
        band_energies(work.power, fine.band_first, fine.band_count, fine.band_offset, fine.band_weight, work.energy)
        state.fine_envelope = follow_level(state.fine_envelope, mean_energy(work.energy), fine.release)
        normalise(work.energy, state.fine_envelope, fine.floor, work.feature)
        inhibit(work.feature, fine.flank, work.padded, work.drive)
        change(work.feature, state.fine_before, work.rise)
        fire(
            work.drive, fine.gains, work.rise, fine.change_gain, fine.beta, state.cochlea_v, state.cochlea_spikes, first
        )

    return named(look)


@kernel
def _hear(
    ear: Record,
    state: Record,
    scratch: Record,
    samples: NDArray[np.float32],
    features: NDArray[np.float32],
    spikes: NDArray[np.uint8],
) -> int:
    e, s, w = ear[0], state[0], scratch[0]
    at = 0
    frames = 0
    while at < samples.shape[0]:
        at = fill_hop(e, s, samples, at)
        if s.pending == e.hop:
            hear_frame(e, s, w)
            features[frames, :] = w.feature
            spikes[frames, :] = s.cochlea_spikes
            frames += 1
    return frames


class Ear:
    """Samples to features and cochlea spikes, for one stream. `feed` in any chunking gives the same rows."""

    def __init__(self, config: FrontEnd) -> None:
        self.config = config
        self._parameters = parameters(config)
        self._state = np.zeros(1, np.dtype(state_fields(config), align=True))
        self._scratch = np.zeros(1, np.dtype(scratch_fields(config), align=True))
        self.reset()

    def reset(self) -> None:
        """Forget everything heard: equal to a new Ear."""
        self._state[:] = np.zeros(1, self._state.dtype)
        self._state["attack"] = NEVER

    def feed(self, samples: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """samples: (n,) float32 at the front end's rate. Returns features (frames, bands) float32, the normalised band
        energies before inhibition, and spikes (frames, fibres) uint8. Raises ValueError on a sample out of range.
        """
        samples = checked(samples)
        frames = (int(self._state["pending"][0]) + len(samples)) // self.config.hop_samples
        features = np.empty((frames, self.config.bands), np.float32)
        spikes = np.empty((frames, self.config.fibres), np.uint8)
        _hear(self._parameters, self._state, self._scratch, samples, features, spikes)
        return features, spikes


def checked(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """The samples as contiguous float32, not to be written: numba compiles anew for an array that may be.

    Raises ValueError naming the first sample that is not finite or too large.
    """
    samples = np.ascontiguousarray(samples, np.float32).view()
    samples.flags.writeable = False
    if samples.ndim != 1:
        raise ValueError(f"samples have shape {samples.shape}, expected (n,): one channel")
    wrong = first_wrong(samples, 0, len(samples))
    if wrong >= 0:
        raise ValueError(f"sample {wrong} is {samples[wrong]}: needs a finite value within +-{MAX_AMPLITUDE:g}")
    return samples


@kernel
def first_wrong(samples: NDArray[np.float32], first: int, end: int) -> int:
    """Index of the first sample in `first .. end` that is not finite or over MAX_AMPLITUDE, or -1."""
    limit = f32(MAX_AMPLITUDE)
    wrong = np.uint8(0)
    for i in range(usize(first), usize(end)):
        wrong |= np.uint8(not (abs(samples[i]) <= limit))  # true for NaN as well; without a branch, by the vector
    if not wrong:
        return -1
    at = first
    while abs(samples[at]) <= limit:
        at += 1
    return at
