"""The benchmark tells the truth: its rivals compute what the engine computes. How fast anything is, no test asks."""

import json
import math
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.weights import Model
from tests.bench import c_loop, fft, inside, race, report, rivals, subjects, timing

ROOT = Path(__file__).resolve().parents[1]
WIDTHS = (64, 12, 2)
NEEDS = {"onnxruntime": ("onnxruntime", "onnx"), "scipy, batched": ("scipy",), "ducc0, batched": ("ducc0",),
         "pyFFTW": ("pyfftw",), "rocket-fft": ("rocket_fft",)}  # fmt: skip


@pytest.fixture(scope="module")
def model() -> Model:
    return subjects.network(*WIDTHS)


@pytest.fixture(scope="module")
def spikes() -> NDArray[np.uint8]:
    return subjects.random_spikes(200, WIDTHS[0], 0.2)


@pytest.fixture(scope="module")
def answers(model: Model, spikes: NDArray[np.uint8]) -> NDArray[np.void]:
    """The engine's; with neurons that fire and neurons that do not in both layers, or equality would say little."""
    kept = inside.network_answers(model, spikes)
    for layer in (kept["spikes"][:, :12], kept["spikes"][:, 12:]):
        assert 0.02 < layer.mean() < 0.98
    return kept


@pytest.fixture(autouse=True)
def threads_of_torch() -> Iterator[None]:
    """Rivals keep torch on one thread; the other tests get theirs back."""
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("name", rivals.STEPPERS)
def test_a_rival_gives_the_engines_spikes_and_membranes(
    name: str, model: Model, spikes: NDArray[np.uint8], answers: NDArray[np.void]
) -> None:
    for package in NEEDS.get(name, ()):
        pytest.importorskip(package)
    stepper = rivals.STEPPERS[name](model, spikes)
    for _ in range(2):  # a second run begins from silence again
        v, fired = stepper.answers()
        np.testing.assert_array_equal(v, answers["v"])
        np.testing.assert_array_equal(fired, answers["spikes"])


@pytest.mark.parametrize("name", race.C_LOOPS)
def test_the_c_loop_gives_the_engines_spikes_and_membranes(
    name: str, model: Model, spikes: NDArray[np.uint8], answers: NDArray[np.void]
) -> None:
    if not c_loop.compiler():
        pytest.skip("no C compiler")
    v, fired = c_loop.CLoop(model, spikes, race.C_LOOPS[name]).answers()
    np.testing.assert_array_equal(v, answers["v"])
    np.testing.assert_array_equal(fired, answers["spikes"])


@pytest.mark.parametrize("name", fft.LIBRARIES)
def test_a_library_transforms_the_frames(name: str) -> None:
    for package in NEEDS.get(name, (name,)):
        pytest.importorskip(package)
    frames = fft.frames_of(512)
    expected = np.fft.rfft(frames[-1].astype(np.float64))
    spectrum = np.asarray(fft.LIBRARIES[name](frames)()[-1])
    np.testing.assert_allclose(spectrum, expected, atol=1e-6 * np.abs(expected).max())


def test_the_transform_that_is_timed_is_the_windowed_power_spectrum() -> None:
    ear, scratches = fft.engine_records(512)
    fft.transform_all(ear, scratches, fft.FRAMES)
    expected = np.abs(np.fft.rfft(ear["window"][0].astype(np.float64) * scratches["frame"])) ** 2
    np.testing.assert_allclose(scratches["power"], expected, atol=1e-6 * expected.max())


def test_runs_take_turns_and_each_is_timed_for_a_unit_of_its_work(monkeypatch: pytest.MonkeyPatch) -> None:
    log: list[str] = []
    now = 0

    def work(name: str, cost: int) -> timing.Run:
        def call() -> None:
            nonlocal now
            log.append(name)
            now += cost

        return timing.Run(call, units=10)

    monkeypatch.setattr(timing, "clock", lambda: ("made up", lambda: now))
    times = timing.compete(
        {"slow": work("slow", timing.TURN_NS), "quick": work("quick", timing.TURN_NS // 2)}, rounds=3
    )
    assert log[4:] == ["slow", "quick", "quick"] * 3  # after two calls each that are not counted
    assert times["slow"].median == timing.TURN_NS / 10
    assert times["quick"].median == timing.TURN_NS / 20


def test_a_small_run_reports_every_figure(tmp_path: Path) -> None:
    small = ["--quick", "--network", "64-2", "--seconds", "0.2", "--repeats", "1"]  # the toy model's size: in the cache
    command = [sys.executable, "-m", "tests.bench_engine", *small, "--out", str(tmp_path)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    found: dict[str, Any] = json.loads((tmp_path / "engine.json").read_text())
    missing = found["missing"]

    needed = ["us_per_frame", "pool_us_per_frame", "frontend_us", "network_us", "latch_us", "trace_us", "floor_us"]
    needed += ["snntorch_ratio", "times_real_time", "streams_per_core"]
    needed += [key for name, key in report.RIVAL_KEYS.items() if name not in missing]
    for key in needed:
        assert math.isfinite(found[key]), key
        assert found[key] > 0, key
    assert found["snntorch_ratio"] == pytest.approx(found["snntorch_us"] / found["network_us"], rel=0.01)

    measured = {**found["frames"], **found["network_alone"], **found["fft"], "stages": found["stages"]}
    assert set(measured) == {"reference", "512", "stages"}
    for group in (*found["frames"].values(), *found["network_alone"].values(), *found["fft"].values()):
        for name, times in group.items():
            assert 0 < times["min_us"] <= times["us"] < math.inf, name
    assert {"window, FFT, power", "layer 1, 64 to 2", "latches"} < set(found["stages"])
    for name in ("YAMNet", "Silero VAD"):
        assert missing[name] == "not measured (no path given)"
        assert name in run.stdout
    assert (tmp_path / "engine.png").exists() or "picture" in missing
