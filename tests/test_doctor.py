"""`spiccato doctor` finds what is wrong, each thing broken on purpose, and says what to do."""

import json
import os
import resource
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from server.settings import Settings
from spiccato import doctor
from spiccato.doctor import CHECKS
from spiccato.finding import Finding
from tests.conftest import ROOT
from tests.virtual_mic import fake_portaudio


def examined(**environment: str) -> tuple[int, dict[str, dict[str, Any]]]:
    """The command's status and its findings by check, with these variables in the environment."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "spiccato", "doctor", "--json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, **environment},
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, {told["check"]: told for told in map(json.loads, done.stdout.splitlines())}


def test_on_a_machine_that_is_well_everything_is(toy_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_portaudio(monkeypatch, "tone")
    status, found = examined(SPICCATO_MODEL=str(toy_path), SPICCATO_PORT="0")
    assert len(found) == len(CHECKS) + 1  # and that of the outputs: there is none
    wrong = {name: told for name, told in found.items() if told["state"] != "ok"}
    assert wrong.keys() <= {"clock", "disk"}, wrong  # a container has them from its host: now and then a full disk
    assert status == any(told["state"] == "problem" for told in wrong.values())
    assert "toy@0.0.1" in found["model"]["found"]
    assert "ready after" in found["kernels"]["found"]
    assert "the default one is Fake microphone" in found["microphones"]["found"]


def test_what_is_wrong_shows_in_the_findings_and_in_the_status(
    toy_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_portaudio(monkeypatch, "missing")
    broken = tmp_path / "broken.safetensors"
    data = bytearray(toy_path.read_bytes())
    data[-1] ^= 1  # of a weight: the checksum is wrong
    broken.write_bytes(data)
    (tmp_path / "file").touch()
    status, found = examined(
        SPICCATO_MODEL=str(broken),
        SPICCATO_HOST="0.0.0.0",
        SPICCATO_PORT="0",
        SPICCATO_MICROPHONE="default",
        NUMBA_CACHE_DIR=str(tmp_path / "file" / "below"),
    )
    assert status == 1
    states = {name: told["state"] for name, told in found.items()}
    assert (states["model"], states["access"], states["microphones"]) == ("problem",) * 3
    assert states["kernels"] == "warning"
    assert "spiccato token" in found["access"]["found"]
    assert "NUMBA_CACHE_DIR" in found["kernels"]["do"]
    assert states["python"] == states["codecs"] == states["port"] == "ok"


def test_a_port_that_is_taken_is_a_warning() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        found = doctor.port(Settings(port=taken.getsockname()[1]))
    assert (found.state, "taken" in found.found) == ("warning", True)
    assert doctor.port(Settings(host="192.0.2.1", port=0)).state == "problem"


def test_tokens_that_others_read_and_keys_that_fit_no_certificate_are_found(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text("a-token-of-some-length\n")
    file.chmod(0o644)
    assert doctor.access(Settings(token_file=file)).do == f"chmod 600 {file}"
    file.chmod(0o600)
    assert doctor.access(Settings(token_file=file)).state == "ok"
    open_ = doctor.access(Settings(token_file=file, host="0.0.0.0"))
    assert (open_.state, "TLS" in open_.found) == ("warning", True)
    assert doctor.tls(Settings(tls_cert=file, tls_key=file)).state == "problem"


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl command to make a certificate with")
def test_the_end_of_a_certificate_is_told_in_time(tmp_path: Path) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=spiccato.example"]
    again = ["openssl", "x509", "-in", str(cert), "-signkey", str(key), "-out", str(cert)]
    found: list[Finding] = []
    for days, command in ((400, [*make, "-keyout", str(key), "-out", str(cert)]), (13, again), (-1, again)):
        subprocess.run([*command, "-days", str(days)], check=True, capture_output=True)
        found.append(doctor.tls(Settings(tls_cert=cert, tls_key=key)))
    assert [one.state for one in found] == ["ok", "warning", "problem"]
    assert "for 400 days" in found[0].found
    assert found[2].found.endswith("certificate has expired")
    assert doctor.tls(Settings()).state == "ok"


@pytest.mark.parametrize(
    ("check", "owner", "name", "value", "state"),
    [
        (doctor.files, resource, "getrlimit", lambda _: (256, 256), "problem"),
        (doctor.files, resource, "getrlimit", lambda _: (resource.RLIM_INFINITY, -1), "ok"),
        (doctor.disk, shutil, "disk_usage", lambda _: SimpleNamespace(free=10_000_000), "problem"),
        (doctor.disk, shutil, "disk_usage", lambda _: SimpleNamespace(free=10**9), "warning"),
        (doctor.disk, shutil, "disk_usage", lambda _: SimpleNamespace(free=10**12), "ok"),
        (doctor.kernels, shutil, "disk_usage", lambda _: SimpleNamespace(free=10_000_000), "warning"),
        (doctor.codecs, "av", "codecs_available", frozenset({"flac"}), "problem"),
        (doctor.python, sys, "version_info", (3, 10, 1), "problem"),
    ],
)
def test_what_is_short_is_found(
    monkeypatch: pytest.MonkeyPatch, check: Any, owner: Any, name: str, value: Any, state: str
) -> None:
    import av

    monkeypatch.setattr(resource, "setrlimit", lambda *_: None)  # this process's own limit stays
    monkeypatch.setattr(av if owner == "av" else owner, name, value)
    found: Finding = check(Settings())
    monkeypatch.undo()
    assert found.state == state, found
    assert bool(found.do) == (state != "ok")


def test_whether_the_clock_is_kept_right_is_what_the_kernel_says() -> None:
    told = (
        subprocess.run(["timedatectl", "show", "-p", "NTPSynchronized", "--value"], capture_output=True, text=True)
        if (shutil.which("timedatectl"))
        else None
    )
    found = doctor.clock(Settings())
    assert found.state in ("ok", "warning")
    if told is not None and told.returncode == 0 and told.stdout.strip() in ("yes", "no"):
        assert (found.state == "ok") == (told.stdout.strip() == "yes")
