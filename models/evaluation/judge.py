"""One clip through the real engine: what it was taken for at each moment, its events, its operations.

The clip is scaled to a fixed peak and put between silences, as for the card. The answer after a time is the label with
the greatest mean score over the frames since the note's onset that there are, the first 80 ms left out. A negative is
heard as loud as it is: made loud, a quiet room's hiss would be something else. Knows sound and targets; nothing of
files or of averages.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.pipeline import Pipeline
from engine.weights import Model
from models.evaluation.collars import SoundEvent
from models.evaluation.listing import Listed
from models.evaluation.onset import end_frame, onset_frame
from models.evaluation.operations import Operations
from models.hearing import LEAD_FRAMES, in_silence, listen, mean_scores, normal_level

MOMENTS_MS = (50, 100, 200, 500, 1000)
PIECE_MS = 300
LEVELS_DB = (-40, -30, -20, -10, 10, 20)
SNRS_DB = (30, 20, 10, 0)
AUDIBLE = 2.0**-15  # a clip whose peak is less than a step of 16 bits holds nothing to judge
NOISE_S = 10.0  # of each negative that is kept to be mixed in
NOISES = 32


@dataclass(frozen=True)
class Judged:
    listed: Listed
    answers: dict[str, str]  # moment in ms -> label
    scores: NDArray[np.float32]  # (labels,), mean since the onset, at the last moment
    piece: str  # label of a random piece
    turned_on: frozenset[str]  # labels with an onset event
    latency_ms: float | None  # from the note's onset to the right label's onset event
    truth: SoundEvent | None  # seconds from the stream's start
    said: list[SoundEvent]
    sweeps: dict[tuple[str, str], str] = field(default_factory=dict)  # (sweep, condition) -> label


class Judge:
    """`instrument(...)` for each clip with a right answer, `negative(...)` for each without."""

    def __init__(self, model: Model, seed: int, sweeps: bool) -> None:
        self._pipeline = Pipeline(model)
        self._hop = model.front_end.hop_samples
        self._frame_ms = 1000.0 * model.front_end.hop_s
        self._model = model
        self._seed = seed
        self._sweeps = sweeps
        self._noises: list[NDArray[np.float32]] = []
        self.operations = Operations(model)
        self.false_onsets: Counter[str] = Counter()
        self.negative_s: dict[str, float] = defaultdict(float)

    def negative(self, name: str, sound: NDArray[np.float32]) -> None:
        _, events = self._hear(in_silence(sound, self._hop))
        self.negative_s[name] += len(sound) / self._model.front_end.sample_rate_hz
        self.false_onsets.update(event.label for event in events if event.phase == "onset")
        part = sound[: round(NOISE_S * self._model.front_end.sample_rate_hz)]
        if self._sweeps and len(self._noises) < NOISES and np.abs(part).max(initial=0.0) >= AUDIBLE:
            self._noises.append(part.copy())

    def instrument(self, listed: Listed, sound: NDArray[np.float32], index: int) -> Judged | None:
        """None for a clip in which nothing sounds. index: seeds what is random about this clip."""
        if np.abs(sound).max(initial=0.0) < AUDIBLE:
            return None
        hop, model = self._hop, self._model
        random = np.random.default_rng([self._seed, index])
        sound = normal_level(sound)
        sound = np.pad(sound, (0, -len(sound) % hop))
        onset = 0 if listed.onset_s is not None else onset_frame(sound, hop)
        clip_end = LEAD_FRAMES + len(sound) // hop
        evidence, events = self._hear(in_silence(sound, hop), self._counter(LEAD_FRAMES, clip_end))
        since = evidence[LEAD_FRAMES + onset : clip_end]
        at_s = (LEAD_FRAMES + onset) * hop / model.front_end.sample_rate_hz
        end = len(sound) // hop if listed.offset_s is not None else end_frame(sound, hop)
        end_s = (LEAD_FRAMES + end) * hop / model.front_end.sample_rate_hz
        label = listed.target.label
        rate = float(model.front_end.sample_rate_hz)
        decided = [e.decided_sample / rate - at_s for e in events if e.phase == "onset" and e.label == label]
        offsets = [event for event in events if event.phase == "offset"]
        return Judged(
            listed=listed,
            answers={str(ms): self._answer(since, ms) for ms in MOMENTS_MS},
            scores=mean_scores(since, self._frames(MOMENTS_MS[-1])).astype(np.float32),
            piece=self._piece(sound[onset * hop : end * hop], random),
            turned_on=frozenset(event.label for event in events if event.phase == "onset"),
            latency_ms=next((1000.0 * seconds for seconds in decided if seconds > 0), None),
            truth=(label, at_s, max(end_s, at_s)) if label else None,
            said=[(e.label, e.onset_sample / rate, (e.offset_sample or 0) / rate) for e in offsets],
            sweeps=dict(self._swept(sound, onset, random)) if self._sweeps else {},
        )

    def _hear(self, stream: NDArray[np.float32], watch: Any = lambda rows: None) -> tuple[NDArray[np.float32], Any]:
        self._pipeline.reset()
        evidence, events = listen(self._pipeline, stream, watch)
        return evidence, events + self._pipeline.flush()

    def _counter(self, start: int, stop: int) -> Callable[[NDArray[Any]], None]:
        """Counts the operations of the clip's own frames: the silence around it would make the network look idle."""
        at = 0

        def count(rows: NDArray[Any]) -> None:
            nonlocal at
            own = rows[max(0, start - at) : max(0, stop - at)]
            at += len(rows)
            self.operations.add(own["cochlea"], own["spikes"])

        return count

    def _frames(self, ms: int) -> int:
        return round(ms / self._frame_ms)

    def _answer(self, since: NDArray[np.float32], ms: int) -> str:
        return self._model.labels[int(np.argmax(mean_scores(since, self._frames(ms))))]

    def _piece(self, note: NDArray[np.float32], random: np.random.Generator) -> str:
        """The answer to a random piece of the note alone; a shorter note is heard whole."""
        size = self._frames(PIECE_MS) * self._hop
        start = int(random.integers(max(1, len(note) - size + 1)))
        piece = note[start : start + size]
        evidence, _ = self._hear(in_silence(piece, self._hop))
        return self._answer(evidence[LEAD_FRAMES : LEAD_FRAMES + -(-len(piece) // self._hop)], PIECE_MS)

    def _swept(
        self, sound: NDArray[np.float32], onset: int, random: np.random.Generator
    ) -> Iterator[tuple[tuple[str, str], str]]:
        """Answers to the clip's first second at other levels and in noise, which lies under the silence before, too."""
        hop, ms = self._hop, MOMENTS_MS[-1]
        stop = onset + self._frames(ms)
        sound = sound[: stop * hop]
        stream = in_silence(sound, hop)
        power = float(np.mean(np.square(sound[onset * hop :], dtype=np.float64)))

        def answer(heard: NDArray[np.float32]) -> str:
            evidence, _ = self._hear(heard)
            return self._answer(evidence[LEAD_FRAMES + onset : LEAD_FRAMES + len(sound) // hop], ms)

        for level_db in LEVELS_DB:
            yield ("level_db", f"{level_db:+d}"), answer(stream * np.float32(10.0 ** (level_db / 20.0)))
        white = random.standard_normal(len(stream), dtype=np.float32)
        noises = {"white_noise_snr_db": white}
        if self._noises:
            noise = self._noises[int(random.integers(len(self._noises)))]
            noises["negatives_snr_db"] = np.resize(np.roll(noise, int(random.integers(len(noise)))), len(stream))
        for name, noise in noises.items():
            noise = noise / np.sqrt(np.mean(np.square(noise, dtype=np.float64)) + 1e-20)
            for snr_db in SNRS_DB:
                gain = np.sqrt(power * 10.0 ** (-snr_db / 10.0))
                yield (name, str(snr_db)), answer((stream + gain * noise).astype(np.float32))
