"""Learning rates over the epochs."""

from collections.abc import Mapping
from typing import Any

import torch


def plateau(optimizer: torch.optim.Optimizer, settings: Mapping[str, Any]) -> torch.optim.lr_scheduler.LRScheduler:
    """Falls by ``plateau_factor`` when the metric that selects has not risen for more than ``plateau_patience`` epochs."""
    return torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, mode="max", factor=settings["plateau_factor"], patience=settings["plateau_patience"]
    )
