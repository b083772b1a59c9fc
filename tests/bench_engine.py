"""What a frame costs, beside others in the same run: `make bench`, or `python -m tests.bench_engine --help`.

Not a test: nothing here passes or fails. Everything runs on one thread of one CPU; figures are medians over rounds in
which all rivals take turns, and mean something only as ratios to the rival beside them. Prints tables and writes
engine.json and engine.png. What is measured, and how, is in tests/bench/, one thing a file.
"""

# ruff: noqa: E402
from tests.bench import machine

CPU = machine.one_thread() if __name__ == "__main__" else None  # before numpy, whose import starts threads

import argparse
import json
from pathlib import Path

from engine.weights import Model, load
from tests.bench import fft, floor, frame, peers, plot, pool, race, report, scaling, stages, subjects, table
from tests.bench.missing import Missing
from tests.bench.timing import Times, compete

ROOT = Path(__file__).resolve().parents[1]
SHIPPED = ROOT / "models" / "weights" / "orchestra.safetensors"
POOL_STREAMS = 512


def measure(args: argparse.Namespace) -> report.Report:
    missing = Missing()
    samples = subjects.sound(args.seconds)
    model = subjects.network(*args.network)
    spikes = subjects.heard(model, samples)
    models = {"reference": model}
    if not args.quick:
        models["orchestra"] = load(SHIPPED)
    frames, races = {}, {}
    for name, subject in models.items():
        heard = subjects.heard(subject, samples)
        frames[name] = frame.measure(subject, samples, heard, args.repeats)
        races[name] = race.measure(subject, heard, args.repeats, missing)
    if not args.quick:
        models["rival size"] = rival = subjects.network(*subjects.RIVAL_SIZE)
        tenth = subjects.random_spikes(len(spikes), rival.front_end.fibres, 0.1)
        races["rival size"] = race.measure(rival, tenth, args.repeats, missing)
    moved, copied = floor.measure(model, spikes, args.repeats)
    curves = {} if args.quick else scaling.measure(samples, max(3, args.repeats // 2))
    pooled = curves.get("streams") or pool.measure(model, (POOL_STREAMS,), args.repeats)
    return report.Report(
        machine=machine.describe(CPU) | {"clock": machine.clock()[0], "repeats": args.repeats, "seconds": args.seconds},
        models={name: subjects.shape(subject) for name, subject in models.items()},
        hop_us=model.front_end.hop_s * 1e6,
        frames=frames,
        races=races,
        pool_at=POOL_STREAMS,
        pool=pooled,
        fft=fft.measure(fft.LENGTHS[:1] if args.quick else fft.LENGTHS, args.repeats, missing),
        stages=stages.measure(model, samples, spikes, args.repeats),
        floor=copied,
        floor_bytes=moved,
        curves=curves,
        peers=measure_peers(model, {"YAMNet": args.yamnet, "Silero VAD": args.silero}, args.repeats, missing),
        missing=missing,
    )


def measure_peers(
    model: Model, paths: dict[str, Path | None], rounds: int, missing: Missing
) -> dict[str, tuple[Times, float]]:
    """Peer, and the engine among them, to the time of one answer and the seconds of audio between two."""
    made = {}
    for name, path in paths.items():
        if path is None:
            missing[name] = "not measured (no path given)"
        elif peer := missing.attempt(name, lambda name=name, path=path: peers.PEERS[name](path)):  # type: ignore[misc]
            made[name] = peer
    if not made:
        return {}
    made = {"engine": peers.engine(model), **made}
    times = compete({name: run for name, (run, _) in made.items()}, max(3, rounds // 5))
    return {name: (times[name], seconds) for name, (_, seconds) in made.items()}


def widths(text: str) -> tuple[int, ...]:
    """64-128-128-16: bands, then the neurons of each layer."""
    return tuple(int(width) for width in text.split("-"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10.0, help="of sound in each round")
    parser.add_argument("--repeats", type=int, default=25, help="rounds that the medians are over")
    parser.add_argument("--quick", action="store_true", help="one network, one length of transform, no curves")
    sizes = "-".join(map(str, subjects.REFERENCE))
    parser.add_argument("--network", type=widths, default=subjects.REFERENCE, help=f"bands and layers, {sizes}")
    parser.add_argument("--yamnet", type=Path, help="YAMNet as a .tflite file, to measure beside")
    parser.add_argument("--silero", type=Path, help="Silero VAD as an .onnx file, to measure beside")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "bench", help="folder for engine.json and .png")
    args = parser.parse_args()
    measured = measure(args)
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "engine.json").write_text(json.dumps(measured.as_json(), indent=2))
    if measured.missing.attempt("picture", lambda: plot.save(measured, args.out / "engine.png")) is None:
        (args.out / "engine.png").unlink(missing_ok=True)  # one of an earlier run would not fit this report
    table.show(measured)
    print(f"written: {args.out}/engine.json" + ("" if "picture" in measured.missing else " and engine.png"))


if __name__ == "__main__":
    main()
