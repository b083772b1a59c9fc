"""Mono 16-bit samples to a FLAC file, whole or not at all. Knows files; nothing of events."""

import os
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray


def write(path: Path, samples: NDArray[np.int16], rate_hz: int, tags: dict[str, str]) -> int:
    """Write samples (n,), each as it is, and return the file's bytes. Raises OSError, ValueError where FLAC has no
    form for the rate."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    part = path.with_suffix(".flac.part")
    try:
        with av.open(str(part), "w", format="flac") as container:
            container.metadata.update(tags)
            stream = container.add_stream("flac", rate=rate_hz, layout="mono", format="s16")
            frame = av.AudioFrame.from_ndarray(samples[np.newaxis, :], format="s16", layout="mono")
            frame.sample_rate = rate_hz
            for packet in (*stream.encode(frame), *stream.encode(None)):
                container.mux(packet)
        with part.open("rb") as written:
            os.fsync(written.fileno())
            size = written.seek(0, os.SEEK_END)
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    return size
