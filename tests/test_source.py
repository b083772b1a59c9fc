"""One source with a written input: states, waits, sessions, muting, ends."""

from typing import Any

import numpy as np
import pytest

from engine.weights import Model
from server.reader import Block, Opened, ReadError, Watch
from server.source import Source
from tests.fake_input import FOREVER, FakeInput, FakeReader, Message, blocks, run
from tests.live_server import bare
from tests.synth import low_high

HALL = Opened("Hall (Fake)", 16_000, details={"device": "Hall"})


def stop_at(type: str, **fields: Any) -> Any:
    """A reaction: stop at the first message of `type` with these fields."""

    def react(source: Source, told: Message) -> None:
        if told["type"] == type and all(told[name] == value for name, value in fields.items()):
            source.stop()

    return react


def states(told: list[Message]) -> list[str]:
    return [message["state"] for message in told if message["type"] == "source"]


def never(_: Source, __: Message) -> None:
    pass


def test_what_is_over_ends_the_source_with_a_summary(toy: Model) -> None:
    input = FakeInput([FakeReader(HALL, [*blocks(low_high()), None])], kind="file", title="song.wav")
    told = run(toy, input, never)
    assert [event["label"] for event in bare(told) if event["is_final"]] == ["low", "high"]
    assert told[-2]["type"] == "summary"
    assert (told[-1]["state"], told[-1]["detail"]) == ("ended", "song.wav is over")
    assert input.readers[0].closed == 1


def test_waits_between_tries_grow_and_the_last_one_stays(toy: Model) -> None:
    busy = ReadError("device_busy", "it is busy")
    input = FakeInput([busy] * 5, watch=Watch(retry_s=(0.01, 0.02, 0.04)))
    told = run(toy, input, lambda source, _: source.stop() if not input.openings else None)
    waits = [message["retry_in_ms"] for message in told if message["type"] == "source" and message["state"] == "lost"]
    assert waits == [10, 20, 40, 40, 40]


def test_what_goes_away_closes_its_labels_and_comes_back_as_a_new_session_at_its_own_rate(toy: Model) -> None:
    gone = ReadError("device_lost", "Hall is gone")
    low = blocks(low_high()[:12_000])
    input = FakeInput(
        [FakeReader(HALL, [*low, gone]), FakeReader(Opened("Hall (Fake)", 48_000), [*low, FOREVER])],
        watch=Watch(retry_s=(0.01,)),
    )
    healthy: list[Message] = []

    def react(source: Source, told: Message) -> None:
        if told["type"] == "source" and told["state"] == "healthy":
            healthy.append(told)
            if len(healthy) == 2:
                source.stop()

    told = run(toy, input, react)
    assert states(told) == ["recovering", "healthy", "lost", "recovering", "healthy"]
    closing = [event for event in told if event["type"] == "event" and event["is_final"]]
    assert next(event["reason"] for event in closing) == "stall"
    started = [message for message in told if message["type"] == "started"]
    assert [message["effective"]["audio"]["sample_rate"] for message in started] == [16_000, 48_000]
    assert len({message["session"] for message in started}) == 2
    assert [reader.closed for reader in input.readers] == [1, 1]


def test_what_asks_for_it_is_opened_again_at_once_but_only_once(toy: Model) -> None:
    turned = ReadError("format_changed", "the rate is another", "at_once")
    input = FakeInput([FakeReader(HALL, [turned]), FakeReader(HALL, [turned])], watch=Watch(retry_s=(0.05,)))
    told = run(toy, input, lambda source, _: source.stop() if not input.openings else None)
    waits = [message["retry_in_ms"] for message in told if message["type"] == "source" and message["state"] == "lost"]
    assert waits[0] == 0
    assert all(wait == 50 for wait in waits[1:])


def test_what_only_a_person_can_mend_fails_and_waits_for_another_input(toy: Model) -> None:
    other = FakeInput([FakeReader(HALL, [*blocks(low_high()), None])], kind="file")

    def react(source: Source, told: Message) -> None:
        if told["type"] == "source" and told["state"] == "failed":
            source.change(other)

    told = run(toy, FakeInput([ReadError("no_portaudio", "no PortAudio", "never")]), react)
    assert states(told) == ["recovering", "failed", "recovering", "healthy", "ended"]


def test_sound_that_stays_silent_is_told_and_so_is_its_return(toy: Model) -> None:
    zeros = np.zeros(16_000, np.float32)
    input = FakeInput(
        [FakeReader(HALL, [*blocks(low_high()), *blocks(zeros), *blocks(low_high()), None])],
        watch=Watch(silent_s=0.5),
    )
    told = run(toy, input, never)
    assert states(told) == ["recovering", "healthy", "silent", "healthy", "ended"]
    silent = next(message for message in told if message["type"] == "source" and message["state"] == "silent")
    assert "below -90 dBFS" in silent["detail"]


def test_muted_it_hears_zeros_closes_its_labels_and_its_clock_goes_on(toy: Model) -> None:
    sound = np.tile(low_high()[8_000:24_000], 4)
    heard: list[Block] = []
    muted: list[Message] = []

    def react(source: Source, told: Message) -> None:
        if told["type"] == "event" and told["phase"] == "onset" and not muted:
            source.mute(True)
        if told["type"] == "source" and told["muted"]:
            muted.append(told)

    input = FakeInput([FakeReader(HALL, [*blocks(sound), None])], watch=Watch(silent_s=0.1))
    told = run(toy, input, react, tap=lambda _, block: heard.append(block))
    events = [event for event in told if event["type"] == "event"]
    assert [event["reason"] for event in events if event["is_final"]] == ["mute"]
    assert states(told) == ["recovering", "healthy", "healthy", "ended"]
    assert told[-2]["audio_ms"] == len(sound) / 16
    assert "gap" not in {message["type"] for message in told}
    assert not any(heard[-1].pcm)
    assert sum(len(block.pcm) for block in heard) == 4 * len(sound)


def test_lost_samples_are_told_as_a_gap_with_their_reason(toy: Model) -> None:
    one = blocks(low_high())[0]
    input = FakeInput([FakeReader(HALL, [one, Block(one.pcm, 480, "network"), None])])
    gap = next(message for message in run(toy, input, never) if message["type"] == "gap")
    assert (gap["from_sample"], gap["samples"], gap["reason"]) == (320, 480, "network")


def test_sound_that_cannot_be_heard_loses_the_source_with_the_reason(toy: Model) -> None:
    wrong = Block(np.full(320, np.nan, "<f4").tobytes())
    input = FakeInput([FakeReader(HALL, [wrong, FOREVER])])
    told = run(toy, input, stop_at("source", state="lost"))
    assert "must be finite" in told[-1]["detail"]


def test_a_fault_of_ours_is_told_and_raised(toy: Model) -> None:
    with pytest.raises(RuntimeError, match="StopIteration"):
        run(toy, FakeInput([FakeReader(HALL, [])]), never)
