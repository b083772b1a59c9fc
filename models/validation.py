"""How good a network is, each epoch, on a few scenes of libraries that it does not learn from. Knows banks and nets.

The scenes are made once, from the `calibrate` half, never from the half that is reported. Cheap: frames of scenes, no
engine, no events.
"""

from collections.abc import Sequence

import numpy as np
import torch

from models.data.bank import Bank, build
from models.data.corpus import Clip
from models.data.ontology import LABELS
from models.data.scenes import ANY, ON, Stage
from models.networks import SpikingNetwork, step_on
from models.train import Recipe, loss_of

SCENES = 384
SEED = 2**31  # the scenes are the same for every seed of a recipe
BATCH = 64


def held_out(clips: Sequence[Clip], recipe: Recipe) -> Bank | None:
    """Scenes of the clips of the calibration half; None if none of them has a label. A small recipe gets few."""
    own = [clip for clip in clips if clip.part == "calibrate"]
    if not any(clip.label in LABELS for clip in own):
        return None
    return build(Stage(own), recipe.front_end, min(SCENES, recipe.scenes), SEED)


def measure(network: SpikingNetwork, bank: Bank, recipe: Recipe, device: str) -> dict[str, float]:
    """`validation_loss`; of the frames in which one instrument plays alone, the share in which its membrane is the
    greatest, averaged over the labels; and the mean F1 of a membrane above 0, over the labels that occur.

    The network and the random state are left as they were.
    """
    was_training = network.training
    network.eval()
    loss = 0.0
    hit, alone_in = np.zeros(len(LABELS)), np.zeros(len(LABELS))
    both, said, played = np.zeros(len(LABELS)), np.zeros(len(LABELS)), np.zeros(len(LABELS))
    with torch.no_grad():
        for start in range(0, len(bank), BATCH):
            rows = np.arange(start, min(start + BATCH, len(bank)))
            spikes, truth = bank.batch(rows)
            membranes, _ = network(torch.from_numpy(spikes).to(device), step_on(device))
            loss += float(loss_of(membranes, torch.from_numpy(truth).to(device), recipe)) * len(rows) / len(bank)
            v, on, asked = membranes.cpu().numpy(), truth == ON, truth != ANY
            alone = (on.sum(axis=2) == 1) & asked.all(axis=2)
            label, answer = on[alone].argmax(axis=1), v[alone].argmax(axis=1)
            alone_in += np.bincount(label, minlength=len(LABELS))
            hit += np.bincount(label[label == answer], minlength=len(LABELS))
            above = (v > 0) & asked
            both += (above & on).sum(axis=(0, 1))
            said += above.sum(axis=(0, 1))
            played += on.sum(axis=(0, 1))
    network.train(was_training)
    present, heard = alone_in > 0, played > 0
    return {
        "validation_loss": loss,
        "validation_accuracy": float(np.mean(hit[present] / alone_in[present])) if present.any() else 0.0,
        "validation_f1": float(np.mean(2 * both[heard] / (said + played)[heard])) if heard.any() else 0.0,
    }
