"""PCM bytes to engine samples: exact, refused where they are not sound, the same in any chunking."""

import struct
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from server.errors import Code, Refusal
from server.ingest import MAX_AMPLITUDE, Encoding, Pcm, Resampler, mix
from tests.synth import pcm16, tone

ENGINE_RATE = 16_000


def encoded(samples: NDArray[np.float32], encoding: Encoding) -> bytes:
    if encoding == "pcm_s16le":
        return pcm16(samples)
    if encoding == "pcm_f32le":
        return samples.astype("<f4").tobytes()
    wide = np.round(np.clip(samples.astype(np.float64), -1, 1) * (2**23 - 1)).astype("<i4")
    return wide.view(np.uint8).reshape(-1, 4)[:, :3].tobytes()


def noise(n: int, channels: int) -> NDArray[np.float32]:
    return (np.random.default_rng(n).standard_normal((n, channels)) * 0.2).astype(np.float32)


@settings(max_examples=60, deadline=None)
@given(
    data=st.data(),
    encoding=st.sampled_from(["pcm_s16le", "pcm_s24le", "pcm_f32le"]),
    rate=st.sampled_from([8_000, 11_025, 16_000, 22_050, 44_100, 44_101, 48_000, 96_000, 192_000]),
    channels=st.sampled_from([1, 2, 3, 9]),
)
def test_any_chunking_gives_bit_identical_engine_samples(
    data: st.DataObject, encoding: Encoding, rate: int, channels: int
) -> None:
    frames = data.draw(st.integers(1, 3_000))
    select = data.draw(st.none() | st.integers(0, channels - 1))
    cuts = data.draw(st.lists(st.integers(1, frames), max_size=20).map(lambda c: sorted({0, *c, frames})))
    pcm = Pcm(encoding, channels, select)
    sound = encoded(noise(frames, channels).ravel(), encoding)

    def engine_samples(cuts: list[int]) -> NDArray[np.float32]:
        resampler = Resampler(rate, ENGINE_RATE)
        chunks = [sound[a * pcm.frame_bytes : b * pcm.frame_bytes] for a, b in pairwise(cuts)]
        parts = [resampler.feed(pcm.mono(pcm.read(chunk))) for chunk in chunks]
        return np.concatenate([*parts, resampler.flush()])

    whole = engine_samples([0, frames])
    np.testing.assert_array_equal(engine_samples(cuts).view(np.uint32), whole.view(np.uint32))
    assert abs(len(whole) - frames * ENGINE_RATE / rate) <= 1


@settings(max_examples=10, deadline=None)
@given(chunk=st.integers(1, 5_000), rate=st.sampled_from([8_000, 44_100, 48_000, 192_000]))
def test_seconds_of_sound_resample_the_same_in_chunks_of_any_size(chunk: int, rate: int) -> None:
    sound = noise(2 * rate, 1)[:, 0]
    chunked, at_once = Resampler(rate, ENGINE_RATE), Resampler(rate, ENGINE_RATE)
    parts = [chunked.feed(sound[at : at + chunk]) for at in range(0, len(sound), chunk)]
    whole = np.concatenate([at_once.feed(sound), at_once.flush()])
    np.testing.assert_array_equal(np.concatenate([*parts, chunked.flush()]), whole)
    assert len(whole) == 2 * ENGINE_RATE


@pytest.mark.parametrize(
    ("encoding", "data", "expected"),
    [
        ("pcm_s16le", struct.pack("<4h", 0, 32767, -32768, 1), [0, 1 - 2**-15, -1, 2**-15]),
        ("pcm_s24le", b"\0\0\0\xff\xff\x7f\0\0\x80\1\0\0", [0, 1 - 2**-23, -1, 2**-23]),
        ("pcm_f32le", struct.pack("<4f", 0, 1, -0.5, 2**-30), [0, 1, -0.5, 2**-30]),
    ],
)
def test_samples_are_exact(encoding: Encoding, data: bytes, expected: list[float]) -> None:
    read = Pcm(encoding, 1, None).read(data)
    assert read.dtype == np.float32
    assert read[:, 0].tolist() == expected


def test_channels_are_selected_or_averaged() -> None:
    stereo = struct.pack("<4f", 0.5, 0.25, -0.5, 0.5)
    for select, expected in ((0, [0.5, -0.5]), (1, [0.25, 0.5]), (None, [0.375, 0.0])):
        pcm = Pcm("pcm_f32le", 2, select)
        assert pcm.mono(pcm.read(stereo)).tolist() == expected


def test_the_mean_of_many_channels_does_not_depend_on_how_many_samples_come_at_once() -> None:
    sound = noise(500, 13)
    one_by_one = np.concatenate([mix(sound[i : i + 1]) for i in range(500)])
    np.testing.assert_array_equal(mix(sound), one_by_one)
    np.testing.assert_allclose(mix(sound), sound.mean(axis=1), atol=1e-6)


def test_resampled_sound_is_at_the_same_time_as_before() -> None:
    resampler = Resampler(48_000, ENGINE_RATE)
    sound = np.concatenate([resampler.feed(tone(440, 1, 48_000)), resampler.flush()])
    middle = slice(1_000, 15_000)
    np.testing.assert_allclose(sound[middle], tone(440, 1)[middle], atol=1e-3)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_sample_that_is_not_finite_is_refused_by_its_index_and_channel(value: float) -> None:
    stereo = np.zeros((100, 2), np.float32)
    stereo[41, 1] = value
    with pytest.raises(Refusal, match=r"sample 41 of channel 1 is -?(nan|inf)") as refusal:
        Pcm("pcm_f32le", 2, None).read(stereo.tobytes())
    assert refusal.value.code is Code.NON_FINITE_SAMPLE


def test_a_sample_far_over_full_scale_is_refused() -> None:
    Pcm("pcm_f32le", 1, None).read(struct.pack("<f", MAX_AMPLITUDE))
    with pytest.raises(Refusal, match=r"sample 0 of channel 0 is 32767.0.*limit is \+-100") as refusal:
        Pcm("pcm_f32le", 1, None).read(struct.pack("<f", 32767))
    assert refusal.value.code is Code.SAMPLE_OUT_OF_RANGE


@pytest.mark.parametrize(
    ("encoding", "channels", "size"),
    [("pcm_s16le", 1, 3), ("pcm_s24le", 1, 4), ("pcm_f32le", 1, 6), ("pcm_s16le", 2, 6), ("pcm_f32le", 3, 16)],
)
def test_a_message_that_splits_a_sample_is_refused(encoding: Encoding, channels: int, size: int) -> None:
    with pytest.raises(Refusal, match=rf"{size} bytes are not whole samples") as refusal:
        Pcm(encoding, channels, None).read(bytes(size))
    assert refusal.value.code is Code.PARTIAL_SAMPLE


def test_an_empty_message_is_refused() -> None:
    with pytest.raises(Refusal, match="0 bytes") as refusal:
        Pcm("pcm_s16le", 1, None).read(b"")
    assert refusal.value.code is Code.EMPTY_CHUNK
