"""`spiccato listen --server` in trouble: the input goes away, the service goes away, both are waited for and told."""

import asyncio
import os
import signal
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from client.dial import dialled
from client.stream import StreamError
from server.pipe import PipeInput
from server.reader import Opened, ReadError, Watch
from spiccato import remote
from tests.fake_input import FOREVER, FakeInput, FakeReader, Message, blocks
from tests.live_server import LiveServer, live_server
from tests.synth import low_high, pcm16
from tests.test_kill import free_port

HALL = Opened("Hall (Fake)", 16_000)
LOW = blocks(low_high()[:12_000])  # an onset, which stays open


def sent(url: str, input: Any, react: Callable[[Message], None], *, wait: bool = False) -> list[Message]:
    """What `listen` shows while it sends `input` to the service at `url`."""
    told: list[Message] = []

    def show(message: Message) -> None:
        told.append(message)
        react(message)

    async def main() -> None:
        async with asyncio.timeout(30):
            await remote.there(url, input, show, name="hall", token=None, detect={}, tap=None, wait=wait)

    asyncio.run(main())
    return told


def ctrl_c() -> None:
    signal.raise_signal(signal.SIGINT)


def at_onset(number: int, then: Callable[[], Any]) -> Callable[[Message], None]:
    """`then` is called at the onset of this number, from 1."""
    onsets: list[str] = []

    def react(message: Message) -> None:
        if message["type"] == "event" and message["phase"] == "onset":
            onsets.append(message["event_id"])
            if len(onsets) == number:
                then()

    return react


def never(_: Message) -> None:
    pass


def states(told: list[Message]) -> list[tuple[str, str]]:
    return [(message["state"], message["detail"]) for message in told if message["type"] == "source"]


def test_an_input_that_goes_away_is_told_waited_for_and_heard_in_another_session(server: LiveServer) -> None:
    gone, absent = ReadError("device_lost", "Hall is gone"), ReadError("device_missing", "there is no Hall")
    openings = [FakeReader(HALL, [*LOW, gone]), absent, FakeReader(Opened("Hall", 48_000), [*LOW, FOREVER])]
    input = FakeInput(openings, watch=Watch(retry_s=(0.01,)))
    told = sent(server.ws, input, at_onset(2, ctrl_c))
    opening = ("recovering", "opening the fake")
    assert states(told) == [
        opening,
        ("healthy", "Hall (Fake) at 16000 Hz"),
        ("lost", "Hall is gone"),
        opening,
        ("lost", "there is no Hall"),
        opening,
        ("healthy", "Hall at 48000 Hz"),
    ]
    kinds = [message["type"] for message in told if message["type"] in ("started", "event", "summary")]
    assert kinds == ["started", "event", "event", "summary"] * 2
    assert [reader.closed for reader in input.readers] == [1, 1]


def test_an_input_that_gives_nothing_for_too_long_is_opened_again(server: LiveServer) -> None:
    openings = [FakeReader(HALL, [*LOW, FOREVER]), FakeReader(HALL, [*LOW, FOREVER])]
    told = sent(server.ws, FakeInput(openings, watch=Watch(give_up_s=0.1, retry_s=(0.01,))), at_onset(2, ctrl_c))
    assert ("lost", "Hall (Fake) gave no sample for 0.1 s") in states(told)


def test_an_input_that_cannot_be_opened_at_first_is_an_error(server: LiveServer) -> None:
    with pytest.raises(ReadError, match="there is no Hall"):
        sent(server.ws, FakeInput([ReadError("device_missing", "there is no Hall")]), never)


def test_a_pause_longer_than_the_service_waits_ends_no_session(toy_path: Path) -> None:
    pause = asyncio.Event()

    def react(message: Message) -> None:
        if message["type"] == "source" and message["state"] == "stalled":
            pause.set()

    with live_server(model=toy_path, idle_s=0.3, stall_ms=900) as server:
        told = sent(server.ws, FakeInput([FakeReader(HALL, [*LOW, pause, *LOW, None])]), react)
    assert pause.is_set()
    assert [message["type"] for message in told].count("started") == 1
    assert told[-1]["state"] == "ended"


