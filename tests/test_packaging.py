"""The wheel: one top-level name, installed in an empty environment, run as a user would."""

import json
import os
import signal
import socket
import subprocess
import sys
import sysconfig
import urllib.request
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.live_server import eventually
from tests.synth import low_high, write_wav

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    return next(out.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new environment with the wheel in it. Its dependencies are this environment's, seen through a .pth file."""
    home = tmp_path_factory.mktemp("venv")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(home)], check=True)
    pip = [sys.executable, "-m", "pip", "--quiet", "--python", str(home / "bin" / "python"), "install", "--no-deps"]
    subprocess.run([*pip, str(wheel)], check=True, capture_output=True)
    site = next((home / "lib").glob("python*/site-packages"))
    (site / "dependencies.pth").write_text(f"import sys; sys.path.append({sysconfig.get_path('purelib')!r})\n")
    return home


@pytest.fixture(autouse=True)
def nothing_but_what_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONPATH", raising=False)


def test_the_wheel_adds_one_name(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"spiccato"}
    for needed in (
        "engine/pipeline.py",
        "server/app.py",
        "client/web/index.html",
        "server/past/migrations/env.py",
        "server/past/migrations/versions/v0001.py",
        "models/weights/orchestra.safetensors",
    ):
        assert f"spiccato/app/{needed}" in names
    assert not [name for name in names if "/tests/" in name or name.endswith((".ogg", ".wav", ".flac"))]


def test_the_installed_command_classifies_a_file(installed: Path, toy_path: Path, tmp_path: Path) -> None:
    sound = write_wav(tmp_path / "tones.wav", low_high())
    command = [str(installed / "bin" / "spiccato"), "classify", "--json", "--model", str(toy_path), str(sound)]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert "low" in run.stdout
    # -P: the working directory is not on the path, so only the installed code can be found
    code = "import spiccato; from spiccato.client import connect; print(spiccato.__file__)"
    where = [str(installed / "bin" / "python"), "-P", "-c", code]
    path = subprocess.run(where, cwd=tmp_path, capture_output=True, text=True, check=True).stdout.strip()
    assert Path(path).is_relative_to(installed)


def test_the_installed_service_serves_the_page_and_the_shipped_model(installed: Path, tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [str(installed / "bin" / "spiccato"), "serve", "--port", str(port)],
        cwd=tmp_path,
        env=os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / "kernels"), "SPICCATO_HISTORY": str(tmp_path / "h.sqlite")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        base = f"http://127.0.0.1:{port}"
        wait_until_ready(base, process)
        info = json.load(urllib.request.urlopen(f"{base}/v1/info"))
        assert len(info["model"]["labels"]) >= 12
        assert b"<title>" in urllib.request.urlopen(f"{base}/").read()
        eventually(lambda: _history(base)["reason"] == "it is written")  # its tables were made by the installed steps
    finally:
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=60)
    assert "Traceback" not in output


def _history(base: str) -> dict[str, Any]:
    checks = json.load(urllib.request.urlopen(f"{base}/readyz"))["checks"]
    return next(check for check in checks if check["name"] == "history")


def wait_until_ready(base: str, process: "subprocess.Popen[str]") -> None:
    """However long kernels take to compile on this machine; the test's own limit ends it."""
    while True:
        assert process.poll() is None, process.communicate()[0]
        try:
            with urllib.request.urlopen(f"{base}/readyz", timeout=1) as answer:
                if answer.status == 200:
                    return
        except OSError:
            pass
        try:
            process.wait(0.1)
        except subprocess.TimeoutExpired:
            continue
