"""A whole file to final events and a summary, in constant memory: while one block is heard, the next is decoded.

The samples take the same way as a live stream's, so the same samples give the same events, bit for bit.
"""

import time
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from engine.weights import Model
from server.decode import DecodeLimits, Decoder
from server.hearing import Hearing
from server.ingest import mix
from server.protocol import Classified, EventBody


def classify(model: Model, file: BinaryIO, name: str, limits: DecodeLimits) -> Classified:
    """Blocks until done: for a worker thread. Raises Refusal on whatever is wrong with the file."""
    began = time.monotonic()
    decoder = Decoder(file, limits)
    try:
        hearing = Hearing(model, decoder.rate_hz, name, live=False)
        events: list[EventBody] = []
        with closing(_ahead(decoder.blocks())) as blocks:
            for samples in blocks:
                for decided in hearing.feed(mix(samples)):
                    events += decided
        events += hearing.finish("stop")
    finally:
        decoder.close()
    finished = [event for event in events if event.phase == "offset"]
    finished.sort(key=lambda event: (event.onset_sample, event.label))
    return Classified(events=finished, summary=hearing.summary(time.monotonic() - began))


def _ahead(blocks: Iterator[NDArray[np.float32]]) -> Generator[NDArray[np.float32], None, None]:
    """The same blocks; the next one is made in a thread. FFmpeg and the engine both release the interpreter's lock."""
    with ThreadPoolExecutor(1, "decode") as thread:
        coming = thread.submit(next, blocks, None)
        while (block := coming.result()) is not None:
            coming = thread.submit(next, blocks, None)
            yield block
