"""The listener: it learns to tell its memory by a code, comes back from its file, and its code is measured honestly."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from models.data.corpus import read_corpora
from models.zoo import embeddings, file
from models.zoo.examples import Examples
from models.zoo.listener import Listener, ListenerSettings
from models.zoo.listener_training import long_notes, loss_db, moments
from models.zoo.reconstruction import by_components, compared, components
from spiccato.cli import app
from tests.models_corpus import write_corpus
from tests.synth import tone

SMALL = ListenerSettings(bands=20, steps=4, factor=2.0, code=25, hidden=8)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("listener")
    small = {"bands": 20, "steps": 4, "code": 25, "hidden": 8, "notes": 32, "examples": 32, "updates": 30, "batch": 16}
    run = CliRunner().invoke(
        app,
        ["train", "--system", "listener", "--data", str(write_corpus(folder / "corpus")), "--no-soundfonts",
         "--out", str(folder / "it.safetensors"), "--run", str(folder / "run"), "--epochs=2",
         *(f"--set={name}={value}" for name, value in small.items())],
    )  # fmt: skip
    assert run.exit_code == 0, run.output
    return folder / "it.safetensors"


def test_it_trains_by_the_command_and_tells_how_much_comes_back(trained: Path) -> None:
    figures = json.loads(trained.with_suffix(".json").read_text())["figures"]
    assert figures["clips"] == 4
    told = figures["reconstruction"]
    assert told["compression"] == 3.2
    assert told["moments"] > 0
    for name in ("listener", "components", "mean"):
        assert 0 <= told[name]["within_1_db"] <= told[name]["within_3_db"] <= 100


def test_it_comes_back_from_its_file_and_a_row_hears_nothing_that_comes_later(trained: Path) -> None:
    first, second = file.load(trained).trained, file.load(trained).trained
    assert isinstance(first, Listener)
    assert isinstance(second, Listener)
    sound = tone(300.0, 1.0)
    scores = first.scores(sound)
    assert scores.shape == (50, len(first.labels))
    assert np.array_equal(scores, second.scores(sound))
    assert np.allclose(scores[:20], first.scores(sound[:6_400]), atol=1e-6)
    assert first.operations_per_s == 50 * (
        4 * 4 * 25 * (20 + 25) + 4 * 20 * 25 + 25 * 25 + 25 * 8 + 8 * len(first.labels)
    )


def test_training_sees_what_the_engine_s_memory_holds() -> None:
    listener = Listener(SMALL, ("a", "b"))
    sound = np.random.default_rng(1).integers(-9_000, 9_000, (1, 4_000)).astype(np.int16)
    own = moments(listener, Examples(sound, np.zeros(1, np.int64), ("a", "b")))
    rows = np.arange(own.rows)
    views = listener.memory.feed(listener.bands(sound[0] / np.float32(32_768.0)))
    assert len(views) == 25
    assert np.allclose(own.views(np.zeros(25, np.int64), rows), views, atol=2e-3)  # kept in 16 bits


def test_the_autoencoder_begins_as_the_components_and_learns_past_them() -> None:
    random = np.random.default_rng(6)
    listener = Listener(SMALL, ("a", "b"))
    inner = random.uniform(-1, 1, (400, 30)).astype(np.float32)  # more dimensions than the code has numbers
    views = 0.5 + 0.4 * np.tanh(inner @ random.standard_normal((30, 80)).astype(np.float32) / 3).reshape(400, 4, 20)
    network = listener.autoencoder
    network.begin(*(torch.from_numpy(one.astype(np.float32)) for one in components(views, 25)))
    assert np.allclose(listener.decoded(views), by_components(views, views, 25), atol=1e-4)
    given = torch.from_numpy(views)
    before = float(loss_db(network(given)[0], given).detach())
    optimiser = torch.optim.Adam(network.parameters(), 1e-3)
    for _ in range(60):
        loss = loss_db(network(given)[0], given)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert float(loss_db(network(given)[0], given).detach()) < 0.9 * before


def test_the_code_is_learned_from_notes_that_fill_the_memory(trained: Path) -> None:
    corpus = read_corpora([trained.parent / "corpus"])
    notes = long_notes(corpus, ("flute", "cello"), 4, seed=1, plain=True)
    assert notes.windows.shape == (4, 38_400)
    for sound in notes.windows:
        first = int(np.argmax(np.abs(sound) > 500))
        assert first < 0.35 * 16_000  # the memory reaches 1.28 s back: a note of two seconds fills it


def test_the_loss_counts_decibels_and_nothing_below_the_floor() -> None:
    views = torch.full((1, 1, 4), 0.5)
    again = views * 10.0 ** (6.0 / 40.0)
    assert float(loss_db(again, views)) == pytest.approx(6.0 - 0.5, abs=1e-3)
    quiet = torch.full((1, 1, 4), 0.01)
    assert float(loss_db(-quiet, quiet)) == 0.0
    assert float(loss_db(views, quiet)) > 40.0


def test_a_value_is_right_within_a_decibel() -> None:
    views = np.ones((2, 2, 4), np.float32)
    views[:, :, 3] = 1.2
    again = views.copy()
    again[0] *= 10.0 ** (0.9 / 40.0)  # of a fourth root of an energy: 0.9 dB
    again[1, 0] *= 10.0 ** (2.0 / 40.0)
    again[1, 1, 0] = 2.0  # 12 dB, and now the loudest
    told = compared(views, again)
    assert told["within_1_db"] == pytest.approx(100 * 11 / 16, abs=0.1)
    assert told["within_3_db"] == pytest.approx(100 * 15 / 16, abs=0.1)
    assert told["loudest_band"] == 75.0
    quiet = np.full((1, 1, 4), 0.01, np.float32)
    assert compared(quiet, np.zeros_like(quiet))["within_1_db"] == 100.0  # below the floor nothing is told apart


def test_components_tell_all_that_lies_in_as_few_directions() -> None:
    random = np.random.default_rng(3)
    directions = random.standard_normal((2, 12))
    learned = (random.standard_normal((50, 2)) @ directions + 1.0).reshape(50, 3, 4).astype(np.float32)
    assert np.allclose(by_components(learned, learned, 2), learned, atol=1e-5)
    assert not np.allclose(by_components(learned, learned, 1), learned, atol=1e-2)


def test_embeddings_are_written_as_tables_and_drawn(trained: Path, tmp_path: Path) -> None:
    corpus = trained.parent / "corpus"
    for name in ("moments.npz", "moments.csv"):
        told = CliRunner().invoke(
            app,
            ["embed", str(corpus), "--model", str(trained), "--each=5", "--part=report", "--out", str(tmp_path / name),
             "--plot", str(tmp_path / "map.png")],
        )  # fmt: skip
        assert told.exit_code == 0, told.output
    table = np.load(tmp_path / "moments.npz")
    assert table["codes"].shape == (20, 25)  # four clips, five moments of each
    assert set(table["label"]) == {"cello", "flute"}
    with (tmp_path / "moments.csv").open(newline="") as opened:
        rows = list(csv.DictReader(opened))
    assert [row["label"] for row in rows] == table["label"].tolist()
    assert [float(rows[3][f"c{i}"]) for i in range(25)] == pytest.approx(table["codes"][3].tolist(), rel=1e-4)
    assert (tmp_path / "map.png").read_bytes().startswith(b"\x89PNG")


def test_the_map_is_of_the_directions_in_which_codes_differ_most() -> None:
    random = np.random.default_rng(4)
    codes = np.zeros((60, 5), np.float32)
    codes[:, 3], codes[:, 1] = random.standard_normal(60), 0.3 * random.standard_normal(60)
    places, title = embeddings.by_components(codes)
    assert abs(np.corrcoef(places[:, 0], codes[:, 3])[0, 1]) > 0.999
    assert "100 %" in title


@pytest.mark.parametrize(
    ("more", "sentence"),
    [(["--method=tsne"], "pca, umap"), (["--out=x.txt"], ".npz or .csv"), (["--part=test"], "calibrate")],
)
def test_what_cannot_be_embedded_is_told(trained: Path, tmp_path: Path, more: list[str], sentence: str) -> None:
    told = CliRunner().invoke(
        app,
        ["embed", str(trained.parent / "corpus"), "--model", str(trained), "--out", str(tmp_path / "o.npz"), *more],
    )
    assert told.exit_code == 2
    assert sentence in told.output
