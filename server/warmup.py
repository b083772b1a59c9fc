"""Compile every kernel that a model needs before the first sound comes. Knows the way of a stream; opens nothing."""

import numpy as np

from engine.weights import Model
from server.emit import Emitter
from server.hearing import Hearing
from server.protocol import Emit


def hear_noise(model: Model) -> None:
    """Hear a moment of noise as a session would. About 15 s the first time on a machine; then the code is cached."""
    rate = model.front_end.sample_rate_hz
    noise = np.random.default_rng(0).standard_normal(rate // 4).astype(np.float32) * np.float32(0.1)
    hearing = Hearing(model, rate, "warm-up")
    emitter = Emitter(hearing, Emit(frames_hz=100))
    for _ in hearing.feed(noise):
        emitter.block()
    hearing.finish("stop")
