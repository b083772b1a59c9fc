"""Framed audio: the index of each chunk on the session's clock makes gaps known and sending again harmless."""

import contextlib
import json
import struct
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.errors import Code, Refusal
from server.framing import HEADER, Header, following, unframed
from tests.live_server import bare
from tests.synth import low_high, pcm16, tone
from tests.test_session import Client, alone
from tests.toy import toy_model

AUDIO = {"encoding": "pcm_s16le", "sample_rate": 16_000, "framing": "framed"}
SOUND = pcm16(low_high())
SAMPLES = len(SOUND) // 2


def framed(first: int, end: int, chunk: int = 0, *, discontinuity: bool = False, sound: bytes = SOUND) -> bytes:
    return Header(chunk, first, discontinuity).pack() + sound[2 * first : 2 * end]


def client() -> Client:
    return Client(toy_model(), audio=AUDIO)


def say(client: Client, *messages: bytes) -> list[Any]:
    said: list[Any] = []
    for message in messages:
        client.clock.now += 0.02
        said += client.keep(client.session.audio(message, client.clock.now))
    return said


def test_the_header_has_the_documented_sixteen_bytes() -> None:
    by_hand = struct.pack("<4BIQ", 0xA5, 1, 1, 0, 7, 331_200) + b"ab"
    assert unframed(by_hand) == (Header(7, 331_200, discontinuity=True), b"ab")
    assert Header(7, 331_200, discontinuity=True).pack() == by_hand[:16]
    assert Header(2**32 + 5, 0).pack()[4:8] == bytes([5, 0, 0, 0])  # the number goes round


@pytest.mark.parametrize(
    ("message", "code", "says"),
    [
        (b"", "empty_chunk", "0 bytes"),
        (bytes(15), "bad_framing", "15 bytes: .* header of 16"),
        (HEADER.pack(0xF5, 1, 0, 0, 0, 0) + b"ab", "bad_framing", "magic=0xf5 .* 0xa5"),
        (HEADER.pack(0xA5, 2, 0, 0, 0, 0) + b"ab", "bad_framing", "version=0x02 .* 0x01"),
        (HEADER.pack(0xA5, 1, 6, 0, 9, 0) + b"ab", "bad_framing", "flags=0x06, .* chunk 9"),
        (HEADER.pack(0xA5, 1, 0, 1, 0, 0) + b"ab", "bad_framing", "reserved=0x01"),
        (HEADER.pack(0xA5, 1, 0, 0, 3, 2**63) + b"ab", "bad_framing", "chunk 3 begins at sample 9223372036854775808"),
        (HEADER.pack(0xA5, 1, 0, 0, 0, 0), "empty_chunk", "0 bytes"),
        (HEADER.pack(0xA5, 1, 0, 0, 0, 0) + b"abc", "partial_sample", "3 bytes"),
    ],
)
def test_a_header_that_cannot_be_is_refused_by_name(message: bytes, code: str, says: str) -> None:
    session = client()
    say(session, message)
    (error,) = session.of("error")
    assert error["code"] == code
    with pytest.raises(Refusal, match=says):
        raise Refusal(Code(code), error["message"])


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_sending_again_changes_nothing(data: st.DataObject) -> None:
    cuts = sorted({0, SAMPLES, *data.draw(st.lists(st.integers(1, SAMPLES - 1), max_size=30))})
    session = client()
    for first, end in pairwise(cuts):
        again = data.draw(st.integers(0, first))  # some of what was sent before comes once more
        say(session, framed(again, end))
        if data.draw(st.booleans()):
            old = data.draw(st.integers(0, end - 1))
            assert not [m for m in say(session, framed(old, end)) if m["type"] in ("event", "gap")]
    session.send("stop")
    assert bare(session.told) == alone(toy_model(), SOUND)
    assert (session.of("summary")[0]["audio_ms"], session.of("summary")[0]["gaps"]) == (3_500, 0)


