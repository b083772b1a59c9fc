"""A small asyncio client of `WS /v1/stream`: audio in, messages out, over as many connections as it takes. Knows the
protocol's order of messages; nothing of audio files, devices or terminals.

    async with connect("ws://127.0.0.1:8000", sample_rate=48_000) as stream:
        await stream.send(pcm)                # interleaved samples, 20 to 100 ms at a time
        async for message in stream: ...      # another task: dicts, and bytes for `frame`, until the summary
        summary = await stream.stop()         # the last events stay in the iterator

A connection that is lost is made again, and the session goes on: what the server told meanwhile comes, what it has not
heard is sent again, and the events are those of an undisturbed run. Meanwhile a live source's `send` keeps up to
`buffer_s` of audio (the oldest is given up, and told as a gap); a file's `send` waits.

A session that is gone for good (the server was killed, or the window is over) ends with StreamError. With `anew=True`
another one begins in its place, and the iterator says so: `{"type": "anew", "session", "reason", "sample", "open"}`,
then the new `started`. `sample` of the old session is 0 of the new one: all before it was heard and told, all after it
is sent again. `open` are the ids of events whose end will never be told.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from client.backlog import Backlog
from client.dial import StreamError, dialled, stream_address
from client.session import Message, Stream

__all__ = ["Stream", "StreamError", "connect", "stream_address"]

PROTOCOL = 1
BUFFER_S = 30.0  # of audio that is kept until the server has heard it
FIRST_WAIT_S = 0.25  # before the second try to come back; doubled with each
SAMPLE_BYTES = {"pcm_s16le": 2, "pcm_s24le": 3, "pcm_f32le": 4}


@asynccontextmanager
async def connect(
    url: str,
    *,
    sample_rate: int,
    encoding: str = "pcm_f32le",
    channels: int = 1,
    source: Message | None = None,
    detect: Message | None = None,
    emit: Message | None = None,
    on_overload: str | None = None,
    token: str | None = None,
    buffer_s: float = BUFFER_S,
    lossless: bool | None = None,
    first_wait_s: float = FIRST_WAIT_S,
    anew: bool = False,
) -> AsyncIterator[Stream]:
    """Open a session at `url`, the service's address (ws:, wss:, http: or https:, with or without `/v1/stream`).

    `source`, `detect`, `emit` and `on_overload` are those of the protocol's `start`; `token` is what a service that
    asks for one wants. `lossless`: `send` waits rather than give up audio; None: for a source of kind `file`.
    Raises StreamError.
    """
    address = stream_address(url)
    start: Message = {
        "protocol": PROTOCOL,
        "audio": {"encoding": encoding, "sample_rate": sample_rate, "channels": channels, "framing": "framed"},
    }
    given = {"source": source, "detect": detect, "emit": emit, "on_overload": on_overload}
    start |= {name: value for name, value in given.items() if value is not None}
    backlog = Backlog(SAMPLE_BYTES.get(encoding, 1) * channels, round(buffer_s * sample_rate))
    waits = (source or {}).get("kind") == "file" if lossless is None else lossless
    stream = Stream(lambda: dialled(address, token), start, backlog, waits=waits, first_wait_s=first_wait_s, anew=anew)
    async with await dialled(address, token) as socket:
        await stream._open(socket)
        try:
            yield stream
        finally:
            await stream._close()
