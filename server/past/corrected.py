"""What people corrected, as recordings to train and judge by: a folder with `manifest.csv` and a sound file for each.

A file holds the interval of its event and nothing else, so that neither silence nor a neighbour bears its name. What
was corrected to nothing that has a name is listed too, in `false.csv`. Knows rows and files; nothing of training.
"""

import csv
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from server.past import flac, query
from server.past.clips import path_of
from server.past.database import Database
from server.past.query import Filter

log = logging.getLogger("spiccato.history")

COLUMNS = ("path", "instrument", "onset_s", "offset_s", "group", "source", "heard_as", "event_id", "note")


@dataclass
class Written:
    named: int = 0
    nameless: int = 0
    without_sound: int = 0  # there is no clip of them, it lies outside the event, or it is damaged


def export(database: Database, clips: Path, folder: Path, asked: Filter) -> Written:
    """Write the corrected events that `asked` finds to `folder`, which may exist. Raises OSError."""
    done = Written()
    (folder / "clips").mkdir(parents=True, exist_ok=True)
    with (
        (folder / "manifest.csv").open("w", newline="", encoding="utf-8") as named,
        (folder / "false.csv").open("w", newline="", encoding="utf-8") as nameless,
    ):
        tables = csv.writer(named), csv.writer(nameless)
        for table in tables:
            table.writerow(COLUMNS)
        for event in query.all_of(database, asked):
            correction = event["correction"]
            if correction is None:
                continue
            name = f"clips/{event['event_id']}.flac"
            sound = interval(event, path_of(clips, event["event_id"]))
            if sound is None:
                done.without_sound += 1
                continue
            flac.write(folder / name, sound, event["sample_rate"], {"TITLE": correction["label"] or "none"})
            seconds = round(len(sound) / event["sample_rate"], 6)
            label, note = correction["label"], correction["note"]
            # one session is one room, one instrument and one player: no split may divide it
            told = (event[key] for key in ("session", "source", "label", "event_id"))
            row = [name, label or "", 0.0, seconds, *told]
            tables[label is None].writerow([*row, note])
            done.named += label is not None
            done.nameless += label is None
    return done


def interval(event: dict[str, Any], clip: Path) -> NDArray[np.int16] | None:
    """The samples of the event, (n,), as far as its clip goes; None where that is nothing."""
    if event["clip"] is None or not clip.exists():
        return None
    first = event["clip"]["first_sample"]
    begin, end = (max(0, event[name] - first) for name in ("onset_sample", "offset_sample"))
    try:
        with av.open(str(clip)) as container:
            frames = [frame.to_ndarray().reshape(-1) for frame in container.decode(audio=0)]
    except av.FFmpegError as error:
        log.warning("the clip %s cannot be read: %s", clip, error)
        return None
    sound = np.concatenate([np.zeros(0, np.int16), *frames]).astype(np.int16)[begin:end]
    return sound if len(sound) else None
