"""What the service adds to the engine: microseconds for each 20 ms chunk of one session, without sockets.

Run: python -m tests.bench_session [MODEL]. The engine alone is measured in the same run, on the same chunks.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from pydantic_core import to_json

from engine.pipeline import Pipeline
from engine.warmup import warm
from engine.weights import Model, load
from server.session import Session
from server.settings import Settings
from tests.synth import low_high, pcm16

CHUNK_S = 0.02
REPEATS = 7
EMITS = {
    "events only": {"levels_hz": 0},
    "levels (the default)": {},
    "levels, 10 scores and 50 frames a second (the page)": {"scores_hz": 10, "frames_hz": 50},
}


def best_us(run: Callable[[], int]) -> float:
    """The best of some runs, in microseconds for each of the chunks that `run` counts."""
    times = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        chunks = run()
        times.append((time.perf_counter() - began) / chunks * 1e6)
    return min(times)


def engine(model: Model) -> int:
    pipeline = Pipeline(model)
    sound = np.tile(low_high(), 6)
    step = round(16_000 * CHUNK_S)
    starts = range(0, len(sound), step)
    for at in starts:
        pipeline.feed(sound[at : at + step])
    return len(starts)


def session(model: Model, rate: int, emit: dict[str, float]) -> int:
    talk = Session(model, Settings().limits)
    audio = {"encoding": "pcm_s16le", "sample_rate": rate}
    talk.text(json.dumps({"type": "start", "audio": audio, "emit": emit}))
    pcm = pcm16(np.tile(low_high(rate), 6))
    step = round(rate * CHUNK_S) * 2
    starts = range(0, len(pcm), step)
    for at in starts:
        for out in talk.audio(pcm[at : at + step], time.monotonic()):
            if isinstance(out, dict):
                to_json(out)
    return len(starts)


def main() -> None:
    model = load(Path(sys.argv[1]) if len(sys.argv) > 1 else Settings().model)
    warm(model)
    print(f"{model.id}, {model.neurons} neurons, {CHUNK_S * 1000:.0f} ms chunks, best of {REPEATS} runs")
    print(f"{best_us(lambda: engine(model)):8.1f} us  the engine alone, 16 kHz")
    for rate in (16_000, 48_000):
        for name, emit in EMITS.items():
            cost = best_us(lambda rate=rate, emit=emit: session(model, rate, emit))  # type: ignore[misc]
            print(f"{cost:8.1f} us  a session at {rate // 1000} kHz: {name}")


if __name__ == "__main__":
    main()
