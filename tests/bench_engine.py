"""What a frame costs: the engine beside snntorch stepping the same network, in the same run. `make bench`.

Not a test: nothing here passes or fails. Figures are medians over repeats, on the machine named in the output, and
mean something only as ratios to the reference beside them. Writes build/bench/engine.json.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy: idle threads of a BLAS slow every figure

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from engine.config import FrontEnd
from engine.ear import Ear
from engine.pipeline import Pipeline
from engine.weights import Layer, Model, load

ROOT = Path(__file__).resolve().parents[1]
SHIPPED = ROOT / "models" / "weights" / "orchestra.safetensors"


def reference_model() -> Model:
    """64-128-128-16 on the power-of-two grid, about one neuron in ten firing."""
    rng = np.random.default_rng(0)
    widths = [64, 128, 128, 16]
    layers = tuple(
        Layer(
            weight=rng.integers(-64, 72, (widths[i], widths[i + 1])).astype(np.int8),
            bias=rng.integers(-8, 9, widths[i + 1]).astype(np.int32),
            shift=8,
            beta=rng.uniform(0.6, 0.98, widths[i + 1]).astype(np.float32),
            threshold=np.ones(widths[i + 1], np.float32),
            reset="none" if i == 2 else "subtract",
        )
        for i in range(3)
    )
    labels = tuple(f"label{i}" for i in range(16))
    return Model(
        name="bench", version="0", labels=labels, families=("none",) * 16, front_end=FrontEnd(), layers=layers,
        on=(0.99,) * 16, off=(0.5,) * 16,
    )  # fmt: skip


def sound(seconds: float) -> np.ndarray:
    """Notes with harmonics and rests over noise: about the spike rates of music."""
    rng = np.random.default_rng(1)
    t = np.arange(round(seconds * 16_000)) / 16_000
    pitch = 220 * 2 ** (rng.integers(0, 24, len(t) // 8_000 + 1).repeat(8_000)[: len(t)] / 12)
    phase = 2 * np.pi * np.cumsum(pitch) / 16_000
    tone = sum(np.sin(k * phase) / k for k in range(1, 12))
    envelope = np.exp(-((t * 2) % 1) * 3)
    return (0.1 * tone * envelope + 0.003 * rng.standard_normal(len(t))).astype(np.float32)


def median_us(run: Callable[[], object], frames: int, repeats: int) -> float:
    run()
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        run()
        times.append(time.perf_counter() - began)
    return statistics.median(times) / frames * 1e6


def snntorch_us(model: Model, spikes: np.ndarray, repeats: int) -> float | None:
    """Microseconds a frame of the same network stepped in snntorch, batch 1, one thread."""
    try:
        import snntorch
        import torch
    except ImportError:
        return None
    torch.set_num_threads(1)
    linears, leakies = [], []
    for layer in model.layers:
        linear = torch.nn.Linear(*layer.weight.shape)
        linear.weight.data = torch.from_numpy(layer.real_weight().T.copy())
        linear.bias.data = torch.from_numpy(layer.real_bias())
        linears.append(linear)
        leakies.append(
            snntorch.Leaky(
                beta=torch.from_numpy(layer.beta),
                threshold=torch.from_numpy(layer.threshold),
                reset_mechanism=layer.reset,
            )
        )
    inputs = torch.from_numpy(spikes.astype(np.float32))

    def run() -> None:
        mems = [leaky.init_leaky() for leaky in leakies]
        for frame in inputs:
            x = frame
            for i, (linear, leaky) in enumerate(zip(linears, leakies, strict=True)):
                x, mems[i] = leaky(linear(x), mems[i])

    with torch.no_grad():
        return median_us(run, len(inputs), repeats)


def measure(name: str, model: Model, samples: np.ndarray, repeats: int) -> dict[str, object]:
    frames = len(samples) // model.front_end.hop_samples
    pipeline, ear = Pipeline(model), Ear(model.front_end)
    _, spikes = Ear(model.front_end).feed(samples)
    whole = median_us(lambda: pipeline.feed(samples), frames, repeats)
    front = median_us(lambda: ear.feed(samples), frames, repeats)
    torch_us = snntorch_us(model, spikes[:300], max(3, repeats // 5))
    widths = [model.front_end.fibres] + [layer.weight.shape[1] for layer in model.layers]
    hop_us = model.front_end.hop_s * 1e6
    return {
        "model": name,
        "network": "-".join(map(str, widths)),
        "frame_samples": model.front_end.frame_samples,
        "us_per_frame": round(whole, 3),
        "frontend_us": round(front, 3),
        "network_us": round(max(whole - front, 0.0), 3),
        "times_real_time": round(hop_us / whole),
        "snntorch_us": None if torch_us is None else round(torch_us, 1),
        "snntorch_ratio": None if torch_us is None else round(torch_us / max(whole - front, 1e-3)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0, help="of sound in each repeat")
    parser.add_argument("--repeats", type=int, default=25)
    args = parser.parse_args()
    samples = sound(args.seconds)
    rows = [measure("64-128-128-16", reference_model(), samples, args.repeats)]
    if SHIPPED.exists():
        rows.append(measure("orchestra", load(SHIPPED), samples, args.repeats))
    report = {"cpu": cpu_name(), "python": platform.python_version(), "numpy": np.__version__, "rows": rows}
    report.update({key: value for key, value in rows[0].items() if key.endswith(("_us", "_ratio", "per_frame"))})
    out = ROOT / "build" / "bench" / "engine.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(report, indent=2))

    print(
        f"{report['cpu']}, Python {report['python']}; medians of {args.repeats} runs over {args.seconds:g} s of sound"
    )
    for row in rows:
        print(
            f"{row['model']:>14}  {row['network']}, frame {row['frame_samples']}: {row['us_per_frame']} us a frame "
            f"({row['times_real_time']} times real time); front end {row['frontend_us']}, network {row['network_us']}; "
            f"snntorch's network {row['snntorch_us']} us, {row['snntorch_ratio']} times as long"
        )
    print(f"written: {out.relative_to(ROOT)}")


def cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown CPU")


if __name__ == "__main__":
    main()
