"""The gammatone ear and the echoic memory: exact filters, the same bits in any chunks, nothing remembered wrongly."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from engine.echoic import EchoicMemory, steps_back
from engine.gammatone import GammatoneEar, GammatoneFrontEnd, centres_hz, erb_hz
from tests.synth import silence, tone

SMALL = GammatoneFrontEnd(bands=12, hop_samples=100)


def noise(n: int, seed: int = 1) -> NDArray[np.float32]:
    return 0.1 * np.random.default_rng(seed).standard_normal(n, dtype=np.float32)


def cut(n: int, at: list[float]) -> list[int]:
    return sorted(round(share * n) for share in at)


def reference(samples: NDArray[np.float32], config: GammatoneFrontEnd) -> NDArray[np.float64]:
    """Band energies of each hop, by convolution with the filters' impulse response in float64."""
    n = np.arange(len(samples))
    rows = []
    for centre in centres_hz(config):
        b = 2.0 * np.pi * erb_hz(centre) / 0.98175 / config.sample_rate_hz
        ring = (n + 1) * (n + 2) * (n + 3) / 6.0 * np.exp(-b * n) * (1.0 - np.exp(-b)) ** 4
        ring = ring * np.exp(2j * np.pi * centre / config.sample_rate_hz * n)
        heard = np.convolve(samples.astype(np.float64), ring)[: len(samples)]
        rows.append(2.0 * np.mean(np.abs(heard.reshape(-1, config.hop_samples)) ** 2, axis=1))
    return np.array(rows).T


def test_the_bands_are_gammatones() -> None:
    ear, sound = GammatoneEar(SMALL), noise(2_000)
    expected = reference(sound, SMALL)
    for hop, row in zip(sound.reshape(-1, SMALL.hop_samples), expected, strict=True):
        ear.feed(hop)
        np.testing.assert_allclose(ear._state["energy"][0], row, rtol=2e-4, atol=1e-9)


def test_a_tone_at_a_centre_has_its_mean_square_there_and_nowhere_more() -> None:
    config = GammatoneFrontEnd()
    for band in (3, 50, 97):
        ear = GammatoneEar(config)
        ear.feed(tone(float(centres_hz(config)[band]), 1.0, amplitude=0.5))
        energy = ear._state["energy"][0]
        assert energy.argmax() == band
        assert energy[band] == pytest.approx(0.125, rel=1e-3)


@settings(deadline=None, max_examples=20)
@given(st.lists(st.floats(0.0, 1.0), max_size=8))
def test_sound_in_any_chunks_gives_the_same_bits(at: list[float]) -> None:
    sound = noise(3_217)
    whole = GammatoneEar(SMALL).feed(sound)
    ear = GammatoneEar(SMALL)
    pieces = np.concatenate([ear.feed(piece) for piece in np.split(sound, cut(len(sound), at))])
    assert np.array_equal(pieces, whole)
    assert len(whole) == 32


@pytest.mark.parametrize("size", [1, 98, 99, 100, 101])
def test_sound_in_pieces_of_about_a_hop_gives_the_same_bits(size: int) -> None:
    sound, ear = noise(1_517), GammatoneEar(SMALL)
    pieces = [ear.feed(sound[at : at + size]) for at in range(0, len(sound), size)]
    assert np.array_equal(np.concatenate(pieces), GammatoneEar(SMALL).feed(sound))


def test_features_do_not_depend_on_the_level() -> None:
    sound = noise(4_000)
    assert np.array_equal(GammatoneEar(SMALL).feed(sound), GammatoneEar(SMALL).feed(sound * np.float32(0.25)))


def test_silence_stays_silent_and_a_sound_rings_out_to_nothing() -> None:
    ear = GammatoneEar(SMALL)
    assert not ear.feed(silence(0.5)).any()
    ear.feed(noise(1_600))
    ear.feed(silence(1.0))
    assert not ear._state["real"].any()  # no denormal is left that slows the filters
    assert not ear._state["imag"].any()


def test_reset_is_a_new_ear_and_a_new_memory() -> None:
    ear, memory = GammatoneEar(SMALL), EchoicMemory(SMALL.bands, 3)
    first = memory.feed(ear.feed(noise(1_050)))
    ear.reset()
    memory.reset()
    assert np.array_equal(memory.feed(ear.feed(noise(1_050))), first)


def test_the_memory_looks_back_by_growing_steps_and_sees_silence_before_the_first_row() -> None:
    assert steps_back(8, 2.0).tolist() == [128, 64, 32, 16, 8, 4, 2, 1]
    assert steps_back(3, 2.5).tolist() == [6, 2, 1]
    assert not EchoicMemory(2, 3).feed(np.ones((1, 2), np.float32))[0, :2].any()


@settings(deadline=None, max_examples=20)
@given(st.lists(st.floats(0.0, 1.0), max_size=6), st.sampled_from([(4, 3.0), (5, 2.0), (3, 1.6)]))
def test_rows_in_any_chunks_give_the_same_views(at: list[float], kind: tuple[int, float]) -> None:
    rows = np.random.default_rng(2).random((61, 5), np.float32)
    memory, back = EchoicMemory(5, *kind), steps_back(*kind)
    views = np.concatenate([memory.feed(piece) for piece in np.split(rows, cut(len(rows), at))])
    for k in range(len(rows)):
        for i, step in enumerate(back):
            expected = rows[k + 1 - step] if k + 1 >= step else np.zeros(5, np.float32)
            assert np.array_equal(views[k, i], expected)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (lambda: GammatoneEar(SMALL).feed(np.array([0.0, np.nan], np.float32)), "sample 1 is nan"),
        (lambda: GammatoneFrontEnd(high_hz=7_900.0), "high_hz=7900"),
        (lambda: GammatoneFrontEnd(bands=1), "bands=1"),
        (lambda: EchoicMemory(4).feed(np.zeros((2, 5), np.float32)), r"\(2, 5\)"),
        (lambda: EchoicMemory(4).feed(np.full((1, 4), np.inf, np.float32)), "not finite"),
        (lambda: steps_back(8, 1.1), "same row"),
        (lambda: steps_back(20, 2.0), "524288 rows back"),
        (lambda: steps_back(1, 2.0), "steps=1"),
    ],
)
def test_what_cannot_be_heard_or_remembered_is_refused(wrong, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        wrong()
