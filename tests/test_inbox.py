"""The queue of a session: in order, bounded; what is dropped by its policy leaves its place."""

import asyncio
import time
from collections.abc import Awaitable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.weights import Model
from server.framing import Header
from server.inbox import MAX_MESSAGES, Dropped, Inbox, Item
from server.stream import Waiting
from tests.test_session import Client


def run(test: Awaitable[None]) -> None:
    asyncio.run(asyncio.wait_for(test, 10))  # type: ignore[arg-type]


async def put(inbox: Inbox, message: str | bytes) -> None:
    """Offered until it is let in."""
    room = asyncio.Event()
    inbox.on_room = room.set
    while not inbox.offer(message, time.monotonic()):
        room.clear()
        await room.wait()


def test_messages_come_out_in_order_with_their_arrivals() -> None:
    async def test() -> None:
        inbox = Inbox(10_000)
        for message in (b"one", "two", b"three"):
            await put(inbox, message)
        assert inbox.audio_bytes == len(b"one") + len(b"three")
        got = [inbox.take() for _ in range(3)]
        assert [message for message, _ in filter(None, got)] == [b"one", "two", b"three"]
        arrivals = [at for _, at in filter(None, got)]
        assert arrivals == sorted(arrivals)
        assert inbox.audio_bytes == 0

    run(test())


def test_a_full_inbox_makes_the_reader_of_the_socket_wait() -> None:
    async def test() -> None:
        inbox = Inbox(200)
        for _ in range(2):
            await put(inbox, bytes(100))
        third = asyncio.create_task(put(inbox, b"last"))
        await asyncio.sleep(0)
        assert not third.done()
        inbox.take()
        await third
        assert [(inbox.take() or ("", 0))[0] for _ in range(2)] == [bytes(100), b"last"]

    run(test())


def test_one_message_fits_whatever_its_size() -> None:
    async def test() -> None:
        inbox = Inbox(10)
        await put(inbox, bytes(1_000))
        assert inbox.take() is not None

    run(test())


def test_many_small_messages_are_bounded_too() -> None:
    async def test() -> None:
        inbox = Inbox(10**9)
        filling = asyncio.create_task(_fill(inbox))
        for _ in range(1_000):
            await asyncio.sleep(0)
        assert not filling.done()
        assert inbox.audio_bytes == MAX_MESSAGES
        filling.cancel()

    async def _fill(inbox: Inbox) -> None:
        while True:
            await put(inbox, b"x")

    run(test())


def test_an_empty_inbox_gives_nothing() -> None:
    assert Inbox(10).take() is None


def test_who_waits_for_a_message_is_told_of_each_and_of_the_end() -> None:
    inbox = Inbox(10)
    told: list[int] = []
    inbox.on_item = lambda: told.append(len(inbox._items))
    inbox.offer(b"one", 0.0)
    inbox.order(lambda session: [])
    inbox.close("stop")
    assert told == [1, 2, 2]


def test_a_closed_inbox_gives_out_what_waits_and_wakes_whoever_waits() -> None:
    async def test() -> None:
        inbox = Inbox(10)
        await put(inbox, b"first")
        blocked = asyncio.create_task(put(inbox, b"second"))
        await asyncio.sleep(0)
        inbox.close("shutdown")
        inbox.close("disconnect")
        await blocked
        assert inbox.closed == "shutdown"
        assert (inbox.take() or (b"", 0))[0] == b"first"
        assert inbox.take() is None

    run(test())


def samples_of(message: bytes) -> Waiting | None:
    """Bytes as samples; an odd message stands for one that cannot be used."""
    return None if message.startswith(b"?") else Waiting(None, len(message))


STEPS = st.lists(st.one_of(st.integers(1, 30), st.just("text"), st.just("get")), max_size=60)


@settings(max_examples=150, deadline=None)
@given(policy=st.sampled_from(["drop_oldest", "drop_newest"]), steps=STEPS)
def test_what_comes_out_and_what_was_dropped_are_all_that_came_in_its_order(
    policy: str, steps: list[int | str]
) -> None:
    async def test() -> None:
        inbox = Inbox(50)
        inbox.policy, inbox.samples_of = policy, samples_of  # type: ignore[assignment]
        came: list[int | str] = []
        out: list[Item] = []
        for step in steps:
            if step == "get":
                if (got := inbox.take()) is not None:
                    out.append(got[0])
            elif isinstance(step, int):
                await put(inbox, bytes([len(came) % 60]) * step)
                came += [len(came) % 60] * step
            else:
                await put(inbox, step)
                came.append(step)
            assert inbox.audio_bytes <= 50
        while (got := inbox.take()) is not None:
            out.append(got[0])
        assert inbox.audio_bytes == 0
        at = 0
        for item in out:
            if isinstance(item, Dropped):
                at += item.what.samples
                continue
            assert isinstance(item, bytes | str)
            assert came[at : at + (1 if isinstance(item, str) else len(item))] == (
                [item] if item == "text" else list(item)
            )
            at += 1 if isinstance(item, str) else len(item)
        assert at == len(came)

    run(test())


