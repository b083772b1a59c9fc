"""WebSocket frames as they come off the wire, cut anywhere: every message comes whole, in order, whoever read it."""

import asyncio
from itertools import chain, pairwise
from typing import Any

import pytest
import uvicorn
from hypothesis import given, settings
from hypothesis import strategies as st
from uvicorn.server import ServerState
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.uri import parse_uri

from server.transport import SMALL, SOCKET, Quick, WebSocket

MAX_BYTES = 200_000


class Wire(asyncio.Transport):
    """What would be the network."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = b""
        self.closed = False
        self.reading = True

    def write(self, data: Any) -> None:
        self.sent += data

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True


class Taken:
    def __init__(self) -> None:
        self.messages: list[str | bytes] = []
        self.end: dict[str, Any] | None = None

    def came(self, data: str | bytes) -> None:
        self.messages.append(data)

    def flush(self) -> None:
        """Nothing waits."""


async def received(pieces: list[bytes], quick: Quick | None = None) -> tuple[Taken, ClientProtocol, Wire]:
    """What a server takes of these pieces of a stream, and what the client reads of its answer."""
    taken, open_ = Taken(), asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        scope[SOCKET].take(taken)
        scope[SOCKET].ask_first(quick)
        open_.set()
        taken.end = await receive()

    config = uvicorn.Config(app, ws_max_size=MAX_BYTES, log_config=None, lifespan="off")
    config.load()
    socket, wire = WebSocket(config, ServerState(), {}), Wire()
    socket.connection_made(wire)
    client = ClientProtocol(parse_uri("ws://here/"), max_size=None)
    client.send_request(client.connect())
    socket.data_received(b"".join(client.data_to_send()))
    await open_.wait()
    for piece in pieces:
        if not wire.closed:
            socket.data_received(piece)
    socket.connection_lost(None)
    await asyncio.gather(*socket.tasks)
    client.receive_data(wire.sent)
    return taken, client, wire


def cut(data: bytes, at: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in at), len(data)]
    return [data[a:b] for a, b in pairwise(edges) if a < b]


FRAMES = st.one_of(
    st.binary(max_size=300).map(lambda data: [Frame(Opcode.BINARY, data)]),
    st.sampled_from([125, 126, 640, 65_535, SMALL, SMALL + 1, 70_000]).map(lambda n: [Frame(Opcode.BINARY, bytes(n))]),
    st.text(max_size=50).map(lambda text: [Frame(Opcode.TEXT, text.encode())]),
    st.binary(max_size=9).map(lambda data: [Frame(Opcode.PING, data)]),
)
SPLIT = st.binary(min_size=2, max_size=50).map(
    lambda data: [Frame(Opcode.BINARY, data[:1], fin=False), Frame(Opcode.PING, b"?"), Frame(Opcode.CONT, data[1:])]
)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(FRAMES, max_size=12), st.booleans(), SPLIT, st.lists(FRAMES, max_size=3), st.lists(st.integers(0, 10**6))
)
def test_messages_come_whole_and_in_order_however_the_wire_cuts_them(
    first: list[list[Frame]], with_split: bool, split: list[Frame], last: list[list[Frame]], cuts: list[int]
) -> None:
    frames = [*chain(*first), *(split if with_split else []), *chain(*last)]
    data = b"".join(frame.serialize(mask=True) for frame in frames)
    taken, client, _ = asyncio.run(received(cut(data, cuts)))
    wanted: list[str | bytes] = []
    for frame in frames:
        if frame.opcode is Opcode.TEXT:
            wanted.append(bytes(frame.data).decode())
        elif frame.opcode is Opcode.BINARY:
            wanted.append(bytes(frame.data))
        elif frame.opcode is Opcode.CONT:
            wanted[-1] += bytes(frame.data)  # type: ignore[operator]
    assert taken.messages == wanted
    pongs = [bytes(event.data) for event in client.events_received() if isinstance(event, Frame)]
    assert pongs == [bytes(frame.data) for frame in frames if frame.opcode is Opcode.PING]


AFTER = Frame(Opcode.BINARY, b"after").serialize(mask=True)
BAD = {
    "unmasked": (Frame(Opcode.BINARY, b"sound").serialize(mask=False), 1002),
    "reserved bit": (b"\xc2\x80\0\0\0\0", 1002),
    "unknown opcode": (b"\x83\x80\0\0\0\0", 1002),
    "too large": (b"\x82\xff" + (MAX_BYTES + 1).to_bytes(8) + bytes(4), 1009),
    "no UTF-8": (Frame(Opcode.TEXT, b"\xff\xff").serialize(mask=True), 1007),
    "a second begin": (Frame(Opcode.BINARY, b"s", fin=False).serialize(mask=True) + AFTER, 1002),
}


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("whole", [True, False])
def test_what_the_protocol_forbids_ends_the_connection_with_its_code(bad: str, whole: bool) -> None:
    data, code = BAD[bad]
    data = Frame(Opcode.BINARY, b"before").serialize(mask=True) + data + AFTER
    pieces = [data] if whole else [data[i : i + 1] for i in range(len(data))]
    taken, client, wire = asyncio.run(received(pieces))
    assert taken.messages == [b"before"]
    assert wire.closed
    assert client.close_rcvd is not None
    assert client.close_rcvd.code == code


@pytest.mark.parametrize("whole", [True, False])
def test_a_close_is_answered_and_told_with_its_reason(whole: bool) -> None:
    data = Frame(Opcode.CLOSE, (1001).to_bytes(2) + b"page left").serialize(mask=True)
    taken, client, wire = asyncio.run(received([data] if whole else [data[i : i + 1] for i in range(len(data))]))
    assert taken.end == {"type": "websocket.disconnect", "code": 1001, "reason": "page left"}
    assert (wire.closed, client.close_rcvd and client.close_rcvd.code) == (True, 1001)


@pytest.mark.parametrize("message", ["", "é" * 100, b"x" * 126, "y" * 65_535, bytes(65_536)], ids=len)
def test_what_is_told_is_what_the_client_reads(message: str | bytes) -> None:
    async def told() -> bytes:
        config = uvicorn.Config(str, log_config=None, lifespan="off")
        config.load()
        socket, wire = WebSocket(config, ServerState(), {}), Wire()
        socket.connection_made(wire)
        socket.tell(message)
        return wire.sent

    client = ClientProtocol(parse_uri("ws://here/"), state=State.OPEN, max_size=None)
    client.receive_data(asyncio.run(told()))
    (frame,) = client.events_received()
    assert isinstance(frame, Frame)
    assert bytes(frame.data) == (message.encode() if isinstance(message, str) else message)
    assert frame.opcode is (Opcode.TEXT if isinstance(message, str) else Opcode.BINARY)


def wired(payload: bytes, opcode: int = 0x2) -> bytes:
    """A frame whose mask is zero, so that its payload lies open on the wire."""
    return bytes((0x80 | opcode, 0x80 | 126)) + len(payload).to_bytes(2) + bytes(4) + payload


def test_a_frame_of_the_last_one_s_length_is_not_taken_for_one_like_it() -> None:
    sound, text = wired(bytes(200)), wired(b"a" * 200, 0x1)
    within = wired(bytes(2) + wired(bytes(200))[:198])  # what looks like a frame's beginning is in one
    assert len(sound) == len(text) == len(within)
    pieces = [sound, text, sound, within[:10], within[10:] + sound[:10], sound[10:], sound]
    taken, _, _ = asyncio.run(received(pieces))
    silence = bytes(200)
    assert taken.messages == [silence, "a" * 200, silence, within[8:], silence, silence]


def test_what_is_asked_first_gets_binary_messages_and_the_taker_what_it_does_not_want() -> None:
    wanted: list[bytes] = []

    def quick(data: bytes, arrived: float) -> bool:
        if data[0] == 0:
            wanted.append(data)
        return data[0] == 0

    yes, no, text = wired(bytes(200)), wired(b"\1" * 200), wired(b"a" * 200, 0x1)
    taken, _, _ = asyncio.run(received([yes, yes, no, text, yes, yes[:50], yes[50:]], quick))
    assert wanted == [bytes(200)]  # like the one before; every other way leads to the taker
    assert taken.messages == [bytes(200), b"\1" * 200, "a" * 200, bytes(200), bytes(200)]
