"""How the listener learns: the autoencoder first, from moments without labels; then the classifier, from its codes.

Both stop early by the calibrate part. Knows windows of sound and steps of training; nothing of files.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from models.data.augment import coloured_noise, recorded, transposed
from models.data.corpus import RATE_HZ, Clip
from models.data.ontology import LABELS
from models.zoo.data import Data
from models.zoo.examples import NOISY_SHARE, Examples, balanced, drawn, heard, shelves, taken
from models.zoo.listener import Listener, ListenerSettings
from models.zoo.reconstruction import COMPONENTS_FROM, DB, FLOOR, compared, components
from models.zoo.system import Run

LOOKS = 8  # at the calibrate part while the autoencoder learns
NAMED_BACK = (0, 2, 5, 8)  # rows before a window's end whose codes the classifier learns from: in the note, mostly
JUDGED = 4_096  # moments of the calibrate part
HELD_NOTES = 600  # of it
LONG_S, BEFORE_S = 2.4, 0.3  # of sound for the autoencoder: in all, and silence before the onset, at most


@dataclass(frozen=True)
class Moments:
    """Windows as bands; a moment is a window and one of its rows."""

    bands: NDArray[np.float16]  # (windows, rows, bands)
    answers: NDArray[np.int64]  # (windows,)
    back: NDArray[np.int64]  # (steps,) of the memory

    @property
    def rows(self) -> int:
        return int(self.bands.shape[1])

    def views(self, window: NDArray[np.int64], row: NDArray[np.int64]) -> NDArray[np.float32]:
        """What the memory holds at these moments, (n, steps, bands): as `EchoicMemory` gives it."""
        at = row[:, None] + 1 - self.back[None, :]
        seen = self.bands[window[:, None], np.maximum(at, 0)].astype(np.float32)
        return np.asarray(np.where((at >= 0)[:, :, None], seen, np.float32(0.0)))


def long_notes(clips: Sequence[Clip], labels: tuple[str, ...], count: int, seed: int, plain: bool = False) -> Examples:
    """As `drawn`, but LONG_S from a little before the onset on: so long that notes fill the whole memory. plain: as
    they are, without other pitches, rooms and noise."""
    by = shelves(clips, labels)
    windows, answers = np.zeros((count, round(LONG_S * RATE_HZ)), np.int16), np.empty(count, np.int64)
    for index in range(count):
        random = np.random.default_rng((seed, 8, index))
        answers[index] = random.integers(len(labels))
        note = taken(random, by[labels[answers[index]]]).samples.astype(np.float32) / np.float32(32768.0)
        first = int(random.integers(round(BEFORE_S * RATE_HZ)))
        if not plain:
            note = recorded(random, transposed(note, 2.0 ** (random.uniform(-2.0, 2.0) / 12.0)))
        note = note[: windows.shape[1] - first]
        sound = np.zeros(windows.shape[1], np.float32)
        sound[first : first + len(note)] = note / np.float32(max(float(np.abs(note).max(initial=0.0)), 1e-9))
        if not plain and random.random() < NOISY_SHARE:
            loud = np.float32(np.sqrt(np.mean(np.square(note)) / max(float(np.max(np.square(note))), 1e-9)))
            sound += loud * coloured_noise(random, len(sound)) * np.float32(10.0 ** (-random.uniform(10, 60) / 20.0))
        windows[index] = np.round(sound * np.float32(16_384.0 / np.abs(sound).max(initial=1e-9)))
    return Examples(windows, answers, labels)


def moments(listener: Listener, examples: Examples) -> Moments:
    bands = [listener.bands(window.astype(np.float32) / np.float32(32768.0)) for window in examples.windows]
    return Moments(np.stack(bands).astype(np.float16), examples.answers, listener.memory.back)


def taught(settings: ListenerSettings, data: Data, run: Run) -> Listener:
    torch.set_num_threads(1)
    training = data.part("train")
    present = {clip.label for clip in training}
    labels = tuple(label for label in LABELS if label in present)
    listener = Listener(settings, labels)
    calibrate = [clip for clip in data.part("calibrate") if clip.label in labels]
    known = tuple(label for label in labels if any(clip.label == label for clip in calibrate))
    own = moments(listener, long_notes(training, labels, settings.notes, settings.seed))
    held = moments(listener, long_notes(calibrate, known, HELD_NOTES, settings.seed, plain=True))
    run.report(f"{len(own.answers)} notes to learn the code from, {len(held.answers)} to stop early by")
    listener.networks.train()
    _teach_autoencoder(listener, own, held, run)
    listener.networks.eval()
    own = moments(listener, drawn(training, labels, settings.examples, settings.seed))
    held = moments(listener, heard(calibrate, labels))
    run.report(f"{len(own.answers)} s of sound to learn the labels from, {len(held.answers)} to stop early by")
    _teach_classifier(listener, own, held, run)
    listener.networks.eval()
    return listener


def _teach_autoencoder(listener: Listener, own: Moments, held: Moments, run: Run) -> None:
    settings, network = listener.settings, listener.autoencoder
    random = np.random.default_rng((settings.seed, 3))

    def some(moments: Moments, count: int) -> NDArray[np.float32]:
        window = np.sort(random.integers(len(moments.answers), size=count))
        return moments.views(window, random.integers(moments.rows, size=count))

    judged = some(held, JUDGED)
    mean, directions = components(some(own, COMPONENTS_FROM), settings.code)
    network.begin(torch.from_numpy(mean.astype(np.float32)), torch.from_numpy(directions.astype(np.float32)))
    optimiser = torch.optim.Adam(network.parameters(), settings.code_rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, settings.code_rate, settings.updates, pct_start=0.1)
    best, state = -1.0, copy.deepcopy(network.state_dict())
    every = max(1, settings.updates // LOOKS)
    for update in range(settings.updates + 1):
        if update % every == 0 or update == settings.updates:
            right = compared(judged, listener.decoded(judged))["within_1_db"]
            run.report(f"autoencoder {update}/{settings.updates}: {right} % within 1 dB in the calibrate part")
            if right > best:
                best, state = right, copy.deepcopy(network.state_dict())
        if update == settings.updates:
            break
        views = torch.from_numpy(some(own, settings.batch))
        loss = loss_db(network(views)[0], views)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        schedule.step()
    network.load_state_dict(state)


def loss_db(again: Tensor, views: Tensor) -> Tensor:
    """How many dB levels are off, its square below 1 dB. Below the floor that counts, a level goes on as the
    logarithm's tangent, and what lies there on both sides is no error."""
    straight = DB / np.log(10.0) * (again - FLOOR) / FLOOR + DB * np.log10(FLOOR)
    level = torch.where(again > FLOOR, DB * torch.log10(again.clamp_min(FLOOR)), straight)
    off = level - DB * torch.log10(views.clamp_min(FLOOR))
    off = torch.where((views <= FLOOR) & (again <= FLOOR), torch.zeros_like(off), off)
    return functional.smooth_l1_loss(off, torch.zeros_like(off))


