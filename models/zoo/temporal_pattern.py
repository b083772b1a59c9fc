"""`temporal-pattern`: spiking neurons that find a periodic pattern in a spike train at any phase, and vibrato and
tremolo in notes. Knows the tasks: what is drawn, how it is learned, what counts as found."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from models.zoo.data import Data
from models.zoo.delay_network import DelayNetwork, Stream
from models.zoo.modulation import HOP, NAMES, Notes, modulations, notes_of
from models.zoo.pattern_trains import KINDS, Task, pattern, trains
from models.zoo.system import Run, Settings, Solver, System, Tensors, ZooError

SCALE = 8.0  # membranes to log-odds
HOLD = -0.2  # a found pattern is lost below this, not at 0: one lost spike is no end
CLIP = 1.0  # of a gradient's norm: no step can throw a found pattern away
CHECKS = 10  # while it learns
FOUND_PERIODS = 3  # after which a train must be right, at every step to its end
LONG_STEPS = 6_000  # a minute at 10 ms a step
DELAYS = 64


@dataclass(frozen=True, kw_only=True)
class TemporalPatternSettings(Settings):
    seeds: int = 10  # patterns, each with a network of its own
    hidden: int = 8
    steps: int = 400  # of a train that is learned from, 4 s
    batches: int = 160
    batch: int = 64
    judged_trains: int = 200
    judged_minutes: int = 20  # of each pattern
    rate: float = 0.01
    note_hidden: int = 32
    note_batches: int = 250


class TemporalPattern(Solver):
    def __init__(
        self,
        networks: list[DelayNetwork],
        patterns: list[NDArray[np.intp]],
        learning: list[list[float]],
        notes: DelayNetwork | None,
        settings: TemporalPatternSettings,
    ) -> None:
        self.networks, self.patterns, self.learning, self.notes = networks, patterns, learning, notes
        self.settings = settings

    @property
    def parameters(self) -> int:
        """Of one network for patterns."""
        return sum(one.numel() for one in self.networks[0].parameters())

    def tensors(self) -> Tensors:
        named = {f"pattern{index}": network for index, network in enumerate(self.networks)}
        if self.notes is not None:
            named["notes"] = self.notes
        return {
            f"{name}.{key}": value.numpy()
            for name, network in named.items()
            for key, value in network.state_dict().items()
        }

    def about(self) -> dict[str, Any]:
        return {"patterns": [own.tolist() for own in self.patterns], "learning": self.learning}

    def predict(self, samples: NDArray[np.float32]) -> dict[str, Any]:
        """When vibrato and tremolo were found in the sound, in percent of its time."""
        if self.notes is None:
            raise ZooError("this temporal-pattern was trained without --data and knows nothing of notes")
        on = latched(Stream(self.notes).feed(modulations(samples)))
        return {
            name: {"share_of_time": round(float(on[:, index].mean()), 3), "at_the_end": bool(on[-1, index])}
            for index, name in enumerate(NAMES)
        }

    def figures(self, data: Data, run: Run) -> dict[str, Any]:
        found = [
            pattern_figures(network, own, self.settings, seed, history)
            for seed, (network, own, history) in enumerate(
                zip(self.networks, self.patterns, self.learning, strict=True)
            )
        ]
        right = [one["right"] for one in found]
        rows = [
            {
                "what": f"a periodic pattern in a spike train, {len(right)} seeds",
                "ours": f"{np.mean(right):.1f} %, worst seed {min(right)} %",
                "to_beat": "87 %, then chance",
            },
            {
                "what": "found patterns that are not lost once in a minute",
                "ours": f"{np.mean([one['stay_found'] for one in found]):.1f} %",
                "to_beat": "none",
            },
        ]
        told: dict[str, Any] = {"headline": rows, "patterns": found}
        if self.notes is not None:
            told["notes"] = note_figures(self.notes, notes_of(data.part("report"), self.settings.seed + 2, run))
            rows.append(
                {
                    "what": "vibrato, tremolo or neither in notes of libraries never heard",
                    "ours": f"{told['notes']['right']} % of {told['notes']['notes']} notes",
                    "to_beat": "none",
                }
            )
        return told


def train(settings: TemporalPatternSettings, data: Data, run: Run) -> TemporalPattern:
    networks, patterns, learning = [], [], []
    for index in range(settings.seeds):
        network, own, history = learn_pattern(settings, (settings.seed, index))
        run.report(f"pattern {own.tolist()}: {history[-1]} % of trains right after learning")
        networks.append(network)
        patterns.append(own)
        learning.append(history)
    notes = learn_notes(notes_of(data.part("train"), settings.seed, run), settings, run) if data.folders else None
    return TemporalPattern(networks, patterns, learning, notes, settings)


def learn_pattern(
    settings: TemporalPatternSettings, seed: tuple[int, int]
) -> tuple[DelayNetwork, NDArray[np.intp], list[float]]:
    """The network, its pattern, and the percentage of trains that it had right while it learned."""
    task = Task()
    random = np.random.default_rng(seed)
    own = pattern(random, task)
    network = _fresh(1, settings.hidden, 1, int(random.integers(2**31)))
    teacher = _Teacher(network, settings.rate, settings.batches)
    checks, kinds = np.random.default_rng((*seed, 1)), _kinds(settings.judged_trains)
    check = trains(checks, own, kinds, settings.steps, task)
    history = []
    for number in range(1, settings.batches + 1):
        drawn = np.where(random.random(settings.batch) < 0.5, 0, random.integers(1, len(KINDS), settings.batch))
        spikes = trains(random, own, drawn, settings.steps, task)
        teacher.learn(spikes[:, :, None], (drawn == 0)[:, None], 2 * task.period + 20)
        if number % max(1, settings.batches // CHECKS) == 0 or number == settings.batches:
            history.append(_percent(found(network, check[:, :, None])[-1, :, 0] == (kinds == 0)))
    return network, own, history


def pattern_figures(
    network: DelayNetwork, own: NDArray[np.intp], settings: TemporalPatternSettings, seed: int, history: list[float]
) -> dict[str, Any]:
    """On trains that it has not learned from, twice as long; and on minutes of the pattern."""
    task, random = Task(), np.random.default_rng((settings.seed, seed, 2))
    kinds = _kinds(settings.judged_trains)
    on = found(network, trains(random, own, kinds, 2 * settings.steps, task)[:, :, None])[:, :, 0]
    right = on == (kinds == 0)
    minutes = trains(random, own, np.zeros(settings.judged_minutes, np.intp), LONG_STEPS, task)
    stay = found(network, minutes[:, :, None])[FOUND_PERIODS * task.period :, :, 0]
    reached = [value for value in history if value >= 95.0]
    return {
        "pattern": own.tolist(),
        "right": _percent(right[-1]),
        "right_at_every_step": _percent(right[FOUND_PERIODS * task.period :].all(axis=0)),
        "stay_found": _percent(stay.all(axis=0)),
        "of": {name: _percent(right[-1, kinds == kind]) for kind, name in enumerate(KINDS)},
        "while_learning": history,
        "least_after_95": min(history[history.index(reached[0]) :]) if reached else None,
    }


def learn_notes(notes: Notes, settings: TemporalPatternSettings, run: Run) -> DelayNetwork:
    random = np.random.default_rng((settings.seed, 3))
    network = _fresh(notes.spikes.shape[2], settings.note_hidden, len(NAMES), int(random.integers(2**31)))
    teacher = _Teacher(network, settings.rate, settings.note_batches)
    for _ in range(settings.note_batches):
        some = random.integers(len(notes), size=settings.batch)
        teacher.learn(notes.spikes[:, some], notes.truth[some], 60, notes.steps[some])
    return network


def note_figures(network: DelayNetwork, notes: Notes) -> dict[str, Any]:
    """Right is a note whose vibrato and tremolo are both right at its end."""
    on = found(network, notes.spikes)[notes.steps - 1, np.arange(len(notes))]
    right = (on == notes.truth).all(axis=1)
    rows = {
        name: {"right": _percent(right[notes.kinds == name]), "notes": int((notes.kinds == name).sum())}
        for name in sorted(set(notes.kinds.tolist()))
    }
    return {
        "right": round(float(np.mean([row["right"] for row in rows.values()])), 1),
        "notes": len(notes),
        "of": rows,
        "hop_ms": 1000.0 * HOP / 16_000,
    }


@torch.no_grad()
def found(network: DelayNetwork, spikes: NDArray[np.float32]) -> NDArray[np.bool_]:
    """(steps, trains, channels) to (steps, trains, outputs)."""
    membranes, _ = network(torch.from_numpy(np.ascontiguousarray(spikes)))
    return latched(membranes.numpy())


def latched(membranes: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Found once a membrane is above 0, until it is below HOLD. membranes: (steps, any)."""
    on = np.zeros(membranes.shape, bool)
    state = np.zeros(membranes.shape[1:], bool)
    for step, membrane in enumerate(membranes):
        state = np.where(state, membrane > HOLD, membrane > 0.0)
        on[step] = state
    return on


