"""What an interrupted training needs to continue as if nothing had happened."""

import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from wildaffect.files import atomic


@dataclass
class Progress:
    """Where a training stands between two epochs.

    ``epoch`` is the next one to run, ``waited`` the epochs since the last new best, ``best`` None before the first score that is a number.
    """

    epoch: int = 0
    phase: int = -1
    waited: int = 0
    best: float | None = None
    best_epoch: int | None = None
    reason: str = ""
    resumed_at: list[int] = field(default_factory=list)
    history: list[dict[str, Any]] = field(default_factory=list)

    def add(self, row: dict[str, Any], metric: float, *, maximise: bool = True) -> bool:
        """Record the epoch just run; True if it is the new best. A metric that is not a number never is (LFAN spec B24).

        Args:
            row: Row of the history.
            metric: What selects the best epoch.
            maximise: Larger is better.
        """
        better = self.best is None or (metric > self.best if maximise else metric < self.best)
        improved = metric == metric and better
        if improved:
            self.best, self.best_epoch, self.waited = metric, self.epoch, 0
        elif self.epoch > 0:
            self.waited += 1
        self.history.append(row)
        self.epoch += 1
        return improved


class Checkpoint:
    """The rolling checkpoint ``last.ckpt`` in ``folder``, replaced as a whole after every epoch."""

    def __init__(self, folder: str | Path) -> None:
        self._path = Path(folder) / "last.ckpt"

    def load(self) -> tuple[Progress, dict[str, Any]] | None:
        """Progress and the state dicts saved with it, or None if there is nothing to resume."""
        if not self._path.exists():
            return None
        content = torch.load(self._path, "cpu", weights_only=True)
        return Progress(**content["progress"]), content["states"]

    def save(self, progress: Progress, **states: Any) -> None:
        """Write atomically: a kill leaves either the last checkpoint or this one."""
        with atomic(self._path) as partial:
            torch.save({"progress": asdict(progress), "states": states}, partial)

    def remove(self) -> None:
        """Forget the training, whose results are elsewhere by now."""
        shutil.rmtree(self._path.parent, ignore_errors=True)
