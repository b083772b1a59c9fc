"""Sound for the tests: tones and noise from formulas, instruments from Debian's General MIDI soundfont."""

import shutil
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

SOUNDFONT = Path("/usr/share/sounds/sf2/FluidR3_GM.sf2")

# General MIDI programs, from 0
PROGRAMS = {
    "piano": 0,
    "harpsichord": 6,
    "vibraphone": 11,
    "marimba": 12,
    "organ": 19,
    "guitar_acoustic": 24,
    "violin": 40,
    "cello": 42,
    "harp": 46,
    "trumpet": 56,
    "trombone": 57,
    "tuba": 58,
    "french_horn": 60,
    "saxophone": 65,
    "oboe": 68,
    "bassoon": 70,
    "clarinet": 71,
    "flute": 73,
}


def tone(hz: float, seconds: float, rate: int = 16_000, amplitude: float = 0.3) -> NDArray[np.float32]:
    return (amplitude * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def silence(seconds: float, rate: int = 16_000) -> NDArray[np.float32]:
    return np.zeros(round(seconds * rate), np.float32)


def low_high(rate: int = 16_000) -> NDArray[np.float32]:
    """0.5 s of silence, 1 s of 200 Hz, 0.5 s of silence, 1 s of 4 kHz, 0.5 s of silence: the toy model names both."""
    parts = [silence(0.5, rate), tone(200, 1, rate), silence(0.5, rate), tone(4000, 1, rate), silence(0.5, rate)]
    return np.concatenate(parts)


def pcm16(samples: NDArray[np.float32]) -> bytes:
    return np.round(np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes()


def write_wav(path: Path, samples: NDArray[np.float32], rate: int = 16_000, subtype: str = "PCM_16") -> Path:
    soundfile.write(path, samples, rate, subtype=subtype)
    return path


def render(path: Path, instrument: str, pitches: list[int], note_s: float = 1.0, rate: int = 48_000) -> Path:
    """A melody of one instrument, one note after the other, as a mono 16-bit WAV rendered with fluidsynth.

    Skips the test, saying why, where fluidsynth or the soundfont is not installed.
    """
    if not shutil.which("fluidsynth") or not SOUNDFONT.exists():
        pytest.skip(
            "fluidsynth and fluid-soundfont-gm are not installed: apt-get install fluidsynth fluid-soundfont-gm"
        )
    midi = path.with_suffix(".mid")
    midi.write_bytes(_midi(PROGRAMS[instrument], pitches, note_s))
    stereo = path.with_suffix(".stereo.wav")
    subprocess.run(
        ["fluidsynth", "-ni", "-q", "-r", str(rate), "-o", "synth.reverb.active=0", "-o", "synth.chorus.active=0",
         "-F", str(stereo), str(SOUNDFONT), str(midi)],
        check=True,
        capture_output=True,
    )  # fmt: skip
    sound, rate = soundfile.read(stereo, dtype="float32")
    mono = sound.mean(axis=1)
    return write_wav(path, 0.5 * mono / np.abs(mono).max(), rate)


def _midi(program: int, pitches: list[int], note_s: float) -> bytes:
    """A type 0 MIDI file with 1 000 ticks a second. Source: Standard MIDI Files 1.0."""
    ticks = round(1000 * note_s)
    track = b"\x00\xff\x51\x03" + (500_000).to_bytes(3, "big") + bytes([0, 0xC0, program])
    for pitch in pitches:
        track += bytes([0, 0x90, pitch, 100]) + _varint(ticks) + bytes([0x80, pitch, 0])
    track += _varint(500) + b"\xff\x2f\x00"
    return b"MThd" + struct.pack(">IHHH", 6, 0, 1, 500) + b"MTrk" + struct.pack(">I", len(track)) + track


def _varint(value: int) -> bytes:
    out = [value & 0x7F]
    while value := value >> 7:
        out.append(value & 0x7F | 0x80)
    return bytes(reversed(out))
