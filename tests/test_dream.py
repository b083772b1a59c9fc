"""Dreams: the copy with gradients is the engine's front end and network, what is dreamt excites the engine itself."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from engine.ear import Ear
from engine.pipeline import Pipeline
from engine.weights import Model
from spiccato.cli import app
from tests.synth import tone, write_wav

torch = pytest.importorskip("torch")
pytest.importorskip("matplotlib")

from models.dream import ascent, run  # noqa: E402
from models.dream.ascent import Dream  # noqa: E402
from models.dream.convolving import Convolving  # noqa: E402
from models.dream.griffin_lim import analysed, joined, sound_of  # noqa: E402
from models.dream.spiking import Spiking, cochlea, look, spread  # noqa: E402
from models.dream.subject import DreamError, find  # noqa: E402
from models.zoo import file, mel_cnn  # noqa: E402
from models.zoo.spectra import mel_picture  # noqa: E402
from models.zoo.training import as_bytes  # noqa: E402
from models.zoo.windowed import Windowed  # noqa: E402

QUICK = Dream(steps=6, octaves=2)


class TwoFilters(torch.nn.Module):
    """(batch, frames, bands): a filter for beginnings, one for high bands beside low ones, and a label for each."""

    def __init__(self) -> None:
        super().__init__()
        self.maps = torch.nn.Conv2d(1, 2, 3, padding=1, bias=False)
        kernel = torch.tensor([[-1.0] * 3, [0.0] * 3, [1.0] * 3])
        self.maps.weight.data = torch.stack([kernel, kernel.T])[:, None]
        self.norm = torch.nn.BatchNorm2d(2)
        self.out = torch.nn.Linear(2, 2)
        self.out.weight.data = torch.tensor([[1.0, 0.0], [0.0, 1.0]])

    def forward(self, picture):
        return self.out(torch.relu(self.norm(self.maps(picture[:, None]))).mean(dim=(2, 3)))


def small_cnn(parts: int = 1) -> Windowed:
    return Windowed(TwoFilters(), lambda window: (as_bytes(mel_picture(window)),) * parts, ("begins", "high"))


def phrase(seconds: float = 1.0) -> np.ndarray:
    sound = tone(300.0, seconds) + 0.3 * tone(2_100.0, seconds)
    sound[: len(sound) // 4] *= np.float32(0.03)
    return sound


def test_the_copy_s_cochlea_fires_as_the_engine_s_does(toy: Model) -> None:
    pipeline, sound = Pipeline(toy), phrase()
    pipeline.feed(sound)
    trace = pipeline.trace[: pipeline.frames]
    spikes = cochlea(torch.from_numpy(trace["energy"].copy()), toy.front_end).numpy()
    assert spikes.sum() > 100
    assert np.mean(spikes != trace["cochlea"]) < 1e-3


def test_the_copy_s_network_says_what_the_engine_s_does(orchestra: Model) -> None:
    sound = phrase()
    _, fibres = Ear(orchestra.front_end).feed(sound)
    subject = Spiking(orchestra)
    told, heard = subject.network(torch.from_numpy(fibres.astype(np.float32))), subject.heard(sound)
    assert set(told) == set(subject.layers)
    for name in subject.layers:
        assert heard[name].any()
        np.testing.assert_allclose(told[name].numpy(), heard[name], atol=2e-3, err_msg=name)


def test_a_flat_picture_is_white_noise_to_every_band(orchestra: Model) -> None:
    front = orchestra.front_end
    assert front.fine is not None
    for config, every in ((front, 1), (front.fine, front.fine_hops)):
        seen = look(config, every)
        assert float(seen.past.sum()) == pytest.approx(1.0, abs=1e-5)
        inner = seen.bands.sum(dim=1)[4:-4].numpy()  # those at the edges hear beyond the picture as well
        np.testing.assert_allclose(inner, 1.0, atol=0.02)
    assert np.all(spread(front, 512).sum(axis=1)[2:] == pytest.approx(1.0))


def test_the_picture_of_a_sound_made_from_a_picture_is_that_picture(toy: Model) -> None:
    subject = Spiking(toy)
    picture = np.full((60, subject.bands), -60.0, np.float32)
    picture[20:, 40:44] = -10.0
    again = subject.seen(subject.sound(picture, seed=1))
    assert again.shape == picture.shape
    assert np.abs(again[26:54, 41:43] + 10.0).mean() < 3.0
    assert again[2:12].mean() < -45.0


def test_frames_that_belong_together_give_back_their_sound() -> None:
    sound = np.random.default_rng(1).standard_normal(2_048 + 9 * 256)
    again = joined(analysed(sound, 2_048, 256), 2_048, 256)
    np.testing.assert_allclose(again[512:-512], sound[512:-512], atol=2e-2)
    magnitude = np.abs(analysed(sound, 2_048, 256))
    off = [
        np.linalg.norm(np.abs(analysed(sound_of(magnitude, 2_048, 256, 1, n).astype(float), 2_048, 256)) - magnitude)
        for n in (1, 40)
    ]
    assert off[1] < 0.6 * off[0]


@pytest.mark.parametrize("label", ["low", "high"])
def test_a_dream_excites_the_engine_and_lies_where_the_label_s_bands_do(toy: Model, label: str, tmp_path: Path) -> None:
    lines: list[str] = []
    (told,) = run.run(Spiking(toy), "labels", [label], tmp_path, QUICK, 0.8, None, lines.append)
    assert told["after"] > told["before"] + 1.0
    samples, rate = soundfile.read(tmp_path / told["file"], dtype="float32")
    assert rate == 16_000
    pipeline = Pipeline(toy)  # the file itself, by nobody's measure but the engine's
    pipeline.feed(samples)
    evidence = pipeline.trace["evidence"][: pipeline.frames].mean(axis=0)
    assert evidence[toy.labels.index(label)] == pytest.approx(told["after"], abs=2e-3)
    assert evidence.argmax() == toy.labels.index(label)
    assert f"{told['before']:.2f} -> {told['after']:.2f}" in lines[0]


def test_octaves_and_jitter_change_the_dream_and_the_seed_repeats_it(toy: Model) -> None:
    subject = Spiking(toy)
    first = ascent.start(40, subject.bands, 1)

    def dreamt(**how) -> np.ndarray:
        return ascent.ascend(subject, first, "labels", 0, Dream(**{"steps": 2, "octaves": 1, "jitter": 0, **how}))

    plain = dreamt()
    assert np.array_equal(plain, dreamt())
    assert not np.array_equal(plain, dreamt(jitter=3))
    assert np.array_equal(dreamt(jitter=3), dreamt(jitter=3))
    coarse = ascent.enlarged(torch.ones(4, 4), torch.zeros(40, 128))
    assert coarse.shape == (40, 128)
    assert float(coarse.std()) == 0.0


def test_the_filters_of_a_convolving_network_dream_too(tmp_path: Path) -> None:
    subject = Convolving(small_cnn())
    assert list(subject.layers) == ["maps", "labels"]
    told = run.run(subject, "maps", ["1", None], tmp_path, QUICK, 1.0, None, lambda line: None)
    assert all(row["after"] > row["before"] for row in told)
    (label,) = run.run(subject, "labels", ["high"], tmp_path, QUICK, 1.0, phrase(), lambda line: None)
    assert label["after"] > label["before"]
    assert {path.name for path in tmp_path.iterdir()} == {
        "before.wav", "dreams.json", "dreams.png", "maps-1.wav", "maps.wav", "labels-high.wav",
    }  # fmt: skip


def test_the_command_writes_sounds_a_sheet_and_figures(toy_path: Path, tmp_path: Path) -> None:
    source = write_wav(tmp_path / "song.wav", phrase())
    out = tmp_path / "dreams"
    asked = ["dream", str(toy_path), "--neuron", "high", "--from", str(source), "--steps=4", "--octaves=1"]
    told = CliRunner().invoke(app, [*asked, "--seconds=0.5", "--out", str(out)])
    assert told.exit_code == 0, told.output
    figures = json.loads((out / "dreams.json").read_text())
    assert figures["begins_with"] == "a sound"
    assert figures["dreams"][0]["after"] > figures["dreams"][0]["before"]
    assert (out / "dreams.png").read_bytes().startswith(b"\x89PNG")
    before, _ = soundfile.read(out / "before.wav")
    assert len(before) == 8_000


def test_a_file_of_the_zoo_s_mel_cnn_dreams_by_the_command(tmp_path: Path) -> None:
    settings = mel_cnn.MelCnnSettings(trials=0, filters=4, groups=2)
    trained = Windowed(mel_cnn.network_of(settings, 3), mel_cnn.view, ("oboe", "harp", "organ"))
    trained.more = {"chosen": {name: getattr(settings, name) for name in mel_cnn.CHOICES}}
    file.save(tmp_path / "cnn.safetensors", mel_cnn.SYSTEM, settings, trained, {})
    asked = ["dream", str(tmp_path / "cnn.safetensors"), "--steps=6", "--octaves=2", "--out", str(tmp_path / "out")]
    for units in (["--layer=convolutions.4", "--filter=3", "--filter=0"], ["--neuron=harp"]):
        told = CliRunner().invoke(app, [*asked, *units])
        assert told.exit_code == 0, told.output
        assert "no rise" not in told.output
    told = CliRunner().invoke(app, [*asked, "--layer=convolutions"])
    assert "convolutions.0 (4 filters)" in " ".join(told.output.replace("│", " ").split())


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (["--layer", "hidden9"], "hidden9"),
        (["--neuron", "oboe"], "low, high"),
        (["--neuron", "2"], "0..1"),
        (["--from", "nothing.wav"], "nothing.wav"),
    ],
)
def test_what_is_not_there_is_told_with_what_is(toy_path: Path, tmp_path: Path, more: list[str], sentence: str) -> None:
    told = CliRunner().invoke(app, ["dream", str(toy_path), "--out", str(tmp_path / "o"), *more])
    assert told.exit_code == 2
    assert sentence in told.output
    assert not (tmp_path / "o").exists()


def test_what_cannot_dream_is_refused() -> None:
    with pytest.raises(DreamError, match="one mel picture"):
        Convolving(small_cnn(parts=2))
    with pytest.raises(DreamError, match=r"maps \(2 filters\)"):
        find(Convolving(small_cnn()), "convolutions", None)
