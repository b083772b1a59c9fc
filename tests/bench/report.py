"""All that a run of the benchmark measured, what follows from it, and how engine.json keeps it. Measures nothing."""

from dataclasses import dataclass
from typing import Any

from tests.bench.missing import Missing
from tests.bench.timing import Times

Named = dict[str, Times]

# What the top level of engine.json calls the rivals on the reference network.
RIVAL_KEYS = {
    "C, -O3": "c_network_us",
    "C, -O3 -march=native": "c_network_native_us",
    "numpy": "numpy_us",
    "torch": "torch_us",
    "snntorch": "snntorch_us",
    "onnxruntime": "onnxruntime_us",
}


@dataclass(frozen=True, kw_only=True)
class Report:
    """Times are nanoseconds for one frame, unless a field says otherwise."""

    machine: dict[str, object]
    models: dict[str, str]  # name to its network's widths
    hop_us: float
    frames: dict[str, Named]  # model to part to time; see frame.py
    races: dict[str, Named]  # model to rival to time of the network alone
    pool_at: int
    pool: dict[Any, Times]  # streams to time
    fft: dict[int, Named]  # length to library to time of one transform
    stages: Named
    floor: Times
    floor_bytes: int
    curves: dict[str, dict[float, Times]]  # what grows to how much to time
    peers: dict[str, tuple[Times, float]]  # time of one answer, seconds of audio between two; the engine among them
    missing: Missing

    def whole_us(self, model: str = "reference") -> float:
        return self.frames[model]["whole"].median / 1e3

    def cpu_ms_a_second(self, model: str = "reference") -> float:
        """Milliseconds of CPU for each second of audio."""
        return self.whole_us(model) / self.hop_us * 1e3

    def times_real_time(self, model: str = "reference") -> float:
        return self.hop_us / self.whole_us(model)

    def pool_us(self) -> float:
        return self.pool[self.pool_at].median / 1e3

    def streams_a_core(self) -> int:
        """Live streams that one core could hear in a pool."""
        return int(self.hop_us / self.pool_us())

    def peer_ms_a_second(self, name: str) -> float:
        time, seconds = self.peers[name]
        return time.median / 1e6 / seconds

    def peer_ratio(self, name: str) -> float:
        return self.peer_ms_a_second(name) / self.peer_ms_a_second("engine")

    def rest(self) -> float:
        """Nanoseconds of a whole frame that no stage accounts for."""
        return self.frames["reference"]["whole"].median - sum(time.median for time in self.stages.values())

    def as_json(self) -> dict[str, Any]:
        frame, race = self.frames["reference"], self.races["reference"]
        network = race["engine"].median
        own = {name: times.median for name, times in race.items() if name in RIVAL_KEYS}
        size = self.races.get("rival size", {})
        return {
            "us_per_frame": us(frame["whole"]),
            "pool_us_per_frame": us(self.pool[self.pool_at]),
            "snntorch_ratio": round(own["snntorch"] / network, 1) if "snntorch" in own else None,
            "frontend_us": us(frame["front end"]),
            "network_us": us(race["engine"]),
            **{key: us(race[name]) if name in race else None for name, key in RIVAL_KEYS.items()},
            "latch_us": us(frame["latches"]),
            "trace_us": us(frame["trace"]),
            "untraced_us_per_frame": us(frame["untraced"]),
            "live_us_per_frame": us(frame["live"]),
            "network_128_128_64_16_us": us(size["engine"]) if size else None,
            "c_network_128_128_64_16_us": us(size["C, -O3"]) if "C, -O3" in size else None,
            "floor_us": us(self.floor),
            "floor_bytes": self.floor_bytes,
            "cpu_ms_per_audio_second": round(self.cpu_ms_a_second(), 4),
            "times_real_time": round(self.times_real_time()),
            "streams_per_core": self.streams_a_core(),
            "ratios": {name: round(time / network, 2) for name, time in own.items()},
            "machine": self.machine,
            "networks": self.models,
            "frames": {model: each(parts) for model, parts in self.frames.items()},
            "network_alone": {model: each(rivals) for model, rivals in self.races.items()},
            "pool": {str(streams): time.us() for streams, time in self.pool.items()},
            "fft": {str(n): each(libraries) for n, libraries in self.fft.items()},
            "stages": each(self.stages) | {"rest": {"us": round(self.rest() / 1e3, 4)}},
            "scaling": {
                what: {f"{at:g}": time.us() for at, time in curve.items()} for what, curve in self.curves.items()
            },
            "peers": {
                name: {
                    "cpu_ms_per_audio_second": round(self.peer_ms_a_second(name), 3),
                    "ratio": round(self.peer_ratio(name), 1),
                }
                for name in self.peers
            },
            "missing": dict(self.missing),
        }


def us(time: Times) -> float:
    return round(time.median / 1e3, 4)


def each(times: Named) -> dict[str, dict[str, float]]:
    return {name: time.us() for name, time in times.items()}
