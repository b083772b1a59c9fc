"""The tree is the architecture: who may import whom, and what serving never loads."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
OURS = {"engine", "server", "client", "models", "spiccato"}
MAY_IMPORT = {
    "engine": set(),
    "client": set(),
    "server": {"engine"},
    "models": {"engine", "server"},
    "spiccato": OURS,
}


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names.add(node.module or "")
    return {name.partition(".")[0] for name in names}


@pytest.mark.parametrize("package", sorted(OURS))
def test_imports_point_downwards(package: str) -> None:
    files = list((ROOT / package).rglob("*.py"))
    assert files
    for path in files:
        wrong = imported(path) & OURS - {package} - MAY_IMPORT[package]
        assert not wrong, f"{path.relative_to(ROOT)} imports {sorted(wrong)}"


def test_every_module_opens_with_a_docstring() -> None:
    for package in OURS:
        for path in (ROOT / package).rglob("*.py"):
            assert ast.get_docstring(ast.parse(path.read_text())), f"{path.relative_to(ROOT)} has no docstring"


def test_nothing_outside_the_tests_points_beside_the_checkout() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split()
    if not listed:
        pytest.skip("not a git checkout")
    for name in listed:
        if name.startswith(("tests/", ".ci/")) or not name.endswith(
            (".py", ".md", ".toml", ".js", ".html", "Makefile")
        ):
            continue
        assert "../shared" not in (ROOT / name).read_text(), name


def test_one_machine_never_imports_what_only_training_or_many_machines_need() -> None:
    """Ray, Arrow, Redis and PostgreSQL's driver are extras, loaded by the commands and settings that ask for them."""
    extras = ("torch", "snntorch", "ray", "pyarrow", "pandas", "redis", "psycopg")
    code = f"import sys, server.app, spiccato.cli, spiccato.serve; print([m for m in {extras} if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_the_local_archive_never_imports_ray() -> None:
    pytest.importorskip("pyarrow", reason="the extra `archive` is not installed")
    code = "import sys, spiccato.archive.run, spiccato.archive.local; print('ray' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"