class _Teacher:
    """Adam with a rise and fall of its step, and no step without limits: what was found is not lost again."""

    def __init__(self, network: DelayNetwork, rate: float, batches: int) -> None:
        torch.set_num_threads(1)
        self.network = network
        self.adam = torch.optim.Adam(network.parameters(), rate)
        self.rise_and_fall = torch.optim.lr_scheduler.OneCycleLR(self.adam, rate, batches + 1, pct_start=0.1)

    def learn(
        self,
        spikes: NDArray[np.float32],
        truth: NDArray[np.bool_],
        since: int,
        until: NDArray[np.intp] | None = None,
    ) -> None:
        """spikes: (steps, trains, channels). truth: (trains, outputs). Each step from `since` to `until` counts."""
        membranes, _ = self.network(torch.from_numpy(spikes))
        odds = SCALE * membranes
        target = torch.from_numpy(truth.astype(np.float32)).expand_as(odds)
        loss = functional.binary_cross_entropy_with_logits(odds, target, reduction="none")
        counts = torch.arange(len(odds))[:, None] >= since
        if until is not None:
            counts = counts & (torch.arange(len(odds))[:, None] < torch.from_numpy(until))
        loss = (loss * counts[:, :, None]).sum() / (counts.sum().clamp_min(1) * odds.shape[2])
        self.adam.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), CLIP)
        self.adam.step()
        self.rise_and_fall.step()
        self.network.keep_in_range()


