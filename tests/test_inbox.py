"""The queue of a session: in order, bounded, nothing dropped."""

import asyncio
from collections.abc import Awaitable

from server.inbox import OVERHEAD_BYTES, Inbox


def run(test: Awaitable[None]) -> None:
    asyncio.run(asyncio.wait_for(test, 10))  # type: ignore[arg-type]


def test_messages_come_out_in_order_with_their_arrivals() -> None:
    async def test() -> None:
        inbox = Inbox(10_000)
        for message in (b"one", "two", b"three"):
            await inbox.put(message)
        assert inbox.audio_bytes == len(b"one") + len(b"three")
        got = [await inbox.get(1) for _ in range(3)]
        assert [message for message, _ in filter(None, got)] == [b"one", "two", b"three"]
        arrivals = [at for _, at in filter(None, got)]
        assert arrivals == sorted(arrivals)
        assert inbox.audio_bytes == 0

    run(test())


def test_a_full_inbox_makes_the_reader_of_the_socket_wait() -> None:
    async def test() -> None:
        inbox = Inbox(2 * (100 + OVERHEAD_BYTES))
        for _ in range(2):
            await inbox.put(bytes(100))
        third = asyncio.create_task(inbox.put(b"last"))
        await asyncio.sleep(0)
        assert not third.done()
        await inbox.get(1)
        await third
        assert [len((await inbox.get(1) or (b"", 0))[0]) for _ in range(2)] == [100, 4]

    run(test())


def test_one_message_fits_whatever_its_size() -> None:
    async def test() -> None:
        inbox = Inbox(10)
        await inbox.put(bytes(1_000))
        assert await inbox.get(1) is not None

    run(test())


def test_many_small_messages_are_bounded_too() -> None:
    async def test() -> None:
        inbox = Inbox(100 * OVERHEAD_BYTES)
        filling = asyncio.create_task(_fill(inbox))
        for _ in range(1_000):
            await asyncio.sleep(0)
        assert not filling.done()
        assert inbox.audio_bytes <= 100
        filling.cancel()

    async def _fill(inbox: Inbox) -> None:
        while True:
            await inbox.put(b"x")

    run(test())


def test_get_gives_up_when_its_time_is_over() -> None:
    async def test() -> None:
        assert await Inbox(10).get(0.001) is None

    run(test())


def test_a_closed_inbox_gives_out_what_waits_and_wakes_whoever_waits() -> None:
    async def test() -> None:
        inbox = Inbox(10)
        await inbox.put(b"first")
        blocked = asyncio.create_task(inbox.put(b"second"))
        await asyncio.sleep(0)
        inbox.close("shutdown")
        inbox.close("disconnect")
        await blocked
        assert inbox.closed == "shutdown"
        assert (await inbox.get(1) or (b"", 0))[0] == b"first"
        assert await inbox.get(60) is None

    run(test())
