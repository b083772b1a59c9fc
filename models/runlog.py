"""What a training run tells, kept on local files: `log.jsonl`, a JSON object a line, and TensorBoard's event files.

A run that goes on after a kill takes back what was written after its checkpoint, so that nothing stands twice.
Knows numbers by name and step; nothing of networks.
"""

import json
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter

LOG = "log.jsonl"


class RunLog:
    """`write(step, kind, values)`; `step` counts the steps done."""

    def __init__(self, folder: Path, step: int, settings: dict[str, Any]) -> None:
        """step: of the checkpoint that the run goes on from, 0 for a new one. What was written later is taken back."""
        self._path = folder / LOG
        kept = [row for row in rows(folder) if row["step"] <= step] if step else []
        with self._path.open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(row) + "\n" for row in kept)
        self._events = SummaryWriter(str(folder), purge_step=step + 1 if step else None)
        if not step:
            self._events.add_text("settings", f"```json\n{json.dumps(settings, indent=2)}\n```", 0)

    def write(self, step: int, kind: str, values: dict[str, float]) -> None:
        """kind: `step` or `epoch`, the first part of the curve's name in TensorBoard."""
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, "kind": kind, **values}) + "\n")
        for name, value in values.items():
            self._events.add_scalar(f"{kind}/{name}", value, step)
        self._events.flush()

    def close(self) -> None:
        self._events.close()


def rows(folder: Path) -> list[dict[str, Any]]:
    """What `log.jsonl` holds; a last line that a kill cut off is left out."""
    path = folder / LOG
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in lines[:-1]]
