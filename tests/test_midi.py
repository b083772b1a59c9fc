"""MIDI: a note or a controller for each label; through a backend made for tests, and through a real virtual port."""

import asyncio
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import mido
import pytest

from server.outputs import runner as runner_module
from tests import fake_midi
from tests.conftest import ROOT
from tests.live_server import eventually
from tests.ways import end, onset, output, running, until


@pytest.fixture(autouse=True)
def backend(monkeypatch: pytest.MonkeyPatch) -> None:
    made = mido.Backend("tests.fake_midi")
    monkeypatch.setattr(mido, "open_output", made.open_output)
    monkeypatch.setattr(mido, "get_output_names", made.get_output_names)
    monkeypatch.setattr(runner_module, "FIRST_PAUSE_S", 0.001)
    fake_midi.ports.clear()
    fake_midi.closed.clear()


def sent(**settings: Any) -> list[str]:
    """What a port gets when `low` plays in two places at once, then `high`, which still sounds at the stop."""

    async def scene() -> None:
        async with running(output(kind="midi", **settings)) as (hub, ways):
            await until(lambda: ways.told()[0]["state"] == "ok")
            here, there = onset(score=0.5), onset(id="e2", score=0.9)
            hub.tell("stage", here)
            hub.tell("hall", there)
            hub.tell("stage", end(here))
            hub.tell("hall", end(there))
            hub.tell("stage", onset("high", id="e3", score=1.0))
            await until(lambda: ways.told()[0]["sent"] == 5)

    asyncio.run(scene())
    (name,) = fake_midi.ports
    assert fake_midi.closed == [name]
    return [str(message).removesuffix(" time=0") for message in fake_midi.ports[name]]


def test_a_label_is_a_note_for_as_long_as_it_sounds_anywhere() -> None:
    assert sent() == [
        "note_on channel=0 note=36 velocity=64",
        "note_off channel=0 note=36 velocity=0",
        "note_on channel=0 note=37 velocity=127",
        "note_off channel=0 note=37 velocity=0",
    ]


def test_numbers_channel_and_velocity_are_chosen() -> None:
    assert sent(channel=10, first=60, numbers={"low": 3}, velocity=100)[::2] == [
        "note_on channel=9 note=3 velocity=100",
        "note_on channel=9 note=61 velocity=100",
    ]


def test_a_label_is_a_controller() -> None:
    assert sent(send="controller", numbers={"low": 20, "high": 21}) == [
        "control_change channel=0 control=20 value=64",
        "control_change channel=0 control=20 value=0",
        "control_change channel=0 control=21 value=127",
        "control_change channel=0 control=21 value=0",
    ]


@pytest.mark.parametrize(
    ("port", "told"), [("Drums", "2 ports are called so; there are ['Synth"), ("Organ", "0 ports")]
)
def test_a_port_that_is_not_to_be_found_is_told(port: str, told: str) -> None:
    async def scene() -> None:
        async with running(output(kind="midi", port=port, virtual=False)) as (_, ways):
            await until(lambda: ways.told()[0]["state"] == "retrying")
            assert ways.told()[0]["detail"].startswith(f"port {port}: {told}")

    asyncio.run(scene())


def test_a_port_is_found_by_a_part_of_its_name() -> None:
    sent(port="Synth", virtual=False)
    assert set(fake_midi.ports) == {"Synth:in 20:0"}


REAL = """
import asyncio, mido
from tests.ways import end, onset, output, running, until

async def scene():
    async with running(output(kind="midi", port="Spiccato test")) as (hub, ways):
        await until(lambda: ways.told()[0]["state"] == "ok")
        (name,) = [name for name in mido.get_input_names() if "Spiccato test" in name]
        with mido.open_input(name) as heard:
            note = onset(score=0.5)
            hub.tell("stage", note)
            hub.tell("stage", end(note))
            for _ in range(2):
                print(await asyncio.to_thread(heard.receive), flush=True)

asyncio.run(scene())
"""


def test_a_real_virtual_port_is_heard_by_another_client(tmp_path: Path) -> None:
    """ALSA's sequencer where this machine has one, or else JACK without a sound card."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    jack = None
    if not Path("/dev/snd/seq").exists():
        if shutil.which("jackd") is None:
            pytest.skip("no ALSA sequencer and no jackd: apt-get install jackd2")
        environment |= {
            "JACK_DEFAULT_SERVER": f"spiccato-{os.getpid()}",
            "JACK_NO_AUDIO_RESERVATION": "1",
            "MIDO_BACKEND": "mido.backends.rtmidi/UNIX_JACK",
        }
        command = ["jackd", "-n", environment["JACK_DEFAULT_SERVER"], "-r", "--no-mlock", "-d", "dummy", "-p", "512"]
        log = tmp_path / "jackd.log"
        with log.open("wb") as out:
            jack = subprocess.Popen(command, env=environment, stdout=out, stderr=out)
        wait = ["jack_wait", "-s", environment["JACK_DEFAULT_SERVER"], "-c"]
        eventually(
            lambda: subprocess.run(wait, env=environment, capture_output=True, check=False).stdout == b"running\n"
        )
    try:
        done = subprocess.run(
            [sys.executable, "-c", REAL], env=environment, capture_output=True, text=True, timeout=60, check=False
        )
    finally:
        if jack is not None:
            jack.terminate()
            jack.wait(60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "note_on channel=0 note=36 velocity=64 time=0",
        "note_off channel=0 note=36 velocity=0 time=0",
    ]
