"""One training loop for all networks that name a label from a window: AdamW, a cosine, early stopping, bfloat16.

Knows tensors and rows; nothing of sound. One torch thread: two made a step slower (docs/models.md).
"""

import copy
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from models.runlog import RunLog
from models.zoo.examples import balanced
from models.zoo.system import Run, Settings, Tensors

JUDGED_AT_ONCE = 64


@dataclass(frozen=True, kw_only=True)
class NetworkSettings(Settings):
    """Of every label system's training."""

    examples: int = 24_000  # windows drawn once, seen again each epoch
    epochs: int = 10
    patience: int = 3  # epochs without a better accuracy on the calibrate part that end it
    batch: int = 64
    rate: float = 2e-3  # AdamW's greatest step, reached after a tenth of the steps, then down a cosine to zero
    weight_decay: float = 0.02
    smoothing: float = 0.1  # of the labels


Inputs = tuple[NDArray[Any], ...]  # what the network takes, each (n, ...); uint8 stands for 0 to 1


def fit(
    network: nn.Module,
    inputs: Inputs,
    answers: NDArray[np.int64],
    held_out: Inputs,
    held_answers: NDArray[np.int64],
    settings: NetworkSettings,
    run: Run,
    epoch_ended: Callable[[int, float], None] = lambda epoch, accuracy: None,
    log: str = "",
) -> float:
    """Train in place and keep the epoch with the best balanced accuracy on `held_out`, which is returned, 0 to 1.

    log: a folder below the run's for `models/runlog.py`. `epoch_ended` is told the epoch and its accuracy, and may
    raise to end it all.
    """
    torch.set_num_threads(1)
    random = np.random.default_rng((settings.seed, 2))
    optimiser = torch.optim.AdamW(network.parameters(), settings.rate, weight_decay=settings.weight_decay)
    per_epoch = max(1, len(answers) // settings.batch)
    steps = per_epoch * settings.epochs
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _share(step / steps))
    kept = _log(run, log, settings)
    best, state, since = -1.0, copy.deepcopy(network.state_dict()), 0
    try:
        for epoch in range(settings.epochs):
            network.train()
            order, loss_sum = random.permutation(len(answers)), 0.0
            for index in range(per_epoch):
                rows = np.sort(order[index * settings.batch : (index + 1) * settings.batch])
                with half_floats():
                    out = network(*taken(inputs, rows))
                loss = functional.cross_entropy(
                    out.float(), torch.from_numpy(answers[rows]), label_smoothing=settings.smoothing
                )
                optimiser.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(network.parameters(), 2.0)
                optimiser.step()
                schedule.step()
                loss_sum += loss.item()
            accuracy = balanced(held_answers, probabilities(network, held_out, half=True).argmax(axis=1))
            told = {"loss": loss_sum / per_epoch, "calibrate_accuracy": accuracy}
            run.report(f"epoch {epoch + 1}: loss {told['loss']:.3f}, {100 * accuracy:.1f} % of the calibrate part")
            if kept is not None:
                kept.write((epoch + 1) * per_epoch, "epoch", told)
            if accuracy > best:
                best, state, since = accuracy, copy.deepcopy(network.state_dict()), 0
            else:
                since += 1
            epoch_ended(epoch, accuracy)
            if since >= settings.patience:
                break
    finally:
        if kept is not None:
            kept.close()
    network.load_state_dict(state)
    network.eval()
    return best


def probabilities(network: nn.Module, inputs: Inputs, half: bool = False) -> NDArray[np.float32]:
    """(n, labels), in evaluation mode. half: as in training; else in float32, alike on every CPU."""
    network.eval()
    rows = []
    with torch.inference_mode(), half_floats() if half else nullcontext():
        for start in range(0, len(inputs[0]), JUDGED_AT_ONCE):
            part = np.arange(start, min(start + JUDGED_AT_ONCE, len(inputs[0])))
            rows.append(torch.softmax(network(*taken(inputs, part)).float(), dim=1).numpy())
    return np.concatenate(rows)


def taken(inputs: Inputs, rows: NDArray[np.int64]) -> list[Tensor]:
    return [
        torch.from_numpy(one[rows].astype(np.float32) * np.float32(1 / 255 if one.dtype == np.uint8 else 1))
        for one in inputs
    ]


def as_bytes(picture: NDArray[np.float32]) -> NDArray[np.uint8]:
    """0 to 1 in 255 steps: a quarter of the memory."""
    return np.asarray(np.round(255.0 * picture), np.uint8)


def half_floats() -> AbstractContextManager[Any]:
    """Products in bfloat16 where the CPU has them (about four times as fast), else in float32."""
    if torch.cpu.get_capabilities().get("avx512_bf16"):
        return torch.autocast("cpu", torch.bfloat16)
    return nullcontext()


def tensors_of(network: nn.Module) -> Tensors:
    return {name: value.detach().numpy().copy() for name, value in network.state_dict().items()}


def put(network: nn.Module, tensors: Tensors) -> None:
    """Raises RuntimeError, naming what does not fit."""
    network.load_state_dict({name: torch.from_numpy(value.copy()) for name, value in tensors.items()})
    network.eval()


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def multiplies(network: nn.Module, inputs: Sequence[Tensor]) -> int:
    """Multiply-accumulates of one pass over one example: convolutions, linear and LSTM layers."""
    total = 0

    def add(module: nn.Module, given: tuple[Tensor, ...], out: Any) -> None:
        nonlocal total
        if isinstance(module, nn.Conv2d):
            total += out.numel() * module.weight[0].numel()
        elif isinstance(module, nn.Linear):
            total += out.numel() * module.in_features
        elif isinstance(module, nn.LSTM):
            weights = sum(value.numel() for name, value in module.named_parameters() if "weight" in name)
            total += weights * given[0].shape[0] * given[0].shape[1]

    hooks = [module.register_forward_hook(add) for module in network.modules()]
    network.eval()
    with torch.inference_mode():
        network(*inputs)
    for hook in hooks:
        hook.remove()
    return total


def _share(progress: float) -> float:
    """Of the greatest rate."""
    return 0.05 + 9.5 * progress if progress < 0.1 else 0.5 * (1.0 + float(np.cos(np.pi * (progress - 0.1) / 0.9)))


def _log(run: Run, name: str, settings: Settings) -> RunLog | None:
    if run.folder is None:
        return None
    folder = run.folder / name
    folder.mkdir(parents=True, exist_ok=True)
    return RunLog(folder, 0, {**settings.__dict__})
