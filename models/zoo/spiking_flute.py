"""`spiking-flute`: was this flute blown, or made by a synthesiser? Knows its network, its loss and its figures.

Each 10 ms the newest 100 ms give numbers (`flute_features.py`). Every number drives a pair of spiking neurons, one for
more and one for less than usual, whose gain and decay are learned; LIF neurons follow, and one of decay 0.99. That one
says `acoustic` while it is above its threshold. Each TURN all begin anew, so that a long note is as many short ones.
The source's label is the mode over time: acoustic if more than half of the steps say so. Here the share of the steps is
chosen on the `calibrate` part: the most accurate of those that are right in WANTED_PRECISION of what they call
acoustic, with as many of both kinds as the source had. NSynth's flutes are left out: they are for judging.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from models.lif_scan import lif_scan
from models.zoo.data import Data
from models.zoo.flute_features import FRAME, HOP, RATE_HZ, SIZES, features_of
from models.zoo.flute_notes import Note, notes_of, piece_of, pieces_of
from models.zoo.system import Run, Settings, Solver, System, Tensors, ZooError

OUTPUT_BETA = 0.99
FORGIVEN_RATIO = 0.55  # of the time must be right: the rest is forgiven
PENALTY, PENALTY_GROWTH, GREATEST_PENALTY = 0.1, 1.001, 2.0
PIECE = RATE_HZ * 300 // 1000
TURN = (PIECE - FRAME) // HOP + 1  # steps after which every membrane begins anew: a long note is as many short ones
PIECES_EACH = 5  # of a note that is judged
WANTED_PRECISION = 0.95
NSYNTH = (55, 125)  # acoustic and synthetic flutes by which the source was judged, as its figures tell


@dataclass(frozen=True, kw_only=True)
class SpikingFluteSettings(Settings):
    seeds: int = 4  # networks, of which the best on the calibrate part is kept
    examples: int = 3_000  # pieces of notes, in random rooms and noise
    piece_s: float = 0.6
    patches: int = 40  # of each method of synthesis; a fifth calibrates, a fifth is judged by
    features: tuple[str, ...] = ("noise", "bands", "cepstrum")
    hidden: int = 32
    epochs: int = 8
    batch: int = 32
    rate: float = 5e-3
    penalty: float = GREATEST_PENALTY  # to which the one for false positives grows


class Network(nn.Module):
    """(time, batch, features) to the output's membrane, (time, batch): above its threshold 0 it says acoustic."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.full((2 * features,), 0.5))
        self.drive = nn.Parameter(torch.full((2 * features,), 0.2))
        self.beta_in = nn.Parameter(torch.full((2 * features,), 0.7))
        self.hidden = nn.Linear(2 * features, hidden)
        self.beta_hidden = nn.Parameter(torch.full((hidden,), 0.8))
        self.out = nn.Linear(hidden, 1)

    def forward(self, features: Tensor) -> Tensor:
        pairs = torch.cat([features, -features], dim=2)
        heard, _ = lif_scan(self.gain * pairs + self.drive, self.beta_in)
        hidden, _ = lif_scan((1.0 - self.beta_hidden.clamp(0, 1)) * 4.0 * self.hidden(heard), self.beta_hidden)
        decay = torch.full((1,), OUTPUT_BETA)
        _, membrane = lif_scan((1.0 - OUTPUT_BETA) * 8.0 * self.out(hidden), decay, reset="none")
        return membrane[:, :, 0]


def turns(heard: NDArray[np.float32]) -> NDArray[np.float32]:
    """(time, features) to (TURN, turns, features), the last one filled up with zeros; of less than a turn as it is."""
    if len(heard) < TURN:
        return heard[:, None]
    padded = np.concatenate([heard, np.zeros((-len(heard) % TURN, heard.shape[1]), np.float32)])
    return np.ascontiguousarray(padded.reshape(-1, TURN, heard.shape[1]).transpose(1, 0, 2))