def test_an_index_ahead_is_a_gap_told_at_once_as_if_the_client_had_told_it() -> None:
    told, counted = Client(toy_model()), client()
    say(told, SOUND[: 2 * 20_000])
    told.send("gap", samples=4_000)
    say(told, SOUND[2 * 24_000 :])
    say(counted, framed(0, 20_000))
    first = say(counted, framed(24_000, 24_320))
    say(counted, framed(24_320, SAMPLES))
    notice = [m for m in first if m["type"] == "gap"]
    assert [(m["from_sample"], m["samples"], m["where"], m["reason"]) for m in notice] == [
        (20_000, 4_000, "network", "index")
    ]
    assert ("offset", "gap") in [(m["phase"], m["reason"]) for m in first if m["type"] == "event"]
    for session in (told, counted):
        session.send("stop")
    assert bare(told.told) == bare(counted.told)
    assert counted.of("summary")[0]["dropped_ms"] == 250


def test_a_discontinuity_closes_what_is_open_and_the_clock_goes_on() -> None:
    session = client()
    say(session, framed(0, 20_000))
    said = say(session, framed(20_000, 21_000, discontinuity=True))
    kinds = [(m["type"], m.get("reason")) for m in said if m["type"] in ("event", "gap")]
    assert kinds[:2] == [("event", "gap"), ("gap", "discontinuity")]
    assert not [m for m in say(session, framed(20_000, 21_000, discontinuity=True)) if m["type"] == "gap"]
    session.send("stop")
    summary = session.of("summary")[0]
    assert (summary["audio_ms"], summary["dropped_ms"]) == (1312.5, 0)


HEADERS = st.tuples(
    st.sampled_from([0xA5] * 6 + [0, 0xF5]),
    st.sampled_from([1] * 6 + [0, 2, 255]),
    st.sampled_from([0] * 6 + [1, 2, 255]),
    st.sampled_from([0] * 8 + [1]),
    st.integers(0, 2**32 - 1),
    st.one_of(st.integers(0, 9_000), st.integers(0, 2**64 - 1)),
).map(lambda fields: HEADER.pack(*fields))
FUZZ = st.one_of(
    st.binary(max_size=40),
    st.tuples(HEADERS, st.binary(max_size=64)).map(b"".join),
    st.tuples(HEADERS, st.integers(1, 3_000).map(lambda n: pcm16(tone(200, n / 16_000)))).map(b"".join),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(FUZZ, min_size=1, max_size=12))
def test_whatever_bytes_come_the_session_answers_by_name_and_keeps_its_clock(messages: list[bytes]) -> None:
    session = client()
    for message in messages:
        before = session.of("gap")
        expected = sum(g["samples"] for g in before)
        if session.session.closed is None:
            assert session.session.stream is not None
            expected = session.session.stream.hearing.sample
        say(session, message)
        for gap in session.of("gap")[len(before) :]:
            assert gap["from_sample"] == expected
            assert gap["samples"] <= 2**40
    session.keep(session.session.end("stop"))
    texts = [out for out in session.told if isinstance(out, dict)]
    assert [out["seq"] for out in texts] == list(range(len(texts)))
    assert texts[-1]["type"] == "summary"
    assert texts[-1]["audio_ms"] == pytest.approx(
        texts[-1]["processed_ms"] + texts[-1]["dropped_ms"], rel=1e-9, abs=0.01
    )
    assert {error["code"] for error in session.of("error")} <= {"bad_framing", "empty_chunk", "partial_sample"}
    json.dumps(texts)


def test_twenty_thousand_random_messages_raise_nothing_but_refusals() -> None:
    rng = np.random.default_rng(1)
    accepted = 0
    for _ in range(20_000):
        data = bytearray(Header(int(rng.integers(2**32)), int(rng.integers(2**62))).pack() + bytes(8))
        for _ in range(int(rng.integers(3))):
            data[int(rng.integers(len(data)))] = int(rng.integers(256))
        with contextlib.suppress(Refusal):  # and nothing else
            header, rest = unframed(bytes(data[: int(rng.integers(25))]))
            accepted += 1
            assert header.pack() + rest == bytes(data[: HEADER.size + len(rest)])
    print(f"20 000 messages, {accepted} of them taken, the others refused by name")
    assert 3_000 < accepted < 10_000


@pytest.mark.parametrize("at", [0, 1, 2, 3, 8, 15])
def test_only_a_plain_header_follows_on(at: int) -> None:
    whole = Header(7, 320).pack() + b"sound"
    assert following(whole, 320) == b"sound"
    assert following(whole[:15], 320) == following(whole, 321) == b""
    other = bytearray(whole)
    other[at] ^= 1
    assert following(bytes(other), 320) == b""
