"""A whole file to final events and a summary: decoder and hearing, one after the other, in constant memory.

The samples take the same way as a live stream's, so the same samples give the same events, bit for bit.
"""

import time
from typing import BinaryIO

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
        for samples in decoder.blocks():
            for decided in hearing.feed(mix(samples)):
                events += decided
        events += hearing.finish("stop")
    finally:
        decoder.close()
    finished = [event for event in events if event.phase == "offset"]
    finished.sort(key=lambda event: (event.onset_sample, event.label))
    return Classified(events=finished, summary=hearing.summary(time.monotonic() - began))
