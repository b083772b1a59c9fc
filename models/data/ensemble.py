"""Scores played with recorded notes: one recorded player a part, one stem a part. Knows clips and scores, no frames.

A note is the nearest recorded one of the same player, resampled by at most MAX_SHIFT semitones, from its attack on. A
longer note than the recording ends where the recording does; a shorter one is let go with a short fade. A part whose
instrument has no notes, or that names none (a choral voice), is given to an instrument whose range holds it.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import soxr
from numpy.typing import NDArray

from models.data.augment import faded
from models.data.corpus import RATE_HZ, Clip
from models.data.ontology import LABELS, label_of
from models.data.recording import CorpusError
from models.data.scores import Note, Part, Score
from models.data.twins import attack

Samples = NDArray[np.float32]

MAX_SHIFT = 4  # semitones by which a note is resampled at most
RELEASE_S = (0.03, 0.12)  # of a note that is let go
COVERED = 0.9  # share of a part's notes that a player must have
FEWEST_PITCHES = 4  # of a player who is given a part
# takes that are no plain note
NOT_PLAIN = ("phrase", "trill", "gliss", "tremolo", "harmonic", "flutter", "rhythm", "chord", "effect", "roll")
LEVELS_DB = (-6.0, 6.0)  # of one part against another


@dataclass(frozen=True)
class Stem:
    """One part of an excerpt, alone."""

    part: str  # the score's name for it
    label: str
    library: str
    group: str
    samples: Samples  # (n,) in the mixture's level
    notes: list[tuple[int, int]]  # [start, stop) of each in samples, its release with it


class Player:
    """The plain notes of one physical instrument."""

    def __init__(self, label: str, clips: Sequence[Clip]) -> None:
        self.label, self.library, self.group = label, clips[0].library, clips[0].group
        self._by_pitch: dict[int, list[Clip]] = defaultdict(list)
        self._drums: dict[str, list[Clip]] = defaultdict(list)
        for clip in clips:
            self._drums[clip.instrument].append(clip)
            if clip.pitch is not None and not any(word in clip.articulation for word in NOT_PLAIN):
                self._by_pitch[clip.pitch].append(clip)
        self._pitches = np.array(sorted(self._by_pitch))
        self._clips = list(clips)

    @property
    def pitches(self) -> int:
        return len(self._pitches)

    def covers(self, part: Part) -> float:
        """Share of the part's notes that can be played."""
        if self.label == "drums":
            return float(np.mean([note.pitch is None for note in part.notes]))
        if not len(self._pitches) or any(note.pitch is None for note in part.notes):
            return 0.0
        wanted = np.array([note.pitch for note in part.notes])
        distance = np.abs(wanted[:, None] - self._pitches[None]).min(axis=1)
        return float(np.mean(distance <= MAX_SHIFT))

    def play(self, rng: np.random.Generator, note: Note) -> Samples | None:
        """The note, from its attack; None if this player has nothing near."""
        if note.pitch is None:
            clips, ratio = self._drums.get(note.drum) or self._clips, 1.0
        else:
            nearest = int(self._pitches[np.argmin(np.abs(self._pitches - note.pitch))])
            if abs(nearest - note.pitch) > MAX_SHIFT:
                return None
            clips, ratio = self._by_pitch[nearest], 2.0 ** ((note.pitch - nearest) / 12.0)
        long = [clip for clip in clips if len(clip.samples) >= note.duration_s * ratio * RATE_HZ]
        clip = (long or clips)[rng.integers(len(long or clips))]
        sound = clip.samples[attack(clip.samples) :].astype(np.float32) / 32768.0
        if ratio != 1.0:
            sound = soxr.resample(sound, RATE_HZ * ratio, RATE_HZ)
        release_s = float(rng.uniform(*RELEASE_S))
        length = round((note.duration_s + release_s) * RATE_HZ)
        if note.pitch is not None and len(sound) > length:
            sound = faded(sound[:length], release_s)
        peak = float(np.abs(sound).max(initial=0.0))
        if peak == 0.0:
            return None
        return sound * np.float32((0.2 + 0.8 * note.velocity) / peak)


