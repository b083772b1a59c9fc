"""Every size that the engine promises: frames, hops, bands, rates; networks of one to four layers of odd widths."""

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from engine.config import FrontEnd
from engine.ear import Ear
from engine.pipeline import Pipeline
from engine.weights import Layer, Model
from tests import reference
from tests.hour import minute_of_sound
from tests.snn import Recorder, Snn, assert_same_bits, model_of, random_layer

# Frame, bands and rate in hertz: a part of all pairs, together with those of NETWORKS and the usual 512, 64, 16 kHz of
# other tests: each number of bands with two frames. Each of them with all three hops, which cost no compilation.
FRONT_ENDS = [(512, 96, 22_050), (1024, 40, 16_000), (2048, 128, 48_000)]
# ... and the widths of the layers behind them: 1 to 4 layers
NETWORKS = {
    (512, 40, 22_050): (1,),
    (1024, 64, 48_000): (130, 3),
    (2048, 96, 16_000): (257, 1, 17),
    (512, 128, 16_000): (3, 100, 33, 5),
}
HOPS_MS = (5, 10, 20)


def front_end(frame: int, bands: int, rate: int, hop_ms: int) -> FrontEnd:
    return FrontEnd(
        sample_rate_hz=rate, frame_samples=frame, hop_samples=round(rate * hop_ms / 1000), bands=bands,
        low_hz=40.0, high_hz=min(16_000.0, rate / 2),
    )  # fmt: skip


@cache
def sound() -> NDArray[np.float32]:
    """Eight seconds at 16 kHz, with a rest in the middle; at other rates the same numbers, faster."""
    samples = minute_of_sound(0)[: 8 * 16_000].copy()
    samples[60_000:70_000] = 0
    return samples


def assert_front_end_is_right(config: FrontEnd, features: NDArray[np.float32], heard: NDArray[np.uint8]) -> None:
    """Normalised energies, fourth powers of features, within 2e-6 of the frame's largest; the cochlea exactly."""
    float64 = reference.features(sound(), config)
    assert features.shape == float64.shape == (len(sound()) // config.hop_samples, config.bands)
    largest = np.maximum((float64**4).max(axis=1, keepdims=True), 1e-30)
    worst = float((np.abs(features.astype(np.float64) ** 4 - float64**4) / largest).max())
    assert worst < 2e-6
    np.testing.assert_array_equal(heard, reference.Cochlea(config, np.float32).feed(features))
    assert heard.mean() > 0.005


@pytest.mark.parametrize(("frame", "bands", "rate"), FRONT_ENDS)
def test_a_front_end_of_each_size_is_the_float64_reference(frame: int, bands: int, rate: int) -> None:
    for hop_ms in HOPS_MS:
        config = front_end(frame, bands, rate, hop_ms)
        assert_front_end_is_right(config, *Ear(config).feed(sound()))


def odd_model(frame: int, bands: int, rate: int, hop_ms: int) -> Model:
    widths = (bands, *NETWORKS[frame, bands, rate])
    rng = np.random.default_rng(len(widths))
    kinds = [("subtract", True), ("zero", True), ("subtract", False), ("none", True)][-len(widths) + 1 :]
    layers: tuple[Layer, ...] = tuple(
        random_layer(rng, fan_in, n, *kind, rate=0.05)
        for fan_in, n, kind in zip(widths[:-1], widths[1:], kinds, strict=True)
    )
    return model_of(layers, front_end(frame, bands, rate, hop_ms))


@pytest.mark.parametrize(("frame", "bands", "rate"), NETWORKS)
def test_a_network_of_odd_widths_equals_snntorch_to_the_bit(frame: int, bands: int, rate: int) -> None:
    for hop_ms in HOPS_MS:
        model = odd_model(frame, bands, rate, hop_ms)
        features, heard, spikes, v, _ = Recorder(model).feed(sound())
        assert_front_end_is_right(model.front_end, features, heard)
        expected_spikes, expected_v = Snn(model.layers).steps(heard)
        np.testing.assert_array_equal(spikes, expected_spikes)
        assert_same_bits(v, expected_v)
        assert spikes.any()


@given(sizes=st.lists(st.integers(1, 20_000), max_size=30))
@settings(max_examples=15, deadline=None)
def test_an_odd_shape_gives_the_same_bits_in_any_chunking(sizes: list[int]) -> None:
    model = odd_model(2048, 96, 16_000, 20)
    whole, chunked = Pipeline(model), Pipeline(model)
    expected = whole.feed(sound())
    events, at = [], 0
    for size in [*sizes, len(sound())]:
        events += chunked.feed(sound()[at : at + size])
        at += size
    assert events == expected
    assert chunked._state.tobytes() == whole._state.tobytes()
    assert chunked.trace.tobytes() == whole.trace.tobytes()


NAN = float("nan")


@pytest.mark.parametrize(
    ("field", "allowed", "refused"),
    [
        ("sample_rate_hz", (16_000, 96_000), (7_999, 96_001, 0, -16_000)),
        ("frame_samples", (512, 1024, 2048, 4096), (256, 513, 1000, 8192, 0)),
        ("hop_samples", (16, 512), (15, 513, 0, -160, 160.5)),
        ("bands", (8, 256), (7, 257, 0)),
        ("low_hz", (0.1, 7_999.0), (0.0, 8_000.0, -1.0, NAN)),
        ("high_hz", (50.1, 8_000.0), (50.0, 8_000.1, NAN)),
        ("gain_release_s", (0.001, 60.0), (0.0009, 60.1, NAN)),
        ("gate_dbfs", (-120.0, 0.0), (-120.1, 0.1, NAN)),
        ("inhibition", (0.0, 0.99), (1.0, -0.1, NAN)),
        ("inhibition_reach", (1, 16), (0, 17)),
        ("fibre_gains", ((100.0,), (0.1,) * 8), ((), (0.0,), (100.1,), (1.0,) * 9, (1.0, NAN))),
        ("change_gain", (0.0, 100.0), (-0.1, 100.1, NAN)),
        ("cochlea_beta", (0.0, 0.99), (1.0, -0.1, NAN)),
    ],
)
def test_a_front_end_has_limits_and_names_what_is_beyond(
    field: str, allowed: tuple[object, ...], refused: tuple[object, ...]
) -> None:
    for value in allowed:
        FrontEnd(**{field: value})  # type: ignore[arg-type]
    for value in refused:
        with pytest.raises(ValueError, match=f"{field}=") as caught:
            FrontEnd(**{field: value})  # type: ignore[arg-type]
        assert str(value) in str(caught.value)
