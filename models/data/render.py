"""Notes from General MIDI soundfonts, as further libraries. Knows MIDI programs and fluidsynth; nothing of training.

Notes are rendered dry, brought to the corpus's rate and passed through the corpus's codec, Ogg Vorbis, so that
neither reverb nor codec tells a rendered note from a recorded one.
"""

import io
import shutil
import struct
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from models.data.corpus import RATE_HZ, Clip

SOUNDFONTS = (
    Path("/usr/share/sounds/sf2/FluidR3_GM.sf2"),  # Debian: fluid-soundfont-gm
    Path("/usr/share/sounds/sf2/TimGM6mb.sf2"),  # timgm6mb-soundfont
    Path("/usr/share/sounds/sf3/MuseScore_General_Full.sf3"),  # musescore-general-soundfont
)

# label -> (programs from 0, lowest and highest MIDI note)
PROGRAMS: dict[str, tuple[tuple[int, ...], int, int]] = {
    "violin": ((40,), 55, 98),
    "viola": ((41,), 48, 86),
    "cello": ((42,), 36, 76),
    "double_bass": ((43, 32), 28, 60),
    "flute": ((73,), 60, 96),
    "oboe": ((68,), 58, 91),
    "clarinet": ((71,), 50, 91),
    "bassoon": ((70,), 34, 72),
    "saxophone": ((64, 65, 66, 67), 42, 84),
    "trumpet": ((56,), 54, 84),
    "french_horn": ((60,), 36, 77),
    "trombone": ((57,), 36, 72),
    "tuba": ((58,), 26, 60),
    "guitar_acoustic": ((24, 25), 40, 84),
    "guitar_electric": ((26, 27, 28, 29, 30), 40, 84),
    "bass_guitar": ((33, 34, 35, 36, 37), 28, 60),
    "harp": ((46,), 28, 96),
    "banjo": ((105,), 48, 84),
    "piano": ((0, 1), 24, 104),
    "organ": ((16, 17, 19), 36, 96),
    "harpsichord": ((6,), 36, 88),
    "mallets": ((9, 11, 12, 13), 53, 96),
    "voice": ((52, 53), 43, 81),
}
# General MIDI percussion keys of kicks, snares, toms, hi-hats and cymbals. Not from MuseScore General: its crash
# cymbals are the VCSL library's, which validates.
DRUM_KEYS = (35, 36, 38, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 52, 53, 55, 57, 59)
DRUM_SOUNDFONTS = ("FluidR3_GM", "TimGM6mb")
# recordings that lie in a library that validates, too: the same samples were found in GeneralUser GS (`data check`)
COPIES = frozenset({("MuseScore_General_Full", "cello"), ("TimGM6mb", "oboe")})

NOTE_STEP = 3  # semitones between rendered notes
VELOCITIES = (55, 105)
HELD_S, SLOT_S = 2.0, 3.0  # a note is held, then rings until the slot ends
SYNTH_RATE_HZ = 48_000
QUIETEST = 1e-3  # a slot with no sample above this is a note that the soundfont lacks


def render_all(soundfonts: tuple[Path, ...] = SOUNDFONTS) -> list[Clip]:
    """Training clips of every label from every soundfont.

    Raises FileNotFoundError, naming what to install, if fluidsynth or a soundfont is missing.
    """
    if soundfonts and not shutil.which("fluidsynth"):
        raise FileNotFoundError("fluidsynth is not installed: apt-get install fluidsynth")
    clips = []
    for font in soundfonts:
        if not font.exists():
            raise FileNotFoundError(
                f"{font} is missing: apt-get install fluid-soundfont-gm timgm6mb-soundfont musescore-general-soundfont"
            )
        for label, (programs, lowest, highest) in PROGRAMS.items():
            if (font.stem, label) in COPIES:
                continue
            for program in programs:
                step = NOTE_STEP * (2 if len(programs) > 2 else 1)
                clips += rendered(font, label, program, range(lowest, highest + 1, step), channel=0)
        if font.stem in DRUM_SOUNDFONTS:
            clips += rendered(font, "drums", 0, DRUM_KEYS, channel=9)
    return clips


def rendered(font: Path, label: str, program: int, keys: range | tuple[int, ...], channel: int = 0) -> list[Clip]:
    """Training clips of one program, each key in both velocities; of a drum kit on channel 9."""
    notes = [(key, velocity) for key in keys for velocity in VELOCITIES]
    library = f"soundfont:{font.stem}"
    with tempfile.TemporaryDirectory() as folder:
        midi, wave = Path(folder) / "notes.mid", Path(folder) / "notes.wav"
        midi.write_bytes(midi_file(program, notes, channel))
        subprocess.run(
            ["fluidsynth", "-ni", "-q", "-r", str(SYNTH_RATE_HZ), "-g", "0.5", "-o", "synth.dynamic-sample-loading=1",
             "-o", "synth.reverb.active=0", "-o", "synth.chorus.active=0", "-F", str(wave), str(font), str(midi)],
            check=True,
            capture_output=True,
        )  # fmt: skip
        stereo, _ = soundfile.read(wave, dtype="float32", always_2d=True)
    sound = soxr.resample(stereo.mean(axis=1), SYNTH_RATE_HZ, RATE_HZ)
    clips = []
    for index, (key, velocity) in enumerate(notes):
        note = sound[round(index * SLOT_S * RATE_HZ) : round((index + 1) * SLOT_S * RATE_HZ)]
        peak = float(np.abs(note).max(initial=0.0))
        if peak < QUIETEST:
            continue
        samples = through_codec(0.5 / peak * note)
        name = f"{library}/{label}/{program}/{key}/{velocity}"
        group = f"{library}/{program}"
        licence = "MIT or GPL soundfont, see its package"
        pitch = key if channel == 0 else None
        clips.append(Clip(name, label, library, group, "train", licence, samples, pitch, label))
    return clips


def through_codec(samples: NDArray[np.float32]) -> NDArray[np.int16]:
    """The samples after Ogg Vorbis."""
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, RATE_HZ, format="OGG", subtype="VORBIS")
    buffer.seek(0)
    decoded, _ = soundfile.read(buffer, dtype="int16")
    return np.asarray(decoded, np.int16)


def midi_file(program: int, notes: list[tuple[int, int]], channel: int = 0) -> bytes:
    """A type 0 MIDI file, 1 000 ticks a second, one (key, velocity) a slot. Source: Standard MIDI Files 1.0."""
    track = b"\x00\xff\x51\x03" + (500_000).to_bytes(3, "big") + bytes([0, 0xC0 | channel, program])
    rest = 0
    for key, velocity in notes:
        track += _varint(rest) + bytes([0x90 | channel, key, velocity])
        track += _varint(round(1000 * HELD_S)) + bytes([0x80 | channel, key, 0])
        rest = round(1000 * (SLOT_S - HELD_S))
    track += _varint(rest) + b"\xff\x2f\x00"
    return b"MThd" + struct.pack(">IHHH", 6, 0, 1, 500) + b"MTrk" + struct.pack(">I", len(track)) + track


def _varint(value: int) -> bytes:
    out = [value & 0x7F]
    while value := value >> 7:
        out.append(value & 0x7F | 0x80)
    return bytes(reversed(out))
