"""An hour of continuous sound: spikes and membranes are snntorch's, the front end is float64's within rounding.

What makes an hour cheap, and no less a proof. snntorch's Leaky keeps nothing but its membrane: a step is a function of
the membrane before and of the current. So if one step of snntorch, made from the engine's membranes before frame t,
gives the engine's membranes and spikes of frame t, for every t, and both start at rest, then both are equal to the
end, by induction over t. These steps do not wait for one another: snntorch makes six thousand at once, in its own code.
The same holds for the layers: layer i is given the spikes of layer i - 1 that were just shown to be equal. Elementwise
float32 arithmetic has the same bits in a block as alone; the first minute, which snntorch steps frame by frame, shows
it.
"""

from collections.abc import Iterator

import numpy as np
import pytest

from engine.config import FrontEnd
from engine.ear import Ear
from engine.lif import RESETS
from engine.pipeline import Pipeline
from engine.weights import Layer, Model
from tests import reference
from tests.hour import RATE, minute_of_sound
from tests.snn import Recorder, Snn, assert_same_bits, model_of, random_layer

MINUTES = 60


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    torch = pytest.importorskip("torch", reason="torch is not installed: pip install torch==2.13.0 snntorch==1.0.0")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def hour_layers() -> tuple[Layer, ...]:
    """64-128-128-16, every reset, with and without its delay, a beta and a threshold for every neuron."""
    rng = np.random.default_rng(11)
    return (
        random_layer(rng, 64, 128, "subtract", True, rate=0.03),
        random_layer(rng, 128, 128, "zero", False, rate=0.03),
        random_layer(rng, 128, 16, "none", True, rate=0.03),
    )


def test_an_hour_of_sound_has_snntorchs_spikes_and_membranes_to_the_bit() -> None:
    layers = hour_layers()
    model = model_of(layers, FrontEnd())
    recorder, whole, snn = Recorder(model), Pipeline(model), Snn(layers)
    fired = np.zeros(model.neurons, np.int64)
    for minute in range(MINUTES):
        samples = minute_of_sound(minute)
        _, heard, spikes, v, before = recorder.feed(samples)
        if minute == 0:
            stepped_spikes, stepped_v = snn.steps(heard)
            np.testing.assert_array_equal(spikes, stepped_spikes)
            assert_same_bits(v, stepped_v)
        expected_spikes, expected_v = snn.step_from_each(heard, spikes, before)
        np.testing.assert_array_equal(spikes, expected_spikes)
        assert_same_bits(v, expected_v)
        fired += spikes.sum(axis=0, dtype=np.int64)
        whole.feed(samples)
        assert whole._state.tobytes() == recorder.pipeline._state.tobytes()  # by the minute as by the hop
    assert recorder.pipeline.frames == 360_000
    rate = fired / 360_000
    assert np.mean((rate > 0.001) & (rate < 0.9)) > 0.8  # the neurons were not asleep


def test_an_hour_of_features_is_float64s_and_the_cochlea_is_exact() -> None:
    """Features against float64; spikes exactly those of the naive cochlea on the same features.

    Tolerance: a normalised energy, the fourth power of a feature, is within 2e-6 of the frame's largest. Against a
    cochlea that computes in float64 from the samples on, some spikes differ (measured: 52 of 6 million): where a
    membrane comes within rounding of the threshold, float32 may fall on the other side, and in a note that is held
    it does so for many frames.
    """
    config = FrontEnd(fibre_gains=(1.0, 2.0), change_gain=4.0)
    ear, listener = Ear(config), reference.Listener(config)
    exact, ideal = reference.Cochlea(config, np.float32), reference.Cochlea(config, np.float64)
    differing = total = 0
    worst = 0.0
    for minute in range(MINUTES):
        samples = minute_of_sound(minute)
        features, spikes = ear.feed(samples)
        float64 = listener.feed(samples)
        largest = np.maximum((float64**4).max(axis=1), 1e-30)
        worst = max(worst, float((np.abs(features.astype(np.float64) ** 4 - float64**4).max(axis=1) / largest).max()))
        np.testing.assert_array_equal(spikes, exact.feed(features))
        differing += int((spikes != ideal.feed(float64)).sum())
        total += int(spikes.sum())
    assert total > 0.02 * 360_000 * config.fibres
    assert worst < 2e-6
    assert differing < 1e-4 * total


@pytest.mark.parametrize("each", [True, False], ids=["per-neuron", "scalar"])
@pytest.mark.parametrize("delay", [True, False], ids=["delayed", "at-once"])
@pytest.mark.parametrize("reset", sorted(RESETS))
def test_a_network_with_each_reset_equals_snntorch_to_the_bit(reset: str, delay: bool, each: bool) -> None:
    """Two layers: the first as named, the second with the next reset and the other delay."""
    rng = np.random.default_rng(12)
    following = sorted(RESETS)[(sorted(RESETS).index(reset) + 1) % 3]
    layers = (random_layer(rng, 24, 33, reset, delay, each), random_layer(rng, 33, 7, following, not delay, each))
    if each:  # a threshold may be zero or less: then a neuron at rest is already beyond it
        for layer in layers:
            layer.threshold[:3] = (0.0, -0.25, -1.0)
    recorder = Recorder(model_of(layers, FrontEnd(bands=24)))
    _, heard, spikes, v, _ = recorder.feed(minute_of_sound(0)[: 20 * RATE])
    expected_spikes, expected_v = Snn(layers, each).steps(heard)
    np.testing.assert_array_equal(spikes, expected_spikes)
    assert_same_bits(v, expected_v)
    assert 0.01 < spikes[:, :33].mean() < 0.9


def test_a_minute_through_the_shipped_model_equals_snntorch_to_the_bit(orchestra: Model) -> None:
    _, heard, spikes, v, _ = Recorder(orchestra).feed(minute_of_sound(3))
    expected_spikes, expected_v = Snn(orchestra.layers).steps(heard)
    np.testing.assert_array_equal(spikes, expected_spikes)
    assert_same_bits(v, expected_v)
    assert spikes[:, :384].mean() > 0.005
