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
from pathlib import Path

import pytest

from tests.live_server import eventually

DEVICE = "pulse"  # PortAudio's name of the ALSA device that goes to PulseAudio
PACKAGES = "pulseaudio pulseaudio-utils libasound2-plugins libportaudio2"
ASOUND = "/usr/share/alsa/alsa.conf"


def fake_portaudio(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """Every recording process started from now on finds tests/fake_portaudio in place of sounddevice."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent / "fake_portaudio"))
    monkeypatch.setenv("FAKE_PORTAUDIO", kind)


class VirtualMic:
    def __init__(self, folder: Path) -> None:
        asound = folder / "asound.conf"
        asound.write_text(f"pcm.{DEVICE} {{ type pulse }}\nctl.{DEVICE} {{ type pulse }}\n")
        self.env = os.environ | {
            "XDG_RUNTIME_DIR": str(folder),
            "PULSE_RUNTIME_PATH": str(folder),
            "PULSE_STATE_PATH": str(folder),
            "PULSE_SERVER": f"unix:{folder}/socket",
            "PULSE_SOURCE": "mic.monitor",
            "ALSA_CONFIG_PATH": f"{ASOUND}:{asound}",
        }
        command = ["pulseaudio", "-n", "--daemonize=no", "--use-pid-file=no", "--exit-idle-time=-1"]
        command.append(f"--load=module-native-protocol-unix auth-anonymous=1 socket={folder}/socket")
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
        return subprocess.Popen(["paplay", "--device=mic", str(path)], env=self.env)

    def stop(self) -> None:
        self._daemon.terminate()
        self._daemon.wait(10)

    def _pactl(self, *arguments: str, check: bool = False) -> "subprocess.CompletedProcess[bytes]":
        return subprocess.run(["pactl", *arguments], env=self.env, capture_output=True, check=check, timeout=10)


@pytest.fixture
def virtual_mic() -> Iterator[VirtualMic]:
    missing = [program for program in ("pulseaudio", "pactl", "paplay") if shutil.which(program) is None]
    if ctypes.util.find_library("portaudio") is None:
        missing.append("libportaudio2")
    if not list(Path("/usr/lib").glob("*/alsa-lib/libasound_module_pcm_pulse.so")):
        missing.append("libasound2-plugins")
    if missing:
        pytest.skip(f"no virtual microphone without {', '.join(missing)}: apt-get install {PACKAGES}")
    folder = Path(tempfile.mkdtemp(prefix="spiccato-mic-"))  # short: a socket's path has at most 107 characters
    microphone = VirtualMic(folder)
    try:
        yield microphone
    finally:
        microphone.stop()
        shutil.rmtree(folder)
