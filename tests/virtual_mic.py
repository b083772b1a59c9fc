"""A real PortAudio microphone on a machine without sound hardware: a PulseAudio null sink whose monitor is recorded.

The daemon is private: its own runtime directory, no user's configuration, no fixed socket. What `play` plays is what
a program started with `env` records from the ALSA device `DEVICE`. Skips, naming the packages, where it cannot run.
"""

import ctypes.util
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.live_server import eventually

DEVICE = "pulse"  # PortAudio's name of the ALSA device that goes to PulseAudio
SECOND = "second"  # of another microphone, with a daemon of its own: one daemon would move a stream to the other
PACKAGES = "pulseaudio pulseaudio-utils libasound2-plugins libportaudio2"
ASOUND = "/usr/share/alsa/alsa.conf"


def fake_portaudio(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """Every recording process started from now on finds tests/fake_portaudio in place of sounddevice."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent / "fake_portaudio"))
    monkeypatch.setenv("FAKE_PORTAUDIO", kind)


class FakePlugs:
    """Fake microphones that are plugged in and pulled while recording processes run."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path, *names: str) -> None:
        fake_portaudio(monkeypatch, "tone")
        self._file = folder / "plugged"
        monkeypatch.setenv("FAKE_DEVICES", str(self._file))
        self.are(*names)

    def are(self, *names: str) -> None:
        """These are there from now on, in this order."""
        new = self._file.with_suffix(".new")
        new.write_text("\n".join(names))
        new.replace(self._file)


class VirtualMic:
    def __init__(self, folder: Path, device: str = DEVICE) -> None:
        asound = folder / "asound.conf"
        asound.write_text(f'pcm.{device} {{ type pulse server "unix:{folder}/socket" device mic.monitor }}\n')
        self.env = os.environ | {
            "XDG_RUNTIME_DIR": str(folder),
            "PULSE_RUNTIME_PATH": str(folder),
            "PULSE_STATE_PATH": str(folder),
            "PULSE_SERVER": f"unix:{folder}/socket",
            "ALSA_CONFIG_PATH": f"{ASOUND}:{asound}",
        }
        command = ["pulseaudio", "-n", "--daemonize=no", "--use-pid-file=no", "--exit-idle-time=-1"]
        command.append(f"--load=module-native-protocol-unix auth-anonymous=1 socket={folder}/socket")
        self._playing: list[subprocess.Popen[bytes]] = []
        with (folder / "log").open("wb") as log:
            self._daemon = subprocess.Popen(command, env=self.env, stdout=log, stderr=log)
        eventually(lambda: self._pactl("info").returncode == 0)
        self.plug()

    def into(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Every recording process started by this one finds the microphone."""
        for name, value in self.env.items():
            monkeypatch.setenv(name, value)

    def plug(self) -> None:
        """Connect the microphone."""
        self._pactl("load-module", "module-null-sink", "sink_name=mic", "rate=48000", check=True)

    def unplug(self) -> None:
        """Take the microphone away, from under whatever records from it."""
        self._pactl("unload-module", "module-null-sink", check=True)

    def suspend(self) -> None:
        """The device stays, but gives no more samples: what a hanging driver does."""
        self._pactl("suspend-sink", "mic", "1", check=True)

    def resume(self) -> None:
        self._pactl("suspend-sink", "mic", "0", check=True)

    def recorded_by(self) -> int:
        """How many programs record from it now."""
        return len(self._pactl("list", "short", "source-outputs", check=True).stdout.split(b"\n")) - 1

    def play(self, path: Path) -> "subprocess.Popen[bytes]":
        """Start to play a file into the microphone, in real time."""
        self._playing.append(subprocess.Popen(["paplay", "--device=mic", str(path)], env=self.env))
        return self._playing[-1]

    def beside(self, other: "VirtualMic") -> dict[str, str]:
        """The environment of a program that finds both."""
        asound = other.env["ALSA_CONFIG_PATH"].removeprefix(ASOUND)
        return self.env | {"ALSA_CONFIG_PATH": self.env["ALSA_CONFIG_PATH"] + asound}

    def stop(self) -> None:
        for program in (*self._playing, self._daemon):
            program.terminate()
            program.wait(10)

    def _pactl(self, *arguments: str, check: bool = False) -> "subprocess.CompletedProcess[bytes]":
        return subprocess.run(["pactl", *arguments], env=self.env, capture_output=True, check=check, timeout=10)


def missing() -> list[str]:
    """The packages that it lacks here."""
    lacks = [program for program in ("pulseaudio", "pactl", "paplay") if shutil.which(program) is None]
    if ctypes.util.find_library("portaudio") is None:
        lacks.append("libportaudio2")
    if not list(Path("/usr/lib").glob("*/alsa-lib/libasound_module_pcm_pulse.so")):
        lacks.append("libasound2-plugins")
    return lacks


@contextmanager
def plugged_in(device: str = DEVICE) -> Iterator[VirtualMic]:
    folder = Path(tempfile.mkdtemp(prefix="spiccato-mic-"))  # short: a socket's path has at most 107 characters
    microphone = VirtualMic(folder, device)
    try:
        yield microphone
    finally:
        microphone.stop()
        shutil.rmtree(folder)


@pytest.fixture
def virtual_mic() -> Iterator[VirtualMic]:
    if lacks := missing():
        pytest.skip(f"no virtual microphone without {', '.join(lacks)}: apt-get install {PACKAGES}")
    with plugged_in() as microphone:
        yield microphone