def _fresh(channels: int, hidden: int, outputs: int, seed: int) -> DelayNetwork:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return DelayNetwork(channels, DELAYS, hidden, outputs, output_beta=0.98)


def _kinds(count: int) -> NDArray[np.intp]:
    """Half of them with the pattern, the others of each other kind equally often."""
    others = np.arange(count) // 2 % (len(KINDS) - 1) + 1
    return np.where(np.arange(count) % 2 == 0, 0, others)


def _percent(right: NDArray[np.bool_]) -> float:
    return round(100.0 * float(right.mean()), 1)


def restore(settings: TemporalPatternSettings, about: dict[str, Any], tensors: Tensors) -> TemporalPattern:
    def network(name: str) -> DelayNetwork:
        own = {
            key.partition(".")[2]: torch.from_numpy(value)
            for key, value in tensors.items()
            if key.startswith(f"{name}.")
        }
        made = DelayNetwork(len(own["taps"]) // DELAYS, DELAYS, len(own["bias"]), len(own["out_beta"]), 0.5)
        made.load_state_dict(own)
        return made

    return TemporalPattern(
        [network(f"pattern{index}") for index in range(len(about["patterns"]))],
        [np.array(own) for own in about["patterns"]],
        about["learning"],
        network("notes") if "notes.taps" in tensors else None,
        settings,
    )


SYSTEM = System(
    name="temporal-pattern",
    source="unpublished notes: spiking neurons that look for a player's breath, a periodic pattern, at any phase",
    settings=TemporalPatternSettings,
    train=train,
    restore=restore,
    kind="task",
    needs_data=False,
    notes="synapses with learned delays; vibrato and tremolo only with --data",
)
