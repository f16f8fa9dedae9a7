"""Learning rates over the epochs."""

import torch


def plateau(optimizer: torch.optim.Optimizer, factor: float, patience: int) -> torch.optim.lr_scheduler.LRScheduler:
    """Falls by ``factor`` when the metric that selects has not risen for more than ``patience`` epochs."""
    return torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, mode="max", factor=factor, patience=patience)
