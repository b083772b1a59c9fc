"""Fixtures that more than one file uses, and how the suite is run: the longest files first."""

import os
from functools import cache
from pathlib import Path

import httpx
import pytest
from httpx import create_ssl_context

from engine.weights import Model, load, save
from tests.browser import launch, open_page, playwright, tones
from tests.live_server import orchestra_server, server
from tests.toy import toy_model
from tests.virtual_mic import virtual_mic

__all__ = ["launch", "open_page", "orchestra_server", "playwright", "server", "tones", "virtual_mic"]

# Each call of httpx would read the certificates of all authorities anew: 20 ms, of which a test makes dozens.
httpx._transports.default.create_ssl_context = cache(create_ssl_context)
httpx._config.DEFAULT_TIMEOUT_CONFIG.read = 60.0  # of a machine that does much else at once

os.environ["SPICCATO_HISTORY"] = "off"  # no test writes into the state of whoever runs it

ROOT = Path(__file__).resolve().parents[1]
SHARED_DATA = ROOT.parent / "shared" / "data"
ORCHESTRA = ROOT / "models" / "weights" / "orchestra.safetensors"

# What takes longest begins first, so that no worker of `make test` waits long for another's last file.
LONGEST = (
    "test_archive_cluster", "test_archive",
    "test_cli", "test_models_add", "test_engine_exact", "test_page", "test_engine_shapes", "test_bench",
    "test_models_training", "test_models_run", "test_engine_jit", "test_microphone", "test_engine_pool",
    "test_packaging", "test_sources", "test_proxy", "test_auth", "test_upload",
)  # fmt: skip


def pytest_configure() -> None:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # torch's; with two, workers would wait for each other


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """After pytest-randomly; within a file its order stays."""
    place = {name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path.stem, len(LONGEST)))


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