class Ensemble:
    """Players of every label that the clips have, and the scores they play. The same draw gives the same excerpt."""

    def __init__(self, clips: Sequence[Clip], scores: Sequence[Score]) -> None:
        by: dict[tuple[str, str, str], list[Clip]] = defaultdict(list)
        for clip in clips:
            if clip.label in LABELS:
                by[clip.label, clip.library, clip.group].append(clip)
        players = [Player(label, own) for (label, _, _), own in by.items()]
        self.players = [p for p in players if p.pitches >= FEWEST_PITCHES or p.label == "drums"]
        self.scores = [score for score in scores if score.parts]
        if not self.players or not self.scores:
            raise CorpusError(
                f"nothing to play: {len(self.players)} instruments with notes of known pitch, {len(self.scores)} scores"
            )
        self._able: dict[tuple[int, int], list[Player]] = {}  # who can play a part of a score

    def excerpt(
        self, rng: np.random.Generator, seconds: float, least: int = 2, most: int = 4
    ) -> tuple[Score, float, list[Stem]]:
        """A score, where in it, and `seconds` of `least` to `most` of its parts with as many labels as can be.

        Raises CorpusError if no score has that many parts that can be played.
        """
        for _ in range(200):
            index = int(rng.integers(len(self.scores)))
            score = self.scores[index]
            able = [number for number in range(len(score.parts)) if self._who(index, number)]
            if len(able) < least:
                continue
            count = int(rng.integers(least, min(most, len(able)) + 1))
            start_s = float(rng.uniform(0.0, max(0.0, score.duration_s - seconds)))
            stems = [
                stem
                for number in sorted(rng.choice(able, count, replace=False))
                if (stem := self._stem(rng, index, int(number), start_s, seconds)) is not None
            ]
            if len({stem.label for stem in stems}) >= least:
                return score, start_s, levelled(rng, stems)
        raise CorpusError(f"no {least} parts of these scores can be played with these notes")

    def _who(self, index: int, number: int) -> list[Player]:
        """Players for a part: of its own instrument where one can play it, else all whose range holds it."""
        if (index, number) not in self._able:
            part = self.scores[index].parts[number]
            label = label_of(part.instrument) if part.instrument else None
            able = [player for player in self.players if player.covers(part) >= COVERED]
            self._able[index, number] = [player for player in able if player.label == label] or able
        return self._able[index, number]

    def _stem(self, rng: np.random.Generator, index: int, number: int, start_s: float, seconds: float) -> Stem | None:
        """None if the part rests throughout. Labels are equally likely, then the players of the label."""
        part, able = self.scores[index].parts[number], self._who(index, number)
        labels = sorted({player.label for player in able})
        label = labels[rng.integers(len(labels))]
        own = [player for player in able if player.label == label]
        player = own[rng.integers(len(own))]
        samples = np.zeros(round(seconds * RATE_HZ), np.float32)
        spans = []
        for note in part.notes:
            at = round((note.onset_s - start_s) * RATE_HZ)
            if not 0 <= at < len(samples):
                continue
            sound = player.play(rng, note)
            if sound is not None:
                sound = sound[: len(samples) - at]
                samples[at : at + len(sound)] += sound
                spans.append((at, at + len(sound)))
        if not spans:
            return None
        return Stem(part.name, player.label, player.library, player.group, samples, spans)


def levelled(rng: np.random.Generator, stems: Sequence[Stem], peak: float = 0.9) -> list[Stem]:
    """Each part's power while it plays equal but for LEVELS_DB, and all so that their sum stays below `peak`."""
    scaled = []
    for stem in stems:
        playing = np.zeros(len(stem.samples), bool)
        for start, stop in stem.notes:
            playing[start:stop] = True
        rms = float(np.sqrt(np.mean(np.square(stem.samples[playing]))))
        scaled.append(stem.samples * np.float32(10.0 ** (rng.uniform(*LEVELS_DB) / 20.0) / (rms + 1e-9)))
    loudest = max(float(np.abs(np.sum(scaled, axis=0)).max()), *(float(np.abs(one).max()) for one in scaled), 1e-9)
    return [
        Stem(s.part, s.label, s.library, s.group, one * np.float32(peak / loudest), s.notes)
        for s, one in zip(stems, scaled, strict=True)
    ]
