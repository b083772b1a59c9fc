"""Files to samples: exact where the format is, refused with the right code where the file is not sound."""

import contextlib
import io
import struct
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from server.decode import DecodeLimits, Decoder
from server.errors import Refusal
from tests.audio_files import FORMATS, write
from tests.synth import tone

LIMITS = DecodeLimits(audio_s=60, channels=8, wall_s=60)


def decoded(data: bytes, limits: DecodeLimits = LIMITS) -> NDArray[np.float32]:
    decoder = Decoder(io.BytesIO(data), limits)
    try:
        return np.concatenate(list(decoder.blocks()))
    finally:
        decoder.close()


def refused(data: bytes, limits: DecodeLimits = LIMITS) -> Refusal:
    with pytest.raises(Refusal) as refusal:
        decoded(data, limits)
    return refusal.value


def stereo(seconds: float, rate: int) -> NDArray[np.float32]:
    return np.stack([tone(440, seconds, rate), tone(660, seconds, rate, 0.1)], axis=1)


@pytest.mark.parametrize(
    ("suffix", "subtype", "step"),
    [
        ("wav", "PCM_16", 2**-15),
        ("wav", "PCM_24", 2**-23),
        ("wav", "FLOAT", 0),
        ("flac", "PCM_16", 2**-15),
        ("flac", "PCM_24", 2**-23),
    ],
)
def test_lossless_files_give_their_samples_exactly(tmp_path: Path, suffix: str, subtype: str, step: float) -> None:
    sound = stereo(2.5, 44_100)
    if step:
        sound = (np.round(sound / step) * step).astype(np.float32)
    data = write(tmp_path / f"a.{suffix}", sound, 44_100, subtype)
    np.testing.assert_array_equal(decoded(data), sound)


@pytest.mark.parametrize("suffix", ["ogg", "mp3", "m4a"])
def test_lossy_files_sound_like_what_was_encoded(tmp_path: Path, suffix: str) -> None:
    sound = stereo(2, 44_100)
    got = decoded(write(tmp_path / f"a.{suffix}", sound, 44_100))
    assert abs(len(got) - len(sound)) < 0.05 * 44_100
    spectrum = np.abs(np.fft.rfft(got[:44_100, 0]))
    assert np.argmax(spectrum) == pytest.approx(440, abs=1)
    assert got.std(axis=0) == pytest.approx(sound.std(axis=0), rel=0.05)


