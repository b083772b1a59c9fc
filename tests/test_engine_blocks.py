"""Ring, FFT, bands, shared gain, cochlea: closed forms first, then the float64 reference."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.bands import follow_level, mel_table, normalise
from engine.cochlea import change, derived_beta, fire, inhibit, inhibition_kernel
from engine.config import FrontEnd
from engine.ear import Ear, parameters, scratch_fields
from engine.fft import LENGTHS, power_spectrum
from engine.jit import Record, kernel
from engine.ring import newest, push
from engine.stft import window
from tests import reference
from tests.synth import silence, tone


@given(chunks=st.lists(st.integers(1, 32), max_size=30))
@settings(deadline=None)
def test_ring_returns_the_newest_samples_in_order(chunks: list[int]) -> None:
    ring, frame = np.zeros(64, np.float32), np.zeros(32, np.float32)
    written = 0
    for count in chunks:
        push(ring, written, np.arange(written + 1, written + count + 1, dtype=np.float32), 0, count)
        written += count
    newest(ring, written, frame)
    expected = np.maximum(0, np.arange(written - 31, written + 1))
    np.testing.assert_array_equal(frame, expected)


@kernel
def power_of(ear: Record, scratch: Record) -> None:
    power_spectrum(ear[0], scratch[0])


def spectrum(samples: np.ndarray) -> np.ndarray:
    config = FrontEnd(frame_samples=len(samples), hop_samples=len(samples))
    scratch = np.zeros(1, np.dtype(scratch_fields(config), align=True))
    scratch["frame"] = samples
    power_of(parameters(config), scratch)
    return scratch["power"][0].copy()


@pytest.mark.parametrize("n", LENGTHS)
def test_power_spectrum_equals_the_float64_transform(n: int) -> None:
    samples = np.random.default_rng(n).standard_normal(n).astype(np.float32)
    exact = np.abs(np.fft.rfft(samples.astype(np.float64) * window(n))) ** 2
    np.testing.assert_allclose(spectrum(samples), exact, atol=1e-6 * exact.max())


def test_a_tone_on_a_bin_has_its_power_there_and_half_in_each_neighbour() -> None:
    n, k = 512, 32
    power = spectrum(tone(k * 16_000 / n, n / 16_000, amplitude=1.0))
    assert int(np.argmax(power)) == k
    # Hann: the neighbours' amplitude is half, their power a quarter
    assert power[k + 1] / power[k] == pytest.approx(0.25, rel=1e-4)
    assert power[k + 4 :].max() < 1e-6 * power[k]


def test_white_noise_has_its_mean_square_in_every_bin() -> None:
    noise = (0.1 * np.random.default_rng(0).standard_normal((400, 512))).astype(np.float32)
    mean = np.mean([spectrum(frame)[1:-1].mean() for frame in noise])
    assert mean == pytest.approx(0.01, rel=0.02)


@pytest.mark.parametrize("bands", [40, 64, 128])
@pytest.mark.parametrize("frame", [512, 1024, 2048])
def test_every_band_hears_something_and_its_weights_sum_to_one(frame: int, bands: int) -> None:
    table = mel_table(FrontEnd(frame_samples=frame, bands=bands))
    for j in range(bands):
        weights = table.weight[table.offset[j] : table.offset[j] + table.count[j]]
        assert len(weights) >= 1
        assert weights.sum() == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("frame", [512, 1024])
def test_features_equal_the_float64_reference(frame: int) -> None:
    config = FrontEnd(frame_samples=frame)
    rng = np.random.default_rng(1)
    samples = np.concatenate([tone(440, 0.3), silence(0.2), 0.05 * rng.standard_normal(8000)]).astype(np.float32)
    heard, _ = Ear(config).feed(samples)
    # a fourth root near zero has no relative precision: compare to the fourth power of float32's
    np.testing.assert_allclose(heard, reference.features(samples, config), rtol=2e-3, atol=2e-3)


@given(exponent=st.integers(-8, 6))
@settings(max_examples=8, deadline=None)
def test_features_are_the_same_to_the_bit_at_levels_a_power_of_two_apart(exponent: int) -> None:
    config = FrontEnd(gate_dbfs=-120)
    samples = (0.1 * np.random.default_rng(2).standard_normal(8000)).astype(np.float32)
    features, spikes = Ear(config).feed(samples)
    scaled_features, scaled_spikes = Ear(config).feed(samples * np.float32(2.0**exponent))
    np.testing.assert_array_equal(features, scaled_features)
    np.testing.assert_array_equal(spikes, scaled_spikes)


def test_a_rise_is_followed_at_once_and_a_fall_with_the_release_time() -> None:
    assert follow_level(np.float32(0), np.float32(8), np.float32(0.05)) == 2
    config = FrontEnd()
    release = np.float32(1 - np.exp(-config.hop_s / config.gain_release_s))
    envelope = np.float32(1)
    for _ in range(round(config.gain_release_s / config.hop_s)):
        envelope = follow_level(envelope, np.float32(0), release)
    assert envelope == pytest.approx(np.exp(-1), rel=1e-3)


def test_below_the_gate_a_sound_fades_instead_of_being_turned_up() -> None:
    feature = np.zeros(1, np.float32)
    normalise(np.array([1e-4], np.float32), np.float32(1e-4), np.float32(1.0), feature)
    assert feature[0] == pytest.approx(0.1)


def test_hiss_below_the_gate_causes_no_spike() -> None:
    hiss = (10 ** (-90 / 20) * np.random.default_rng(3).standard_normal(32_000)).astype(np.float32)
    _, spikes = Ear(FrontEnd()).feed(hiss)
    assert spikes.sum() == 0


def test_cochlea_beta_is_the_one_that_hearing_gives() -> None:
    beta = derived_beta(0.002)
    assert beta == pytest.approx(0.850854, abs=1e-6)
    assert 0.15 * (beta**32 - 1) / (beta - 1) == pytest.approx(1.0, abs=1e-9)
    assert derived_beta(0.010) == pytest.approx(beta**5)


def test_the_faintest_tone_fires_a_cochlea_neuron_after_32_steps() -> None:
    v, spikes = np.zeros(1, np.float32), np.zeros(1, np.uint8)
    beta, gains = np.float32(derived_beta(0.002)), np.ones(1, np.float32)
    still, no_gain = np.zeros(1, np.float32), np.float32(0)
    fired = []
    for step in range(1, 41):
        fire(np.array([0.1501], np.float32), gains, still, no_gain, beta, v, spikes, 0)
        if spikes[0]:
            fired.append(step)
    assert fired == [32]


def test_change_is_the_step_from_the_last_frame() -> None:
    before, rise = np.zeros(2, np.float32), np.zeros(2, np.float32)
    change(np.array([1.0, 0.5], np.float32), before, rise)
    np.testing.assert_array_equal(rise, [1.0, 0.5])
    change(np.array([0.25, 0.5], np.float32), before, rise)
    np.testing.assert_array_equal(rise, [-0.75, 0.0])


def test_change_fibres_fire_where_a_sound_begins_and_where_it_ends_and_not_between() -> None:
    config = FrontEnd(change_gain=4.0)
    assert config.fibres == 3 * config.bands
    sound = np.concatenate([silence(0.5), tone(2000, 0.5), silence(0.5)])
    features, spikes = Ear(config).feed(sound)
    band = int(np.argmax(features[80]))
    rises, falls = spikes[:, config.bands + band], spikes[:, 2 * config.bands + band]
    assert np.flatnonzero(rises).min() in range(50, 54)
    assert np.flatnonzero(rises).max() < 56
    assert np.flatnonzero(falls).min() in range(100, 106)
    assert spikes[60:98, config.bands :].sum() == 0


def test_without_a_change_gain_there_are_no_change_fibres() -> None:
    samples = (0.1 * np.random.default_rng(6).standard_normal(8000)).astype(np.float32)
    _, plain = Ear(FrontEnd()).feed(samples)
    _, more = Ear(FrontEnd(change_gain=4.0)).feed(samples)
    assert plain.shape[1] == 64
    np.testing.assert_array_equal(more[:, :64], plain)
    assert more[:, 64:].sum() > 0


def test_inhibition_keeps_a_peak_and_turns_a_flat_spectrum_down() -> None:
    flank = inhibition_kernel(0.5, 3)
    drive, padded = np.zeros(16, np.float32), np.zeros(16 + 2 * 3, np.float32)
    inhibit(np.ones(16, np.float32), flank, padded, drive)
    np.testing.assert_allclose(drive, 0.5, atol=1e-6)
    peak = np.zeros(16, np.float32)
    peak[8] = 1.0
    inhibit(peak, flank, padded, drive)
    np.testing.assert_array_equal(drive, peak)


def test_a_pure_tone_lights_its_own_band_and_not_its_neighbours() -> None:
    config = FrontEnd()
    features, spikes = Ear(config).feed(tone(2000, 1.0))
    own = int(np.argmax(features[50]))
    rate = spikes[20:].mean(axis=0)
    assert rate[own] == 1.0
    assert rate[: own - 2].max() == 0
    assert rate[own + 3 :].max() == 0


@given(sizes=st.lists(st.integers(1, 1_500), max_size=20))
@settings(max_examples=20, deadline=None)
def test_ear_gives_the_same_rows_in_any_chunking(sizes: list[int]) -> None:
    samples = (0.1 * np.random.default_rng(4).standard_normal(4000)).astype(np.float32)
    whole = Ear(FrontEnd()).feed(samples)
    ear = Ear(FrontEnd())
    rows, at = [], 0
    for count in [*sizes, len(samples)]:
        rows.append(ear.feed(samples[at : at + count]))
        at += count
    np.testing.assert_array_equal(np.concatenate([r[0] for r in rows]), whole[0])
    np.testing.assert_array_equal(np.concatenate([r[1] for r in rows]), whole[1])


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("frame_samples", 500),
        ("hop_samples", 1),
        ("hop_samples", 513),
        ("bands", 4),
        ("high_hz", 9000.0),
        ("gain_release_s", 0.0),
        ("gate_dbfs", 3.0),
        ("inhibition", 1.0),
        ("inhibition_reach", 0),
        ("fibre_gains", ()),
        ("change_gain", -1.0),
        ("cochlea_beta", 1.0),
        ("sample_rate_hz", 4000),
    ],
)
def test_a_front_end_that_cannot_be_names_the_field_and_the_value(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=field) as caught:
        FrontEnd(**{field: value})  # type: ignore[arg-type]
    assert str(value) in str(caught.value)