@pytest.mark.parametrize(("policy", "left"), [("drop_oldest", b"cd"), ("drop_newest", b"ab")])
def test_the_policy_says_which_audio_is_dropped_and_never_text(policy: str, left: bytes) -> None:
    async def test() -> None:
        inbox = Inbox(2)
        inbox.policy, inbox.samples_of = policy, samples_of  # type: ignore[assignment]
        for message in (b"a", b"b", "text", b"c", b"d"):
            await put(inbox, message)
        items = [(inbox.take() or ("", 0))[0] for _ in range(4)]
        assert b"".join(item for item in items if isinstance(item, bytes)) == left
        (dropped,) = [item for item in items if isinstance(item, Dropped)]
        assert (dropped.what.samples, items.index("text")) == (2, 1 if policy == "drop_oldest" else 2)
        assert inbox.take() is None

    run(test())


@pytest.mark.parametrize("policy", ["drop_oldest", "drop_newest"])
def test_a_message_that_cannot_be_used_is_never_dropped_so_that_it_is_told(policy: str) -> None:
    async def test() -> None:
        inbox = Inbox(2)
        inbox.policy, inbox.samples_of = policy, samples_of  # type: ignore[assignment]
        for message in (b"?1", b"?2", b"ab"):
            await put(inbox, message)
        items = [(inbox.take() or ("", 0))[0] for _ in range(3)]
        assert items[:2] == [b"?1", b"?2"]
        assert isinstance(items[2], Dropped)

    run(test())


@pytest.mark.parametrize("framing", ["raw", "framed"])
@pytest.mark.parametrize("policy", ["drop_oldest", "drop_newest"])
def test_dropped_audio_is_a_gap_of_its_samples_in_the_session(toy: Model, policy: str, framing: str) -> None:
    async def test() -> None:
        audio = {"encoding": "pcm_s16le", "sample_rate": 16_000, "framing": framing}
        client = Client(toy, audio=audio)
        assert client.session.stream is not None
        inbox = Inbox(10 * (640 + 16))
        inbox.policy, inbox.samples_of = policy, client.session.stream.waiting  # type: ignore[assignment]
        for chunk in range(25):
            header = Header(chunk, 320 * chunk).pack() if framing == "framed" else b""
            await put(inbox, header + bytes(640))
        while (got := inbox.take()) is not None:
            item = got[0]
            if isinstance(item, Dropped):
                client.keep(client.session.lost(item.what))
            else:
                assert isinstance(item, bytes)
                client.keep(client.session.audio(item, 0))
        client.send("stop")
        (gap,) = client.of("gap")
        kept = 10 if framing == "framed" else 10 * 656 // 640
        first = 0 if policy == "drop_oldest" else kept * 320
        assert (gap["from_sample"], gap["samples"]) == (first, (25 - kept) * 320)
        assert (gap["where"], gap["reason"]) == ("queue", "overload")
        summary = client.of("summary")[0]
        assert (summary["audio_ms"], summary["dropped_ms"]) == (500, (25 - kept) * 20)

    run(test())


def test_an_overload_that_is_an_error_ends_the_session_after_what_waits(toy: Model) -> None:
    async def test() -> None:
        client = Client(toy, on_overload="error")
        assert client.session.stream is not None
        inbox = Inbox(1_000)
        inbox.policy, inbox.samples_of = "error", client.session.stream.waiting
        for _ in range(5):
            await put(inbox, bytes(640))
        assert (inbox.take() or ("", 0))[0] == bytes(640)
        order = (inbox.take() or ("", 0))[0]
        assert callable(order)
        client.keep(order(client.session))
        assert inbox.take() is None
        assert (client.of("error")[0]["code"], client.session.closed) == ("overloaded", 4413)
        assert "640 bytes of audio wait: the limit is 1000" in client.of("error")[0]["message"]

    run(test())
