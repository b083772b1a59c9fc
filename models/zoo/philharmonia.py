"""The case that `mel-cnn`'s authors report: 15 instruments of the Philharmonia's samples alone.

Their 94.9 % had pieces of one recording on both sides of the split. Here it goes by pitch: no note of any instrument is
on two sides, so that what is heard in the report part was never played in training. It says nothing about other players
and rooms: all recordings of an instrument are one player's. `python -m models.zoo.philharmonia --data DIR --out FILE`.
"""

import argparse
import json
from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from models.data.corpus import Clip, sounds
from models.data.loaders import load, merged
from models.data.recording import CorpusError, Recording
from models.data.split import Part, shuffled
from models.zoo import file
from models.zoo.data import Data
from models.zoo.registry import system
from models.zoo.results import trained_and_judged
from models.zoo.system import Run

LIBRARY = "philharmonia"
CLASSES = 15  # with the most recordings
NAME = "mel-cnn"
TO_BEAT = 94.9  # %
SETTINGS = {"examples": 12_000, "epochs": 10, "trials": 0}


class Philharmonia(Data):
    """One library's 15 largest instruments, each under its own name; parts by pitch. A family's label is no matter."""

    plain = True  # one library's rooms are on every side: nothing is to be gained from other rooms and noise

    @cached_property
    def labels(self) -> tuple[str, ...]:
        counts = Counter(recording.instrument for recording in self._recordings if recording.pitch is not None)
        return tuple(sorted(name for name, _ in counts.most_common(CLASSES)))

    @cached_property
    def clips(self) -> list[Clip]:
        """Raises CorpusError if the folders hold no such library."""
        chosen = [one for one in self._recordings if one.pitch is not None and one.instrument in self.labels]
        if not chosen:
            raise CorpusError(f"no recordings of the library {LIBRARY!r} in {', '.join(map(str, self.folders))}")
        parts = by_pitch(chosen)
        sound_of = sounds([load(path) for path in self.folders], chosen, self.progress)
        clips = []
        for one in chosen:
            pack, name = sound_of(one)
            sound = pack.sounds[name]
            assert one.pitch is not None
            clips.append(
                Clip(
                    one.name, one.instrument, one.library, one.group, parts[one.pitch], one.licence,
                    pack.samples(name)[sound.start : sound.stop], one.pitch, one.instrument, one.articulation,
                )
            )  # fmt: skip
        return [clip for clip in clips if len(clip.samples)]

    @cached_property
    def _recordings(self) -> list[Recording]:
        recordings = merged([load(path) for path in self.folders])
        return [recording for recording in recordings if recording.library == LIBRARY]


def by_pitch(recordings: Sequence[Recording]) -> dict[int, Part]:
    """MIDI note -> its part, for all instruments alike: of seven notes, in an order drawn from their numbers, five
    train, one calibrates, one is reported."""
    order: tuple[Part, ...] = ("train", "train", "report", "train", "train", "calibrate", "train")
    pitches = sorted({one.pitch for one in recordings if one.pitch is not None}, key=lambda pitch: shuffled(str(pitch)))
    return {pitch: order[index % len(order)] for index, pitch in enumerate(pitches)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, action="append", required=True)
    parser.add_argument("--out", type=Path, required=True, help="the file to write; results beside it as JSON")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    given = parser.parse_args()
    which = system(NAME)
    settings = which.set({**SETTINGS, **dict(pair.split("=", 1) for pair in given.set)})
    run = Run(print, Path("build/runs") / given.out.stem)
    trained, results = trained_and_judged(which, settings, Philharmonia(given.data), run)
    results["case"] = {"library": LIBRARY, "classes": list(trained.about()["labels"]), "to_beat": TO_BEAT}
    file.save(given.out, which, settings, trained, results)
    given.out.with_suffix(".json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(results["figures"]["accuracy"], results["figures"]["balanced_accuracy"])


if __name__ == "__main__":
    main()
