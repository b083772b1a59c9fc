"""How the listener learns: the autoencoder first, from moments without labels; then the classifier, from its codes.

Both stop early by the calibrate part. Knows windows of sound and steps of training; nothing of files.
"""

import copy
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from models.data.ontology import LABELS
from models.zoo.data import Data
from models.zoo.examples import Examples, balanced, drawn, heard
from models.zoo.listener import Listener, ListenerSettings
from models.zoo.system import Run
from models.zoo.training import half_floats

LOOKS = 8  # at the calibrate part while the autoencoder learns
NAMED_BACK = (0, 2, 5, 8)  # rows before a window's end whose codes the classifier learns from: in the note, mostly
JUDGED = 4_096  # moments of the calibrate part


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


def moments(listener: Listener, examples: Examples) -> Moments:
    bands = [listener.bands(window.astype(np.float32) / np.float32(32768.0)) for window in examples.windows]
    return Moments(np.stack(bands).astype(np.float16), examples.answers, listener.memory.back)


def taught(settings: ListenerSettings, data: Data, run: Run) -> Listener:
    torch.set_num_threads(1)
    training = data.part("train")
    present = {clip.label for clip in training}
    labels = tuple(label for label in LABELS if label in present)
    listener = Listener(settings, labels)
    own = moments(listener, drawn(training, labels, settings.examples, settings.seed))
    held = moments(listener, heard(data.part("calibrate"), labels))
    run.report(f"{len(own.answers)} s of sound to learn from, {len(held.answers)} to stop early by")
    listener.networks.train()
    _teach_autoencoder(listener, own, held, run)
    listener.networks.eval()
    _teach_classifier(listener, own, held, run)
    listener.networks.eval()
    return listener


def _teach_autoencoder(listener: Listener, own: Moments, held: Moments, run: Run) -> None:
    settings, network = listener.settings, listener.autoencoder
    random = np.random.default_rng((settings.seed, 3))
    some = held.views(random.integers(len(held.answers), size=JUDGED), random.integers(held.rows, size=JUDGED))
    optimiser = torch.optim.Adam(network.parameters(), settings.rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, settings.rate, settings.updates, pct_start=0.1)
    best, state = float("inf"), copy.deepcopy(network.state_dict())
    every = max(1, settings.updates // LOOKS)
    for update in range(1, settings.updates + 1):
        window = np.sort(random.integers(len(own.answers), size=settings.batch))
        views = torch.from_numpy(own.views(window, random.integers(own.rows, size=settings.batch)))
        with half_floats():
            again, _ = network(views)
        loss = functional.mse_loss(again.float(), views)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        if update % every == 0 or update == settings.updates:
            error = float(np.mean(np.square(listener.decoded(some) - some)))
            run.report(f"autoencoder {update}/{settings.updates}: squared error {error:.5f} on the calibrate part")
            if error < best:
                best, state = error, copy.deepcopy(network.state_dict())
    network.load_state_dict(state)


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