def _teach_classifier(listener: Listener, own: Moments, held: Moments, run: Run) -> None:
    settings, network = listener.settings, listener.classifier
    codes, answers = _codes(listener, own)
    held_codes, held_answers = _codes(listener, held)
    random = np.random.default_rng((settings.seed, 4))
    optimiser = torch.optim.AdamW(network.parameters(), settings.rate, weight_decay=settings.weight_decay)
    per_epoch = max(1, len(answers) // settings.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, settings.rate, per_epoch * settings.epochs, pct_start=0.1)
    best, state = -1.0, copy.deepcopy(network.state_dict())
    for _ in range(settings.epochs):
        network.train()
        for rows in np.array_split(random.permutation(len(answers))[: per_epoch * settings.batch], per_epoch):
            out = network(torch.from_numpy(codes[rows]))
            loss = functional.cross_entropy(out, torch.from_numpy(answers[rows]), label_smoothing=0.1)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
        network.eval()
        accuracy = balanced(held_answers, listener.named(held_codes).argmax(axis=1))
        if accuracy > best:
            best, state = accuracy, copy.deepcopy(network.state_dict())
    run.report(f"classifier: {100 * best:.1f} % of the calibrate part's moments")
    network.load_state_dict(state)


def _codes(listener: Listener, own: Moments) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Of the moments at NAMED_BACK of each window, with their answers."""
    back = np.array([row for row in NAMED_BACK if row < own.rows])
    window = np.repeat(np.arange(len(own.answers)), len(back))
    row = np.tile(own.rows - 1 - back, len(own.answers))
    codes = [
        listener.code(own.views(window[start : start + 8_192], row[start : start + 8_192]))
        for start in range(0, len(window), 8_192)
    ]
    return np.concatenate(codes), own.answers[window]
