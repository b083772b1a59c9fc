"""Sound files of every format that the service reads, made on the spot."""

from pathlib import Path

import av
import numpy as np
import soundfile
from numpy.typing import NDArray

FORMATS = ("wav", "flac", "ogg", "mp3", "m4a")


def write(path: Path, samples: NDArray[np.float32], rate: int, subtype: str | None = None) -> bytes:
    """samples: (n,) or (n, channels), full scale +-1. The format is the path's suffix; returns the file's bytes."""
    if path.suffix == ".m4a":
        _write_m4a(path, samples.reshape(len(samples), -1), rate)
    else:
        soundfile.write(path, samples, rate, subtype=subtype)
    return path.read_bytes()


def _write_m4a(path: Path, samples: NDArray[np.float32], rate: int) -> None:
    layout = {1: "mono", 2: "stereo"}[samples.shape[1]]
    with av.open(str(path), "w", format="ipod") as container:
        stream = container.add_stream("aac", rate=rate)
        stream.layout = layout
        for at in range(0, len(samples), 1024):
            block = np.ascontiguousarray(samples[at : at + 1024].T)
            frame = av.AudioFrame.from_ndarray(block, format="fltp", layout=layout)
            frame.sample_rate = rate
            frame.pts = at
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
