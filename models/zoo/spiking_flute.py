"""`spiking-flute`: was this flute blown, or made by a synthesiser? Knows its notes, its network and its loss.

Each 10 ms the newest 100 ms give mel bands and a cepstrum. Every number drives a pair of spiking neurons, one for more
and one for less than usual, whose gain and decay are learned; 32 LIF neurons follow, and one of decay 0.99. That one
says `acoustic` while it is above its threshold; the label is what it says most of the time (the mode).

NSynth's flutes are left out wherever they are: they are for judging.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from zlib import crc32

import numpy as np
import scipy.fft
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from engine.bands import mel_table
from engine.config import FrontEnd
from models.data.augment import coloured_noise, recorded, transposed
from models.data.decode import read_sound
from models.data.loaders import load, nsynth
from models.lif_scan import lif_scan
from models.zoo import synthesis
from models.zoo.data import Data
from models.zoo.system import Run, Settings, Solver, System, Tensors, ZooError

RATE_HZ, FRAME, HOP = 16_000, 1_600, 160
FFT = 2_048  # samples, of which FRAME are sound: the engine's mel bands know powers of two
BANDS, CEPSTRUM = 64, 20
FEATURES = BANDS + CEPSTRUM
FLOOR_DB = -60.0  # below the frame's loudest band
WIDTH, OUTPUT_BETA = 32, 0.99
FORGIVEN_RATIO = 0.55  # of the time must be right: the rest is forgiven
PENALTY, PENALTY_GROWTH, GREATEST_PENALTY = 0.1, 1.001, 2.0
PIECE = RATE_HZ * 300 // 1000
LONGEST = 3 * RATE_HZ
SILENT = 1e-3  # of the note's peak: before it begins


@dataclass(frozen=True, kw_only=True)
class SpikingFluteSettings(Settings):
    examples: int = 2_000  # pieces of notes, in random rooms and noise
    piece_s: float = 0.8
    patches: int = 40  # of each method of synthesis; a fifth of them is judged by
    epochs: int = 15
    batch: int = 32
    rate: float = 5e-3


@dataclass(frozen=True, eq=False)
class Note:
    samples: NDArray[np.float32]  # (n,), its peak 1, from its beginning on
    acoustic: bool
    flute: bool  # a real one, or made as one; else another family's note
    library: str


class Network(nn.Module):
    """(time, batch, FEATURES) to the output's membrane, (time, batch): above its threshold 0 it says acoustic."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.full((2 * FEATURES,), 0.5))
        self.drive = nn.Parameter(torch.full((2 * FEATURES,), 0.2))
        self.beta_in = nn.Parameter(torch.full((2 * FEATURES,), 0.7))
        self.hidden = nn.Linear(2 * FEATURES, WIDTH)
        self.beta_hidden = nn.Parameter(torch.full((WIDTH,), 0.8))
        self.out = nn.Linear(WIDTH, 1)

    def forward(self, features: Tensor) -> Tensor:
        pairs = torch.cat([features, -features], dim=2)
        heard, _ = lif_scan(self.gain * pairs + self.drive, self.beta_in)
        hidden, _ = lif_scan((1.0 - self.beta_hidden.clamp(0, 1)) * 4.0 * self.hidden(heard), self.beta_hidden)
        decay = torch.full((1,), OUTPUT_BETA)
        _, membrane = lif_scan((1.0 - OUTPUT_BETA) * 8.0 * self.out(hidden), decay, reset="none")
        return membrane[:, :, 0]


def loss_of(margin: Tensor, acoustic: Tensor, penalty: float) -> Tensor:
    """margin: (time, batch). acoustic: (batch,) of 0 and 1. The mean of the best FORGIVEN_RATIO of each train's steps,
    and `penalty` times how much the trains of synthetic notes said acoustic."""
    wrong = functional.binary_cross_entropy_with_logits(margin, acoustic.expand_as(margin), reduction="none")
    counted = max(1, round(FORGIVEN_RATIO * len(margin)))
    best = wrong.topk(counted, dim=0, largest=False).values.mean()
    false = (torch.sigmoid(margin) * (1.0 - acoustic)).sum() / (len(margin) * (1.0 - acoustic).sum().clamp_min(1.0))
    return best + penalty * false


