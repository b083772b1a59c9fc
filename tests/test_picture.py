"""What `frame` messages may carry beside the bands: the extremes of the samples, and a linear spectrum."""

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.weights import Model
from server.frames import HEADER
from tests.synth import pcm16, silence, tone
from tests.test_session import Client

HOP = 160  # samples of the toy model's hop, at 16 kHz
PAIRS, BINS = 4, 256


def heard(model: Model, sound: NDArray[np.float32], chunk_bytes: int, **emit: object) -> tuple[dict, NDArray[np.uint8]]:
    """The layout told, and the rows of all frames."""
    client = Client(model, emit={"frames_hz": 100, **emit})
    client.hear(pcm16(sound), chunk_bytes)
    client.send("stop")
    (started,) = client.of("started")
    rows = [
        np.frombuffer(out, np.uint8, offset=HEADER.size).reshape(-1, started["frame"]["bytes"])
        for out in client.told
        if isinstance(out, bytes)
    ]
    return started["frame"], np.vstack(rows)


@pytest.mark.parametrize("every", [1, 2])
def test_the_extremes_of_each_frame_are_those_of_its_samples(toy: Model, every: int) -> None:
    sound = np.random.default_rng(3).uniform(-0.5, 0.5, 60 * HOP).astype(np.float32)
    form, rows = heard(toy, sound, 1000, wave=True, frames_hz=100 / every)
    assert (form["wave"], form["linear"], len(rows)) == (PAIRS, 0, 60 // every)
    pairs = rows[:, -4 * PAIRS :].copy().view("<i2").reshape(-1, PAIRS, 2)
    given = np.frombuffer(pcm16(sound), "<i2")
    for k, row in enumerate(pairs):
        end = (k * every + 1) * HOP
        span = np.zeros(every * HOP, np.int16)
        inside = given[max(0, end - every * HOP) : end]
        span[len(span) - len(inside) :] = inside
        quarters = span.reshape(PAIRS, -1)
        assert np.abs(row[:, 0] - quarters.min(1)).max() <= 1
        assert np.abs(row[:, 1] - quarters.max(1)).max() <= 1


def test_a_sine_of_full_scale_stands_at_its_frequency_with_0_db(toy: Model) -> None:
    form, rows = heard(toy, tone(1000, 1, amplitude=1.0), 640, linear=True)
    assert (form["wave"], form["linear"]) == (0, BINS)
    spectrum = rows[60, -BINS:]
    assert np.argmax(spectrum) == round(1000 / (8000 / BINS))
    assert spectrum.max() >= 253
    assert spectrum[150:].max() < 120  # far from it there is nothing


@pytest.mark.parametrize("chunk_bytes", [2, 642, 10**6])
def test_the_picture_is_the_same_in_any_chunking(toy: Model, chunk_bytes: int) -> None:
    seconds = 0.2 if chunk_bytes == 2 else 2.0
    sound = np.concatenate([silence(0.05), tone(440, seconds)])
    _, rows = heard(toy, sound, chunk_bytes, wave=True, linear=True)
    _, whole = heard(toy, sound, 640, wave=True, linear=True)
    assert np.array_equal(rows, whole)


def test_who_does_not_ask_gets_frames_as_they_were(toy: Model) -> None:
    sound = tone(440, 0.5)
    form, rows = heard(toy, sound, 640)
    _, more = heard(toy, sound, 640, wave=True, linear=True)
    assert (form["wave"], form["linear"]) == (0, 0)
    assert np.array_equal(rows, more[:, : form["bytes"]])
    assert form["layers"] == [toy.front_end.fibres, *(len(layer.bias) for layer in toy.layers)]
    assert sum(form["layers"]) == form["spikes"]


def test_after_a_gap_nothing_of_what_was_before_it_is_in_the_picture(toy: Model) -> None:
    client = Client(toy, emit={"frames_hz": 100, "wave": True, "linear": True})
    client.hear(pcm16(tone(440, 0.5)), 640)
    client.send("gap", samples=16_000, reason="capture_overflow")
    before = len(client.told)
    client.hear(pcm16(silence(0.2)), 640)
    after = [out for out in client.told[before:] if isinstance(out, bytes)]
    assert after
    for out in after:
        rows = np.frombuffer(out, np.uint8, offset=HEADER.size).reshape(HEADER.unpack_from(out)[2], -1)
        assert not rows[:, -4 * PAIRS - BINS :].any()
