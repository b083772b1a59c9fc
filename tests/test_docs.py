"""What the documents say is true: links lead somewhere, commands exist, the README's program runs."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.live_server import LiveServer
from tests.synth import low_high, write_wav

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "models" / "weights").glob("*.md")])


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_to_a_file_leads_to_one(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", path.read_text()):
        if not re.match(r"[a-z]+:", target):
            assert (path.parent / target).exists(), f"{path.name} links to {target}"


def test_the_documents_name_every_make_target_but_clean() -> None:
    text = "".join(path.read_text() for path in DOCUMENTS)
    makefile = (ROOT / "Makefile").read_text()
    phony = re.search(r"^\.PHONY: (.+)$", makefile, re.M)
    assert phony
    for target in set(phony[1].split()) - {"clean"}:
        assert f"make {target}`" in text or f"make {target} " in text, target
        assert re.search(rf"^{target}:", makefile, re.M), target


def test_every_command_that_the_documents_show_exists() -> None:
    help_text = subprocess.run(
        [sys.executable, "-m", "spiccato", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    shown = {
        name for path in DOCUMENTS for name in re.findall(r"(?:^|`)(?:\$ )?spiccato ([a-z]+)", path.read_text(), re.M)
    }
    assert {"serve", "listen", "classify", "devices", "train"} <= shown
    for name in shown:
        assert re.search(rf"\b{name}\b", help_text), f"spiccato {name}"


def test_the_program_in_the_readme_runs(server: LiveServer, tmp_path: Path) -> None:
    program = re.search(r"```python\n(.+?)```", (ROOT / "README.md").read_text(), re.S)
    assert program
    write_wav(tmp_path / "song.wav", low_high(48_000), 48_000)
    code = program[1].replace("ws://127.0.0.1:8000", server.url.replace("http", "ws", 1))
    run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    said = [line.split()[:2] for line in run.stdout.splitlines()]
    assert said == [["onset", "low"], ["offset", "low"], ["onset", "high"], ["offset", "high"]]


@pytest.mark.parametrize(
    ("number", "said"),
    [(0, ["low 500.0", "high 20"]), (1, ["onset low 20", "offset low 20", "1 events in 2000.0 ms"])],
    ids=["recording", "live"],
)
def test_the_programs_for_the_client_run(server: LiveServer, tmp_path: Path, number: int, said: list[str]) -> None:
    programs = re.findall(r"```python\n(.+?)```", (ROOT / "docs" / "client.md").read_text(), re.S)
    assert len(programs) == 2
    write_wav(tmp_path / "song.wav", low_high(48_000), 48_000)
    code = programs[number].replace("http://127.0.0.1:8000", server.url)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, env=environment)
    assert run.returncode == 0, run.stderr
    lines = run.stdout.splitlines()
    assert [line[: len(expected)] for line, expected in zip(lines, said, strict=True)] == said


def test_the_client_for_programs_imports_nothing_else_of_ours() -> None:
    code = (
        "import sys; from spiccato.client import connect; print([m for m in ('server', 'engine') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
