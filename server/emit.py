"""What a session tells between events: level, scores, frames, each at its own rate by the sample clock.

Knows the stream's meters and the engine's trace; nothing of sequence numbers or sockets.
"""

import math
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from engine.latch import score_of
from engine.pipeline import TRACE_FRAMES
from server.commands import Emit
from server.frames import DB_CEIL, DB_FLOOR, EVIDENCE_SCALE, FrameLayout, layout, pack
from server.hearing import BLOCK_FRAMES, Hearing
from server.level import LevelMeter
from server.picture import Picture
from server.protocol import FrameInfo, Scores, Suppressed, level


class Emitter:
    def __init__(self, hearing: Hearing, emit: Emit) -> None:
        self._hearing = hearing
        self._explain = emit.explain
        self._meter = LevelMeter(hearing.rate_hz / emit.levels_hz if emit.levels_hz else math.inf, hearing.meter)
        self._scores_every = layout(hearing.model, emit.scores_hz).every if emit.scores_hz else None
        self._layout: FrameLayout | None = layout(hearing.model, emit.frames_hz) if emit.frames_hz else None
        self._told = 0  # engine frames of this stretch that were looked at
        self._picture: Picture | None = None
        if self._layout is not None and (emit.wave or emit.linear):
            every, front_end = self._layout.every, hearing.model.front_end
            self._picture = Picture(front_end, every, BLOCK_FRAMES, wave=emit.wave, linear=emit.linear)
            self._layout = replace(self._layout, wave=self._picture.pairs, linear=self._picture.bins)
            hearing.tap = self._picture.feed

    def frame_info(self) -> FrameInfo | None:
        form = self._layout
        if form is None:
            return None
        return FrameInfo(
            bands=form.bands,
            spikes=form.spikes,
            labels=form.labels,
            bytes=form.bytes,
            every=form.every,
            db_floor=DB_FLOOR,
            db_ceil=DB_CEIL,
            evidence_scale=EVIDENCE_SCALE,
            layers=list(form.layers),
            fine=fine.fibres if (fine := self._hearing.model.front_end.fine) else 0,
            wave=form.wave,
            linear=form.linear,
            linear_hz=self._hearing.model.front_end.sample_rate_hz / self._hearing.model.front_end.frame_samples,
        )

    def restart(self) -> None:
        """After a gap the engine counts its frames anew."""
        self._told = 0
        if self._picture is not None:
            self._picture.restart()

    def go_on(self) -> None:
        """The engine was restored in the middle of a stretch."""
        self._told = self._hearing.pipeline.frames
        if self._picture is not None:
            self._picture.restart(self._hearing.pipeline.samples)

    def chunk(self, samples: NDArray[np.float32]) -> list[dict[str, Any]]:
        """After each chunk, (n, channels): at most one level, of all that came since the last."""
        self._meter.feed(samples)
        return [level(self._hearing.sample, *self._meter.read())] if self._meter.due else []

    def leave_pool(self) -> None:
        """From now on the stream is heard by itself."""
        self._meter.leave()

    def block(self) -> list[Scores | bytes]:
        """After each block that the engine heard: the newest scores if due, and all frames that are due."""
        if self._scores_every is None and self._layout is None:
            return []
        first, self._told = self._told, self._hearing.pipeline.frames
        return [*self._scores(first), *self._frames(first)]

    def _scores(self, first: int) -> list[Scores]:
        if self._scores_every is None or (due := _last_multiple(first, self._told, self._scores_every)) is None:
            return []
        evidence = self._hearing.pipeline.trace[due % TRACE_FRAMES]["evidence"].tolist()
        scores = [round(score_of(v), 4) for v in evidence]
        top = sorted(zip(self._hearing.model.labels, scores, strict=True), key=lambda pair: -pair[1])
        suppressed = self._suppressed(scores) if self._explain else []
        return [Scores(sample=self._sample_of(due + 1), top=top, suppressed=suppressed)]

    def _suppressed(self, scores: list[float]) -> list[Suppressed]:
        """The labels with evidence that are not told as events: too little of it, too soon, or switched off."""
        rules, told = self._hearing.pipeline.settings, self._hearing.open_labels
        resting = self._hearing.pipeline.resting_labels
        held: list[Suppressed] = []
        for i, label in enumerate(self._hearing.model.labels):
            if label not in told and scores[i] > rules.off[i]:
                enough = scores[i] > rules.on[i]
                why: Literal["below_threshold", "refractory", "muted"] = "below_threshold"
                if not rules.enabled[i]:
                    why = "muted"
                elif enough and label in resting:
                    why = "refractory"
                if why != "muted" or enough:
                    held.append(Suppressed(label=label, score=scores[i], why=why))
        return sorted(held, key=lambda one: -one.score)

    def _frames(self, first: int) -> list[bytes]:
        if self._layout is None:
            return []
        due = np.arange(-(-first // self._layout.every) * self._layout.every, self._told, self._layout.every)
        if not len(due):
            return []
        rows, first_sample = self._hearing.pipeline.trace[due % TRACE_FRAMES], self._sample_of(int(due[0]))
        if self._picture is None:
            return [pack(rows, first_sample)]
        return [pack(rows, first_sample, *self._picture.rows(due))]

    def _sample_of(self, frame: int) -> int:
        return self._hearing.clock(frame * self._hearing.model.front_end.hop_samples)


def _last_multiple(first: int, end: int, step: int) -> int | None:
    """The greatest multiple of `step` in first..end (end excluded), or None."""
    last = (end - 1) // step * step
    return last if last >= first else None
