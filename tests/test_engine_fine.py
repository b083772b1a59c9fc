"""The second, finer look of a front end: an ear of its own beside the first, whatever the chunks and the class."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from engine.config import FrontEnd
from engine.ear import Ear
from engine.pipeline import Pipeline
from engine.pool import Pool
from engine.snapshot import SnapshotError
from engine.weights import Layer, Model, from_bytes, to_bytes
from tests.synth import silence, tone

COARSE = FrontEnd(bands=20, fibre_gains=(0.5, 2.0), inhibition=0.3, change_gain=4.0)
FINE = FrontEnd(
    bands=20, fibre_gains=(0.5, 2.0), inhibition=0.3, change_gain=4.0,
    fine_samples=2048, fine_hops=4, fine_bands=40, fine_gains=(1.0,),
)  # fmt: skip

LABELS = tuple("abcdefgh")


@pytest.fixture(scope="module")
def sound() -> NDArray[np.float32]:
    """Three seconds of chords and rests with a little noise."""
    notes = [tone(hz, 0.3) + tone(1.5 * hz, 0.3, amplitude=0.1) for hz in (220, 247, 1_000, 330, 2_500, 440, 230)]
    clean = np.concatenate([*(piece for note in notes for piece in (note, silence(0.1))), silence(0.2)])
    random = np.random.default_rng(1)
    return (clean + random.normal(0, 0.003, len(clean))).astype(np.float32)


@pytest.fixture(scope="module")
def model() -> Model:
    """Random weights, so that every fibre matters."""
    random = np.random.default_rng(3)

    def layer(fan_in: int, width: int, reset: str) -> Layer:
        return Layer(
            weight=random.integers(-40, 41, (fan_in, width)).astype(np.int8),
            bias=random.integers(-5, 6, width).astype(np.int32),
            shift=6,
            beta=np.full(width, 0.9, np.float32),
            threshold=np.ones(width, np.float32),
            reset=reset,
        )

    return Model(
        name="fine", version="1", front_end=FINE, labels=LABELS, families=LABELS, on=(0.55,) * 8, off=(0.45,) * 8,
        layers=(layer(FINE.fibres, 24, "subtract"), layer(24, 8, "none")),
    )  # fmt: skip


def test_the_first_look_is_the_ear_without_it_and_the_second_an_ear_of_its_own(sound: NDArray[np.float32]) -> None:
    features, spikes = Ear(FINE).feed(sound)
    alone, first = Ear(COARSE).feed(sound)
    assert FINE.fine is not None
    _, second = Ear(FINE.fine).feed(sound)
    own = COARSE.fibres
    assert FINE.fibres == own + FINE.fine.fibres == 80 + 120
    assert np.array_equal(features, alone)
    assert np.array_equal(spikes[:, :own], first)
    assert np.array_equal(spikes[3::4, own:], second)
    assert 0.02 < second.mean() < 0.9
    for k in range(3):
        assert not spikes[k::4, own:].any()


def test_the_second_look_ends_at_the_newest_sample() -> None:
    """A frame of 2 048 samples that came one sample late would hardly differ: half a minute of noise tells."""
    assert FINE.fine is not None
    noise = np.random.default_rng(2).normal(0, 0.1, 30 * 16_000).astype(np.float32)
    assert np.array_equal(Ear(FINE).feed(noise)[1][3::4, COARSE.fibres :], Ear(FINE.fine).feed(noise)[1])


@settings(max_examples=20, deadline=None)
@given(cuts=st.lists(st.integers(0, 47_999), max_size=12))
def test_any_chunking_gives_the_same_spikes(cuts: list[int], sound: NDArray[np.float32]) -> None:
    ear = Ear(FINE)
    rows = [ear.feed(part)[1] for part in np.split(sound, sorted(cuts))]
    assert np.array_equal(np.concatenate(rows), Ear(FINE).feed(sound)[1])


def test_pipeline_pool_snapshot_and_file_agree(model: Model, sound: NDArray[np.float32]) -> None:
    pipeline = Pipeline(model)
    expected = pipeline.feed(sound) + pipeline.flush()
    assert len(expected) > 4
    again = Pipeline(from_bytes(to_bytes(model)))
    assert again.feed(sound) + again.flush() == expected

    pool = Pool(model, 2)
    one, other = pool.open(), pool.open()
    heard = []
    for at in range(0, len(sound), 700):
        told = pool.feed({one: sound[at : at + 700][::-1], other: sound[at : at + 700]})
        heard += [event for stream, event in told if stream == other]
    assert heard + pool.flush(other) == expected

    cut = 10_007  # within a hop, between two fine frames
    first, second = Pipeline(model), Pipeline(model)
    events = first.feed(sound[:cut])
    second.restore(first.snapshot())
    assert events + second.feed(sound[cut:]) + second.flush() == expected


def test_a_snapshot_of_a_model_without_it_is_refused(model: Model) -> None:
    from dataclasses import replace

    fan_in = COARSE.fibres
    first = replace(model.layers[0], weight=model.layers[0].weight[:fan_in])
    plain = replace(model, front_end=COARSE, layers=(first, *model.layers[1:]))
    with pytest.raises(SnapshotError, match="model"):
        Pipeline(plain).restore(Pipeline(model).snapshot())


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"fine_samples": 512}, "fine_samples=512"),
        ({"fine_samples": 3000}, "the fine look: frame_samples=3000"),
        ({"fine_hops": 0}, "fine_hops=0"),
        ({"fine_hops": 16}, "the fine look: hop_samples=2560"),
        ({"fine_bands": 7}, "the fine look: bands=7"),
        ({"fine_gains": ()}, "the fine look: fibre_gains"),
        ({"fine_bands": 40.0}, "fine_bands=40.0 is not a whole number"),
    ],
)
def test_a_fine_look_that_cannot_be_is_refused(wrong: dict[str, object], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        FrontEnd(**{"fine_samples": 2048, **wrong})  # type: ignore[arg-type]