def test_a_service_that_is_started_again_is_found_again(toy_path: Path) -> None:
    port = free_port()
    found = asyncio.Event()
    input = FakeInput([FakeReader(HALL, [*LOW, found, *LOW, FOREVER])], watch=Watch(give_up_s=300.0))
    with ExitStack() as first, ExitStack() as second:

        def restart() -> None:
            first.close()
            second.enter_context(live_server(model=toy_path, port=port))

        restarting = threading.Thread(target=restart)
        begun, ended = at_onset(1, restarting.start), at_onset(2, ctrl_c)

        def react(message: Message) -> None:
            if message["type"] == "anew":
                found.set()
            begun(message)
            ended(message)

        server = first.enter_context(live_server(model=toy_path, port=port, drain_ms=0))
        told = sent(server.ws, input, react)
        restarting.join()
    assert [message["reason"] for message in told if message["type"] == "anew"] == ["shutdown"]
    assert [message["type"] for message in told].count("summary") == 2
    assert len({message["session"] for message in told if message["type"] == "started"}) == 2
    assert [reader.closed for reader in input.readers] == [1]  # the microphone stayed open meanwhile


def test_a_service_that_ends_the_session_of_a_pipe_is_an_error(toy_path: Path) -> None:
    read, write = os.pipe()
    with ExitStack() as first, open(write, "wb", buffering=0) as pipe:
        server = first.enter_context(live_server(model=toy_path, drain_ms=0))
        pipe.write(pcm16(low_high()[:12_000]))
        stopping = threading.Thread(target=first.close)
        input = PipeInput(read, "standard input", "pcm_s16le", 16_000)
        with pytest.raises(StreamError, match="the server ended the session"):
            sent(server.ws, input, at_onset(1, stopping.start))
        stopping.join()


@pytest.fixture
def cable(monkeypatch: pytest.MonkeyPatch) -> "Cable":
    monkeypatch.setattr(remote, "TICK_S", 0.01)
    monkeypatch.setattr(remote, "LAST_WORDS_S", 0.1)
    cable = Cable()
    monkeypatch.setattr("client.stream.dialled", cable.dialled)
    return cable


class Cable:
    """To the service; may be cut."""

    def __init__(self) -> None:
        self.whole = True
        self._sockets: list[Any] = []

    async def dialled(self, address: str, token: str | None) -> Any:
        if not self.whole:
            raise StreamError("unreachable", "nobody answers", retryable=True)
        self._sockets.append(await dialled(address, token))
        return self._sockets[-1]

    def cut(self) -> None:
        self.whole = False
        self._sockets[-1].transport.abort()


def test_a_connection_that_is_lost_is_told_and_so_is_its_return(server: LiveServer, cable: Cable) -> None:
    away: list[bool] = []

    def react(message: Message) -> None:
        begun(message)
        if message["type"] == "source" and message["detail"] == remote.AWAY.detail:
            cable.whole = True
            away.append(True)
        elif away and message["type"] == "source":
            ctrl_c()

    begun = at_onset(1, cable.cut)
    told = sent(server.ws, FakeInput([FakeReader(HALL, [*LOW, FOREVER])]), react)
    assert [state for state, _ in states(told)] == ["recovering", "healthy", "recovering", "healthy"]
    assert told[-1]["type"] == "summary"


def test_ctrl_c_waits_for_a_service_that_is_away_only_for_a_while(server: LiveServer, cable: Cable) -> None:
    def react(message: Message) -> None:
        begun(message)
        if message["type"] == "source" and message["detail"] == remote.AWAY.detail:
            ctrl_c()

    begun = at_onset(1, cable.cut)
    with pytest.raises(StreamError, match="what it had not yet told is lost"):
        sent(server.ws, FakeInput([FakeReader(HALL, [*LOW, FOREVER])]), react)