def network_of(settings: SpikingFluteSettings, seed: int) -> Network:
    """Raises ZooError for features that are none."""
    if wrong := [name for name in settings.features if name not in SIZES] or not settings.features:
        raise ZooError(f"spiking-flute: features={wrong or '()'} is not one or more of {', '.join(SIZES)}")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Network(sum(SIZES[name] for name in settings.features), settings.hidden)


def loss_of(margin: Tensor, acoustic: Tensor, penalty: float) -> Tensor:
    """margin: (time, batch). acoustic: (batch,) of 0 and 1. The mean of the best FORGIVEN_RATIO of each train's steps,
    and `penalty` times how much the trains of synthetic notes said acoustic."""
    wrong = functional.binary_cross_entropy_with_logits(margin, acoustic.expand_as(margin), reduction="none")
    counted = max(1, round(FORGIVEN_RATIO * len(margin)))
    best = wrong.topk(counted, dim=0, largest=False).values.mean()
    false = (torch.sigmoid(margin) * (1.0 - acoustic)).sum() / (len(margin) * (1.0 - acoustic).sum().clamp_min(1.0))
    return best + penalty * false


class SpikingFlute(Solver):
    """shares: of the time that must say acoustic for the label to be so, of one turn and of longer sounds."""

    def __init__(
        self,
        network: Network,
        mean: NDArray[np.float32],
        scale: NDArray[np.float32],
        settings: SpikingFluteSettings,
        shares: tuple[float, float],
    ) -> None:
        self.network, self.mean, self.scale, self.settings, self.shares = network, mean, scale, settings, shares

    @property
    def parameters(self) -> int:
        return sum(one.numel() for one in self.network.parameters())

    def tensors(self) -> Tensors:
        return {
            "mean": self.mean,
            "scale": self.scale,
            **{f"network.{key}": value.numpy() for key, value in self.network.state_dict().items()},
        }

    def about(self) -> dict[str, Any]:
        return {"shares": list(self.shares)}

    @torch.no_grad()
    def margin(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n,) to (steps,), one each HOP from the first whole FRAME on: acoustic where it is above 0."""
        heard = (features_of(samples, self.settings.features) - self.mean) / self.scale
        margin: NDArray[np.float32] = self.network(torch.from_numpy(turns(heard))).numpy().T.reshape(-1)
        return margin[: len(heard)]

    def share_of(self, samples: NDArray[np.float32]) -> float:
        """Of the time that says acoustic."""
        return float((self.margin(samples) > 0.0).mean())

    def predict(self, samples: NDArray[np.float32]) -> dict[str, Any]:
        if len(samples) < HOP:
            raise ZooError(f"spiking-flute: the sound has {len(samples)} samples, a step {HOP}")
        peak = max(float(np.abs(samples).max(initial=0.0)), 1e-9)  # as the notes that it learned from
        share, limit = self.share_of(samples / np.float32(peak)), self.shares[len(samples) > PIECE]
        return {
            "label": "acoustic" if share > limit else "synthetic",
            "share_of_time_acoustic": round(share, 3),
            "acoustic_above": round(limit, 3),
        }

    def figures(self, data: Data, run: Run) -> dict[str, Any]:
        notes, left_out = notes_of(data, self.settings.seed, self.settings.patches, "report", run)
        shares = np.array([self.share_of(note.samples) for note in notes])
        flutes = [note for note in notes if note.flute]
        pieces = _short(flutes, self.settings.seed)
        acoustic = np.array([note.acoustic for note in notes])
        is_flute = np.array([note.flute for note in notes])
        of_pieces = np.repeat([note.acoustic for note in flutes], PIECES_EACH)
        shares_of_pieces = np.array([self.share_of(piece) for piece in pieces])
        whole = judged(acoustic[is_flute], shares[is_flute] > self.shares[1])
        short = judged(of_pieces, shares_of_pieces > self.shares[0])
        rows = [
            (f"acoustic or synthetic flute, {len(flutes)} whole notes", whole, "93.89 %, 83.33 %, 100 % (NSynth's)"),
            (f"the same, {len(pieces)} random pieces of 300 ms", short, "none"),
        ]
        return {
            "headline": [
                {
                    "what": f"{what}: accuracy, precision, recall",
                    "ours": f"{told['accuracy']} %, {told['precision']} %, {told['recall']} %",
                    "to_beat": to_beat,
                }
                for what, told, to_beat in rows
            ],
            "whole_notes": whole,
            "pieces_of_300_ms": short,
            "curve": {
                "whole_notes": curve(acoustic[is_flute], shares[is_flute]),
                "pieces_of_300_ms": curve(of_pieces, shares_of_pieces),
            },
            "by_library": {
                library: judged(acoustic[own], shares[own] > self.shares[1])
                for library in sorted({note.library for note in notes})
                if (own := np.array([note.library == library for note in notes])).any()
            },
            "nsynth_flutes_left_out": left_out,
        }


def judged(acoustic: Sequence[bool] | NDArray[np.bool_], said: Sequence[bool] | NDArray[np.bool_]) -> dict[str, Any]:
    """Percent; precision and recall of `acoustic`. `precision_at_nsynth_s_shares`: what the precision would be with as
    many acoustic and synthetic notes as the source had."""
    true, told = np.array(acoustic, bool), np.array(said, bool)

    def percent(right: NDArray[np.bool_]) -> float | None:
        return round(100.0 * float(right.mean()), 2) if right.size else None

    recall, synthetic = percent(told[true]), percent(~told[~true])
    there = None
    if recall is not None and synthetic is not None and recall + (100.0 - synthetic) > 0.0:
        hits, false = NSYNTH[0] * recall, NSYNTH[1] * (100.0 - synthetic)
        there = round(100.0 * hits / (hits + false), 2)
    return {
        "notes": len(true),
        "acoustic": int(true.sum()),
        "accuracy": percent(told == true),
        "precision": percent(true[told]),
        "recall": recall,
        "synthetic_right": synthetic,
        "precision_at_nsynth_s_shares": there,
    }


def curve(acoustic: NDArray[np.bool_], shares: NDArray[np.float64]) -> list[dict[str, float]]:
    """Of each share that was seen as the limit, greatest first: limit, precision and recall, 0 to 1."""
    rows = []
    for limit in np.unique(shares)[::-1]:
        said = shares >= limit
        rows.append(
            {
                "share": round(float(limit), 4),
                "precision": round(float(acoustic[said].mean()), 4),
                "recall": round(float(said[acoustic].mean()), 4) if acoustic.any() else 0.0,
            }
        )
    return rows


def best_share(acoustic: NDArray[np.bool_], shares: NDArray[np.float64]) -> tuple[float, float]:
    """The limit, and how good it is: both kinds' accuracy, their mean, at the limit of best accuracy among those of
    WANTED_PRECISION, or, if none has it, among all. Without both kinds the mode: half of the time."""
    if acoustic.all() or not acoustic.any():  # all of an empty array is True
        return 0.5, 0.0
    seen = np.unique(shares)
    limits = np.concatenate([[0.0], (seen[1:] + seen[:-1]) / 2.0])
    right = np.array([(np.mean(shares[acoustic] > x) + np.mean(shares[~acoustic] <= x)) / 2.0 for x in limits])
    recall = np.array([np.mean(shares[acoustic] > x) for x in limits])
    false = np.array([np.mean(shares[~acoustic] > x) for x in limits])
    hits = NSYNTH[0] * recall
    precise = hits / np.maximum(hits + NSYNTH[1] * false, 1e-9) >= WANTED_PRECISION
    at = int(np.argmax(np.where(precise, right, right - 1.0 * precise.any())))
    return float(limits[at]), float(right[at])


def train(settings: SpikingFluteSettings, data: Data, run: Run) -> SpikingFlute:
    torch.set_num_threads(1)
    notes, _ = notes_of(data, settings.seed, settings.patches, "train", run)
    calibrate, _ = notes_of(data, settings.seed, settings.patches, "calibrate", run)
    sounds, acoustic = pieces_of(notes, settings.examples, round(settings.piece_s * RATE_HZ), settings.seed)
    steps = max(1, (len(sounds[0]) - FRAME) // HOP + 1)
    learned = steps if steps < TURN else steps - steps % TURN  # no turn that is filled up with zeros
    heard = np.concatenate([turns(features_of(sound, settings.features)[:learned]) for sound in sounds], axis=1)
    mean = heard.mean(axis=(0, 1))
    scale = heard.std(axis=(0, 1)) + np.float32(1e-6)
    inputs = torch.from_numpy((heard - mean) / scale)  # (time, turns, features)
    truth = torch.from_numpy(np.repeat(acoustic, inputs.shape[1] // len(acoustic)).astype(np.float32))
    own = [note for note in calibrate if note.flute]
    pieces = _short(own, settings.seed)
    blown = np.array([note.acoustic for note in own], bool)
    best: tuple[float, SpikingFlute] | None = None
    for seed in range(settings.seed, settings.seed + max(1, settings.seeds)):
        flute = SpikingFlute(network_of(settings, seed), mean, scale, settings, (0.5, 0.5))
        _fit(flute.network, inputs, truth, settings, seed)
        short, right_short = best_share(
            np.repeat(blown, PIECES_EACH), np.array([flute.share_of(piece) for piece in pieces])
        )
        whole, right = best_share(blown, np.array([flute.share_of(note.samples) for note in own]))
        flute.shares = short, whole
        run.report(
            f"seed {seed}: of both kinds in the calibrate part {100 * right_short:.1f} % of pieces above a share of"
            f" {short:.2f}, {100 * right:.1f} % of notes above {whole:.2f}"
        )
        if best is None or right + right_short > best[0]:
            best = right + right_short, flute
    assert best is not None
    return best[1]


def _short(notes: Sequence[Note], seed: int) -> list[NDArray[np.float32]]:
    """PIECES_EACH random pieces of each note."""
    random = np.random.default_rng((seed, 7))
    return [piece_of(random, note.samples, PIECE) for note in notes for _ in range(PIECES_EACH)]


def _fit(network: Network, inputs: Tensor, truth: Tensor, settings: SpikingFluteSettings, seed: int) -> None:
    random = np.random.default_rng((seed, 5))
    batches = settings.epochs * -(-len(truth) // settings.batch)
    adam = torch.optim.AdamW(network.parameters(), settings.rate, weight_decay=0.02)
    rise_and_fall = torch.optim.lr_scheduler.OneCycleLR(adam, settings.rate, batches + 1)
    number = 0
    for _ in range(settings.epochs):
        for some in np.array_split(random.permutation(len(truth)), batches // settings.epochs):
            number += 1
            penalty = min(PENALTY * PENALTY_GROWTH**number, settings.penalty)
            loss = loss_of(network(inputs[:, some]), truth[some], penalty)
            adam.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            adam.step()
            rise_and_fall.step()


def restore(settings: SpikingFluteSettings, about: dict[str, Any], tensors: Tensors) -> SpikingFlute:
    network = network_of(settings, settings.seed)
    state = {key.removeprefix("network."): torch.from_numpy(value) for key, value in tensors.items() if "." in key}
    network.load_state_dict(state)
    return SpikingFlute(network, tensors["mean"], tensors["scale"], settings, tuple(about["shares"]))


SYSTEM = System(
    name="spiking-flute",
    source="unpublished notes: a spiking detector of synthetic flutes, judged on NSynth's test split",
    settings=SpikingFluteSettings,
    train=train,
    restore=restore,
    kind="task",
    renders=False,
    notes="NSynth's flutes are left out, in training and in these figures",
)