@pytest.mark.parametrize(
    ("suffix", "kept"),
    [
        (suffix, kept)
        for suffix in FORMATS
        for kept in ("half", "all but 100 bytes", "64 bytes")
        if (suffix, kept) != ("mp3", "all but 100 bytes")  # less than one MP3 frame is missing: nothing can tell
    ],
)
def test_a_truncated_file_is_refused(tmp_path: Path, suffix: str, kept: str) -> None:
    data = write(tmp_path / f"a.{suffix}", stereo(3, 44_100), 44_100)
    size = {"half": len(data) // 2, "all but 100 bytes": len(data) - 100, "64 bytes": 64}[kept]
    refusal = refused(data[:size])
    assert refusal.code == ("undecodable" if (suffix, kept) == ("mp3", "64 bytes") else "truncated")


def test_a_wav_written_as_a_stream_has_no_size_and_is_whole(tmp_path: Path) -> None:
    data = bytearray(write(tmp_path / "a.wav", tone(440, 1), 16_000))
    at = data.index(b"data") + 4
    for size in (0, 0xFFFF_FFFF):
        data[at : at + 4] = struct.pack("<I", size)
        assert len(decoded(bytes(data))) == 16_000


@settings(max_examples=60, deadline=None)
@given(
    suffix=st.sampled_from(FORMATS),
    damage=st.lists(st.tuples(st.floats(0, 0.999), st.binary(min_size=1, max_size=64)), min_size=1, max_size=8),
)
def test_a_damaged_file_is_decoded_or_refused_and_never_anything_else(
    whole_files: dict[str, bytes], suffix: str, damage: list[tuple[float, bytes]]
) -> None:
    data = bytearray(whole_files[suffix])
    for where, junk in damage:
        at = int(where * len(data))
        data[at : at + len(junk)] = junk
    with contextlib.suppress(Refusal):
        assert np.isfinite(decoded(bytes(data))).all()


@pytest.fixture(scope="module")
def whole_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("whole")
    return {suffix: write(folder / f"a.{suffix}", stereo(1, 44_100), 44_100) for suffix in FORMATS}


@pytest.mark.parametrize(
    ("data", "code", "says"),
    [
        (b"", "empty_file", "0 bytes"),
        (b"\0" * 10_000, "undecodable", "10000 bytes"),
        (b"These are only words.\n" * 500, "undecodable", "WAV, FLAC, OGG, MP3 and M4A"),
        (b"{}", "undecodable", "2 bytes"),
        (np.random.default_rng(1).bytes(20_000), "undecodable", "20000 bytes"),
    ],
)
def test_what_is_no_sound_file_is_refused(data: bytes, code: str, says: str) -> None:
    refusal = refused(data)
    assert refusal.code == code
    assert says in refusal.message


@pytest.mark.parametrize(
    "data",
    [
        b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nhttp://127.0.0.1:9/x.ts\n",
        b"ffconcat version 1.0\nfile '/etc/passwd'\n",
        b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nc=IN IP4 127.0.0.1\r\nm=audio 5004 RTP/AVP 96\r\n",
    ],
)
def test_a_playlist_that_points_elsewhere_is_never_followed(data: bytes) -> None:
    assert refused(data).code == "undecodable"


def test_a_wav_without_samples_holds_no_sound(tmp_path: Path) -> None:
    data = write(tmp_path / "a.wav", np.zeros(0, np.float32), 16_000)
    assert refused(data).code == "no_audio"


def test_a_film_without_sound_has_no_audio(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        for _ in range(5):
            container.mux(stream.encode(av.VideoFrame(64, 64, "yuv420p")))
        container.mux(stream.encode(None))
    refusal = refused(path.read_bytes())
    assert refusal.code == "no_audio"
    assert "without an audio stream" in refusal.message


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_float_file_with_a_sample_that_is_not_finite_is_refused_by_its_place(tmp_path: Path, value: float) -> None:
    sound = stereo(2, 16_000)
    sound[16_123, 1] = value
    refusal = refused(write(tmp_path / "a.wav", sound, 16_000, "FLOAT"))
    assert refusal.code == "non_finite_sample"
    assert str(value) in refusal.message
    assert "channel 1" in refusal.message


@pytest.mark.parametrize(
    ("rate", "channels", "seconds", "code", "says"),
    [
        (16_000, 9, 0.1, "too_many_channels", "9 channels: the limit is 8"),
        (4_000, 1, 0.5, "sample_rate_out_of_range", "4000 Hz: the limits are 8000..192000"),
        (384_000, 1, 0.1, "sample_rate_out_of_range", "384000 Hz"),
        (16_000, 1, 61, "audio_too_long", "more than 60 s"),
    ],
)
def test_each_limit_is_named(tmp_path: Path, rate: int, channels: int, seconds: float, code: str, says: str) -> None:
    sound = np.zeros((round(rate * seconds), channels), np.float32)
    refusal = refused(write(tmp_path / "a.wav", sound, rate))
    assert refusal.code == code
    assert says in refusal.message


def test_exactly_the_limit_of_seconds_is_heard(tmp_path: Path) -> None:
    data = write(tmp_path / "a.flac", np.zeros(60 * 16_000, np.float32), 16_000)
    assert len(decoded(data)) == 60 * 16_000


def test_decoding_stops_at_the_limit_of_wall_time(tmp_path: Path) -> None:
    data = write(tmp_path / "a.wav", tone(440, 30), 16_000)
    refusal = refused(data, DecodeLimits(audio_s=60, channels=8, wall_s=1e-9))
    assert refusal.code == "decode_timeout"
