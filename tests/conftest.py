"""Fixtures that more than one file uses."""

from pathlib import Path

import pytest

from engine.weights import Model, load, save
from tests.live_server import orchestra_server, server
from tests.toy import toy_model
from tests.virtual_mic import virtual_mic

__all__ = ["orchestra_server", "server", "virtual_mic"]

ROOT = Path(__file__).resolve().parents[1]
SHARED_DATA = ROOT.parent / "shared" / "data"
ORCHESTRA = ROOT / "models" / "weights" / "orchestra.safetensors"


@pytest.fixture(scope="session")
def toy() -> Model:
    return toy_model()


@pytest.fixture(scope="session")
def toy_path(toy: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The hand-made model as a file, for a server to load."""
    path = tmp_path_factory.mktemp("model") / "toy.safetensors"
    save(toy, path)
    return path


@pytest.fixture(scope="session")
def orchestra() -> Model:
    """The shipped model."""
    return load(ORCHESTRA)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real recordings, where they are beside the checkout."""
    if not (SHARED_DATA / "manifest.csv").exists():
        pytest.skip(f"no recordings at {SHARED_DATA}: this test needs them")
    return SHARED_DATA
