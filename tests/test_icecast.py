"""A real radio: icecast2, fed as a studio feeds it, paused and cut off. Skipped, with a word, where it is not there."""

import base64
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from numpy.typing import NDArray

from engine.weights import Model
from server.source import Source
from tests.fake_input import Message, run
from tests.live_server import eventually
from tests.stream_servers import STEP_S, encoded
from tests.synth import tone
from tests.test_streams import REACH, Hasty, count, details, free_port, states

CONFIG = """<icecast>
<limits><clients>9</clients><sources>3</sources><burst-size>65535</burst-size></limits>
<authentication><source-password>studio</source-password><admin-user>admin</admin-user>
<admin-password>desk</admin-password></authentication>
<hostname>127.0.0.1</hostname><listen-socket><port>{port}</port><bind-address>127.0.0.1</bind-address></listen-socket>
<paths><basedir>{folder}</basedir><logdir>{folder}</logdir><webroot>{folder}</webroot><adminroot>{admin}</adminroot>
</paths><security><chroot>0</chroot>{owner}</security></icecast>
"""
NOBODY = "<changeowner><user>nobody</user><group>nogroup</group></changeowner>"  # it does not run as root


@contextmanager
def icecast(folder: Path) -> Iterator[tuple[int, "subprocess.Popen[bytes]"]]:
    """Its port and its process."""
    program = shutil.which("icecast2")
    if program is None:
        pytest.skip("no icecast2: apt-get install icecast2")
    port = free_port()
    for each in (folder, *folder.parents):  # it writes its log as nobody
        if each.stat().st_uid == os.getuid() and each.is_relative_to(tempfile.gettempdir()) and not each.is_mount():
            each.chmod(each.stat().st_mode | 0o777)
    settings = {"port": port, "folder": folder, "admin": "/usr/share/icecast2/admin"}
    config = folder / "icecast.xml"
    config.write_text(CONFIG.format(**settings, owner=NOBODY if os.getuid() == 0 else ""))
    with _started([program, "-c", str(config)], port) as process:
        try:
            yield port, process
        finally:
            process.send_signal(signal.SIGCONT)
            process.terminate()


def _started(command: list[str], port: int) -> "subprocess.Popen[bytes]":
    """Icecast 2.4.4 dies of SIGSEGV where a source comes before its thread for statistics has begun, which nothing
    tells: then it is started again."""
    for _ in range(5):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        eventually(lambda process=process: process.poll() is not None or _takes_sources(port))  # type: ignore[misc]
        if process.poll() is None:
            return process
        assert process.returncode == -signal.SIGSEGV
    raise AssertionError("icecast2 died of SIGSEGV five times")


def _takes_sources(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)) as sender:
        sender.sendall(_head("/probe"))
        return b"200" in sender.recv(1_000)
    return False


def _head(mount: str) -> bytes:
    proof = base64.b64encode(b"source:studio").decode()
    lines = (
        "SOURCE " + mount + " HTTP/1.0",
        f"Authorization: Basic {proof}",
        "Content-Type: audio/mpeg",
        "ice-name: Test",
    )
    return "".join(f"{line}\r\n" for line in (*lines, "")).encode()


@contextmanager
def studio(port: int, samples: NDArray, rate: int) -> Iterator[None]:  # type: ignore[type-arg]
    """MP3 to the mount `/live`, over and over in real time, after a second at once."""
    sound = encoded(samples, rate, "mp3", "libmp3lame", write_xing="0", id3v2_version="0")
    over = threading.Event()
    with socket.create_connection(("127.0.0.1", port)) as sender:
        sender.sendall(_head("/live"))
        assert b"200" in sender.recv(1_000)

        def send() -> None:
            began, sent = time.monotonic() - 1.0, 0
            while not over.wait(STEP_S):
                due = round((time.monotonic() - began) * len(sound) / len(samples) * rate)
                sender.sendall((sound + sound)[sent % len(sound) :][: due - sent])
                sent = due

        sending = threading.Thread(target=send)
        sending.start()
        try:
            yield
        finally:
            over.set()
            sending.join()


def test_a_radio_is_heard_paused_and_cut_off_and_comes_back_at_another_rate(toy: Model, tmp_path: Path) -> None:
    onsets = 0

    def react(source: Source, told: Message) -> None:
        nonlocal onsets
        if source.opened is not None:
            titles.add(source.opened.details["title"])  # it comes between the samples, before an onset or after
        if told["type"] == "event" and told["phase"] == "onset":
            onsets += 1
            if onsets == 1:
                process.send_signal(signal.SIGSTOP)
            elif onsets == 2:
                on_air.close()
            else:
                source.stop()
        elif told["type"] == "source" and told["state"] == "stalled":
            process.send_signal(signal.SIGCONT)
        elif told["type"] == "source" and told["state"] == "lost" and "HTTP 404" in told["detail"]:
            on_air.enter_context(studio(port, tone(200, 2.0, 32_000), 32_000))

    titles: set[str] = set()
    with icecast(tmp_path) as (port, process), contextlib.ExitStack() as on_air:
        on_air.enter_context(studio(port, tone(200, 2.0, 44_100), 44_100))
        song = {"mount": "/live", "mode": "updinfo", "song": "Foo - Bar"}
        httpx.get(f"http://127.0.0.1:{port}/admin/metadata", params=song, auth=("admin", "desk")).raise_for_status()
        told = run(toy, Hasty(f"http://127.0.0.1:{port}/live", REACH), react)
    assert states(told)[:4] == ["recovering", "healthy", "stalled", "healthy"]
    ends = [m["reason"] for m in told if m["type"] == "event" and m["phase"] == "offset"]
    assert ends[0] == "stall"
    rates = [m["effective"]["audio"]["sample_rate"] for m in told if m["type"] == "started"]
    assert rates == [44_100, 32_000]
    assert titles - {""} == {"Foo - Bar"}
    assert {m["label"] for m in told if m["type"] == "event"} == {"low"}
    assert details(told, "healthy")[-1] == "Test (mp3, mp3float) at 32000 Hz"
    assert count(told, state="failed") == 0