class SpikingFlute(Solver):
    def __init__(self, network: Network, mean: NDArray[np.float32], scale: NDArray[np.float32], settings: Any) -> None:
        self.network, self.mean, self.scale, self.settings = network, mean, scale, settings

    @property
    def parameters(self) -> int:
        return sum(one.numel() for one in self.network.parameters())

    def tensors(self) -> Tensors:
        return {
            "mean": self.mean,
            "scale": self.scale,
            **{f"network.{key}": value.numpy() for key, value in self.network.state_dict().items()},
        }

    @torch.no_grad()
    def margin(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n,) to (n // HOP,): acoustic where it is above 0."""
        heard = (features_of(samples) - self.mean) / self.scale
        margin: NDArray[np.float32] = self.network(torch.from_numpy(heard)[:, None]).numpy()[:, 0]
        return margin

    def says_acoustic(self, samples: NDArray[np.float32]) -> bool:
        """The mode over time."""
        return bool((self.margin(samples) > 0.0).mean() > 0.5)

    def predict(self, samples: NDArray[np.float32]) -> dict[str, Any]:
        if len(samples) < HOP:
            raise ZooError(f"spiking-flute: the sound has {len(samples)} samples, a step {HOP}")
        share = float((self.margin(samples) > 0.0).mean())
        return {"label": "acoustic" if share > 0.5 else "synthetic", "share_of_time_acoustic": round(share, 3)}

    def figures(self, data: Data, run: Run) -> dict[str, Any]:
        notes, left_out = notes_of(data, self.settings, "report", run)
        flutes = [note for note in notes if note.flute]
        random = np.random.default_rng((self.settings.seed, 7))
        pieces = [_piece(random, note.samples, PIECE) for note in flutes]
        whole = judged([note.acoustic for note in flutes], [self.says_acoustic(note.samples) for note in flutes])
        short = judged([note.acoustic for note in flutes], [self.says_acoustic(piece) for piece in pieces])
        rows = [
            (f"acoustic or synthetic flute, {len(flutes)} whole notes", whole, "93.89 %, 83.33 %, 100 % (NSynth's)"),
            ("the same, random pieces of 300 ms", short, "none"),
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
            "by_library": {
                library: judged(
                    [note.acoustic for note in notes if note.library == library],
                    [self.says_acoustic(note.samples) for note in notes if note.library == library],
                )
                for library in sorted({note.library for note in notes})
            },
            "nsynth_flutes_left_out": left_out,
        }


def judged(acoustic: Sequence[bool], said: Sequence[bool]) -> dict[str, Any]:
    """Percent; precision and recall of `acoustic`, and the mean of both kinds' recalls."""
    true, told = np.array(acoustic, bool), np.array(said, bool)

    def percent(right: NDArray[np.bool_]) -> float | None:
        return round(100.0 * float(right.mean()), 2) if right.size else None

    return {
        "notes": len(true),
        "acoustic": int(true.sum()),
        "accuracy": percent(told == true),
        "precision": percent(true[told]),
        "recall": percent(told[true]),
        "synthetic_right": percent(~told[~true]),
    }


def train(settings: SpikingFluteSettings, data: Data, run: Run) -> SpikingFlute:
    notes, _ = notes_of(data, settings, "train", run)
    sounds, acoustic = pieces_of(notes, settings)
    heard = np.stack([features_of(sound) for sound in sounds], axis=1)  # (time, pieces, FEATURES)
    mean = heard.mean(axis=(0, 1))
    scale = heard.std(axis=(0, 1)) + np.float32(1e-6)
    inputs = torch.from_numpy((heard - mean) / scale)
    truth = torch.from_numpy(acoustic.astype(np.float32))
    torch.set_num_threads(1)
    random = np.random.default_rng((settings.seed, 5))
    with torch.random.fork_rng():
        torch.manual_seed(settings.seed)
        network = Network()
    batches = settings.epochs * -(-len(acoustic) // settings.batch)
    adam = torch.optim.AdamW(network.parameters(), settings.rate, weight_decay=0.02)
    rise_and_fall = torch.optim.lr_scheduler.OneCycleLR(adam, settings.rate, batches + 1)
    number = 0
    for epoch in range(settings.epochs):
        losses = []
        for some in np.array_split(random.permutation(len(acoustic)), batches // settings.epochs):
            number += 1
            penalty = min(PENALTY * PENALTY_GROWTH**number, GREATEST_PENALTY)
            loss = loss_of(network(inputs[:, some]), truth[some], penalty)
            adam.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            adam.step()
            rise_and_fall.step()
            losses.append(float(loss.detach()))
        run.report(f"epoch {epoch + 1}: loss {np.mean(losses):.3f}")
    return SpikingFlute(network, mean, scale, settings)


def pieces_of(
    notes: Sequence[Note], settings: SpikingFluteSettings
) -> tuple[list[NDArray[np.float32]], NDArray[np.bool_]]:
    """Random pieces of notes in random rooms, colours and noise: both kinds equally often, within each kind every
    library, flutes three times as often as other families."""
    kinds: dict[bool, dict[str, list[Note]]] = {True: {}, False: {}}
    for note in notes:
        kinds[note.acoustic].setdefault(note.library, []).append(note)
    if missing := [name for name, kind in (("acoustic", True), ("synthetic", False)) if not kinds[kind]]:
        raise ZooError(f"spiking-flute: there is no {missing[0]} note to learn from")
    sounds, truth = [], []
    size = round(settings.piece_s * RATE_HZ)
    for index in range(settings.examples):
        random = np.random.default_rng((settings.seed, 6, index))
        libraries = list(kinds[index % 2 == 0].values())
        weight = np.array([(3.0 if own[0].flute else 1.0) * min(len(own), 200) ** 0.5 for own in libraries])
        own = libraries[int(random.choice(len(libraries), p=weight / weight.sum()))]
        sound = transposed(own[int(random.integers(len(own)))].samples, 2.0 ** (random.uniform(-2.0, 2.0) / 12.0))
        if random.random() < 0.7:
            sound = recorded(random, sound)[: len(sound)]
        sound = sound / (np.abs(sound).max() + np.float32(1e-9))
        sound = sound + coloured_noise(random, len(sound)) * np.float32(10.0 ** (-random.uniform(25.0, 70.0) / 20.0))
        sounds.append(_piece(random, sound, size))
        truth.append(index % 2 == 0)
    return sounds, np.array(truth)


def _piece(random: np.random.Generator, sound: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """`size` samples from a random place; what is shorter is filled up with silence."""
    start = int(random.integers(max(1, len(sound) - size + 1)))
    piece = np.zeros(size, np.float32)
    own = sound[start : start + size]
    piece[: len(own)] = own
    return piece


def notes_of(data: Data, settings: SpikingFluteSettings, part: str, run: Run) -> tuple[list[Note], int]:
    """The notes of `train` or `report`, and how many flutes of NSynth were left out."""
    kept, left_out = [], 0
    for clip in data.part(part):
        if clip.label == "flute" and clip.library != nsynth.LIBRARY:
            kept.append(_note(clip.samples.astype(np.float32), True, True, clip.library))
    for folder in data.folders:
        corpus = load(folder)
        for recording in corpus.recordings if corpus.kind == "nsynth" else ():
            if "flute" in recording.group or recording.label == "flute":
                left_out += 1
            elif recording.origin in ("acoustic", "synthetic") and _part(recording.group) == part:
                sound = read_sound(recording.path).astype(np.float32)
                kept.append(_note(sound, recording.origin == "acoustic", False, f"nsynth, {recording.origin}"))
    for method in synthesis.METHODS:
        for number in range(settings.patches):
            if (part == "report") == (number % 5 == 0):
                random = np.random.default_rng((settings.seed, number, len(method)))
                own = synthesis.patch(random, method)
                for midi in random.integers(synthesis.LOWEST + 12, synthesis.HIGHEST, 4):
                    kept.append(_note(synthesis.note(random, own, int(midi)), False, True, method))
    run.report(f"{part}: {len(kept)} notes; {left_out} flutes of NSynth left out")
    return kept, left_out


def _part(group: str) -> str:
    """A fifth of NSynth's instruments is judged by, by name."""
    return "report" if crc32(group.encode()) % 5 == 0 else "train"


def _note(samples: NDArray[np.float32], acoustic: bool, flute: bool, library: str) -> Note:
    sound = samples / np.float32(max(float(np.abs(samples).max(initial=0.0)), 1e-9))
    loud = np.flatnonzero(np.abs(sound) > SILENT)
    first = int(loud[0]) if len(loud) else 0
    return Note(sound[first : first + LONGEST], acoustic, flute, library)


def features_of(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n,) to (n // HOP, FEATURES): mel bands in dB below the loudest of the frame, then their cepstrum."""
    steps = len(samples) // HOP
    padded = np.concatenate([np.zeros(FRAME - HOP, np.float32), samples])
    frames = np.lib.stride_tricks.sliding_window_view(padded, FRAME)[::HOP][:steps]
    power = np.abs(scipy.fft.rfft(frames * np.hanning(FRAME).astype(np.float32), FFT)) ** 2
    bands = power @ _filters() + 1e-12
    db = np.maximum(10.0 * np.log10(bands / bands.max(axis=1, keepdims=True)), FLOOR_DB)
    cepstrum = scipy.fft.dct(db, norm="ortho", axis=1)[:, 1 : CEPSTRUM + 1]
    return np.concatenate([db, cepstrum], axis=1).astype(np.float32)


def _filters() -> NDArray[np.float32]:
    table = mel_table(FrontEnd(frame_samples=FFT, bands=BANDS))
    matrix = np.zeros((FFT // 2 + 1, BANDS), np.float32)
    for band, (first, count, offset) in enumerate(zip(table.first, table.count, table.offset, strict=True)):
        matrix[first : first + count, band] = table.weight[offset : offset + count]
    return matrix


def restore(settings: SpikingFluteSettings, about: dict[str, Any], tensors: Tensors) -> SpikingFlute:
    network = Network()
    state = {key.removeprefix("network."): torch.from_numpy(value) for key, value in tensors.items() if "." in key}
    network.load_state_dict(state)
    return SpikingFlute(network, tensors["mean"], tensors["scale"], settings)


SYSTEM = System(
    name="spiking-flute",
    source="unpublished notes: a spiking detector of synthetic flutes, judged on NSynth's test split",
    settings=SpikingFluteSettings,
    train=train,
    restore=restore,
    kind="task",
    notes="NSynth's flutes are left out, in training and in these figures",
)
