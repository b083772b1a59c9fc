"""The asyncio client against the real server."""

import asyncio
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from client.stream import Stream, StreamError, connect, stream_address
from tests.live_server import LiveServer, bare, live_server, stream
from tests.synth import low_high, pcm16

CHUNK = 640  # bytes: 20 ms


async def send_all(session: Stream, pcm: bytes) -> None:
    for at in range(0, len(pcm), CHUNK):
        await session.send(pcm[at : at + CHUNK])


def test_an_iterating_task_hears_every_message_while_another_sends(server: LiveServer) -> None:
    async def session() -> tuple[list[Any], dict[str, Any]]:
        heard: list[Any] = []

        async def listen(session: Stream) -> None:
            async for message in session:
                heard.append(message)

        async with connect(server.url, sample_rate=16_000, encoding="pcm_s16le") as open_session:
            assert open_session.ready["type"] == "ready"
            assert open_session.started["effective"]["audio"]["sample_rate"] == 16_000
            listening = asyncio.create_task(listen(open_session))
            await send_all(open_session, pcm16(low_high()))
            summary = await open_session.stop()
            await listening
        return heard, summary

    heard, summary = asyncio.run(session())
    assert heard[-1] == summary
    assert bare(heard) == bare(stream(server, pcm16(low_high())))
    assert [m["label"] for m in heard if m["type"] == "event"] == ["low", "low", "high", "high"]
    assert [m["seq"] for m in heard] == list(range(2, 2 + len(heard)))


def test_stop_leaves_what_it_received_to_a_later_iteration(server: LiveServer) -> None:
    async def session() -> tuple[list[Any], dict[str, Any]]:
        async with connect(server.ws, sample_rate=16_000, emit={"frames_hz": 10}) as open_session:
            await send_all(open_session, low_high().tobytes())
            summary = await open_session.stop()
            return [message async for message in open_session], summary

    heard, summary = asyncio.run(session())
    assert heard[-1] == summary
    assert len(bare(heard)) == 4
    assert any(isinstance(message, bytes) for message in heard)


def test_commands_are_answered_in_the_iteration(server: LiveServer) -> None:
    async def session() -> list[str]:
        async with connect(server.ws, sample_rate=16_000, emit={"levels_hz": 0}) as open_session:
            await open_session.send(np.zeros(320, np.float32).tobytes())
            await open_session.command("gap", samples=160, reason="test")
            await open_session.command("flush", id="f1")
            await open_session.stop()
            return [message["type"] async for message in open_session if isinstance(message, dict)]

    assert asyncio.run(session()) == ["gap", "flushed", "summary"]


@pytest.mark.parametrize("cut", [True, False])
def test_where_the_service_keeps_no_session_another_begins_after_a_lost_connection_and_after_a_restart(
    toy_path: Path, cut: bool
) -> None:
    pcm = pcm16(np.tile(low_high(), 2))
    half = len(pcm) // 4 * 2
    heard: list[Any] = []

    async def session(url: str, stop: Callable[[], None]) -> dict[str, Any]:
        async with connect(url, sample_rate=16_000, encoding="pcm_s16le", first_wait_s=0.05, anew=True) as open_session:
            assert open_session.started["resume"] is None

            async def listen() -> None:
                async for message in open_session:
                    heard.append(message)

            listening = asyncio.create_task(listen())
            await send_all(open_session, pcm[:half])
            while not any(message["type"] == "event" for message in heard):
                await asyncio.sleep(0.01)
            if cut:
                open_session._socket.transport.abort()
            else:
                await asyncio.to_thread(stop)
            while not any(message["type"] == "anew" for message in heard):
                assert not listening.done()
                await asyncio.sleep(0.01)
            await send_all(open_session, pcm[half:])
            summary = await open_session.stop()
            await listening
        return summary

    with ExitStack() as first, ExitStack() as second:
        settings = {"model": toy_path, "resume_s": 0, "stall_ms": 600_000}
        server = first.enter_context(live_server(**settings))

        def stop() -> None:
            first.close()
            second.enter_context(live_server(port=int(server.url.rpartition(":")[2]), **settings))

        summary = asyncio.run(session(server.url, stop))
    (at,) = [i for i, message in enumerate(heard) if message["type"] == "anew"]
    anew = heard[at]
    assert anew["reason"] == ("resume_unknown" if cut else "shutdown")
    assert summary["audio_ms"] == (len(pcm) // 2 - anew["sample"]) / 16  # every sample after it was sent again


def test_a_lost_connection_ends_a_session_that_the_service_does_not_keep(toy_path: Path) -> None:
    async def session(url: str) -> None:
        async with connect(url, sample_rate=16_000, encoding="pcm_s16le") as open_session:
            open_session._socket.transport.abort()
            await open_session.stop()

    with live_server(model=toy_path, resume_s=0) as server, pytest.raises(StreamError, match="1006"):
        asyncio.run(session(server.url))


def test_a_refused_start_is_an_error_with_the_servers_code_and_words(server: LiveServer) -> None:
    async def session() -> None:
        async with connect(server.ws, sample_rate=16_000, detect={"labels": ["kazoo"]}):
            pass

    with pytest.raises(StreamError, match="'kazoo' is not a label") as caught:
        asyncio.run(session())
    assert caught.value.code == "unknown_label"


def test_after_bad_audio_the_summary_still_comes_before_the_error(server: LiveServer) -> None:
    async def session() -> None:
        async with connect(server.ws, sample_rate=16_000) as open_session:
            await open_session.send(b"\0\0\0")
            messages = aiter(open_session)
            told = {(await anext(messages))["type"], (await anext(messages))["type"]}
            assert told == {"summary", "error"}
            assert open_session.summary is not None
            await anext(messages)

    with pytest.raises(StreamError, match="3 bytes are not whole samples"):
        asyncio.run(session())


def test_bad_audio_is_told_to_the_sender_too(server: LiveServer) -> None:
    async def session() -> None:
        async with connect(server.ws, sample_rate=16_000) as open_session:
            await open_session.send(b"\0\0\0")
            await open_session.stop()

    with pytest.raises(StreamError, match="3 bytes are not whole samples") as caught:
        asyncio.run(session())
    assert caught.value.code == "partial_sample"


def test_a_service_that_is_not_there_is_told_with_its_address() -> None:
    async def session() -> None:
        async with connect("ws://127.0.0.1:1", sample_rate=16_000):
            pass

    with pytest.raises(StreamError, match="no Spiccato service answers at ws://127") as caught:
        asyncio.run(session())
    assert caught.value.retryable


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://studio:8000", "ws://studio:8000/v1/stream"),
        ("https://studio/", "wss://studio/v1/stream"),
        ("ws://studio/spiccato", "ws://studio/spiccato/v1/stream"),
        ("wss://studio/v1/stream", "wss://studio/v1/stream"),
    ],
)
def test_an_address_may_be_the_services_or_the_streams(url: str, address: str) -> None:
    assert stream_address(url) == address


@pytest.mark.parametrize("url", ["studio:8000", "ftp://studio", ""])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(StreamError, match="is not an address"):
        stream_address(url)
