"""The epoch loop all systems share, and what an interrupted training needs to continue as if nothing had happened."""

import contextlib
import logging
import math
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.fabric import Fabric
from torch import Tensor, nn

from wildaffect.errors import InputError
from wildaffect.integrity import check, intact, sealed
from wildaffect.progress import log_progress
from wildaffect.systems.base import Freezing, Recipe
from wildaffect.systems.types import Samples, TrialData
from wildaffect.training.batches import Batches, GatheredBatch, gather, has_rows, validate
from wildaffect.training.norms import share_norms
from wildaffect.training.runtime import fuse, setup_module

log = logging.getLogger(__name__)

# Steps between two looks at the loss on a GPU: each waits until the GPU has done all that it was asked for.
LOOK = 50

State = dict[str, Tensor]


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
        """Progress and the state dicts saved with it, or None if there is nothing to resume; a damaged file is set aside."""
        if not self._path.exists():
            return None
        try:
            with intact(self._path, "a checkpoint"):
                check(self._path)
                content = torch.load(self._path, "cpu", weights_only=True)
                return Progress(**content["progress"]), content["states"]
        except InputError as error:
            aside = self._path.with_suffix(".damaged")
            with contextlib.suppress(FileNotFoundError):  # another process of this training was faster
                self._path.replace(aside)
            log.warning("%s It is set aside as %s, and training starts anew.", error, aside)
            return None

    def save(self, progress: Progress, **states: Any) -> None:
        """Write atomically: a kill leaves either the last checkpoint or this one."""
        with sealed(self._path) as partial:
            torch.save({"progress": asdict(progress), "states": states}, partial)

    def remove(self) -> None:
        """Forget the training, whose results are elsewhere by now."""
        shutil.rmtree(self._path.parent, ignore_errors=True)


class Loop:
    """Training of one instance, resumable after every epoch.

    All randomness of epoch ``e`` comes from ``(seed, e)``, so the checkpoint needs no generator states and a run that was killed
    and continued ends with the same weights as one that was not.

    Several processes train as one would with the same batch: each computes a part of the rows, all of them the loss of the whole
    batch, and the first one writes. Batch norms see the whole batch, frozen ones too; dropout draws apart on each process.
    """

    def __init__(
        self,
        recipe: Recipe,
        model: nn.Module,
        train: Samples,
        validation: Samples,
        validation_trials: Sequence[TrialData],
        *,
        fabric: Fabric,
        checkpoint: Checkpoint,
        seed: int,
        workers: int = 0,
        block: int = 1,
        compiled: bool = False,
        report: Callable[[dict[str, Any]], None] = lambda row: None,
    ) -> None:
        """``model`` has its initial weights. ``report`` is called with each row of the history once its checkpoint is written.

        ``workers`` processes read samples, ``block`` of which stay together, see :func:`in_blocks`.
        """
        self._recipe, self._schedule = recipe, recipe.schedule
        self._norms = share_norms(model, fabric.device.type) if fabric.world_size > 1 else []
        self._plain, self._model = model, setup_module(fabric, model, compiled=compiled)
        self._freezing = Freezing(model, recipe.frozen_mode)
        self._train = Batches(train, self._schedule.batch, fabric, workers)
        self._check = Batches(validation, self._schedule.batch, fabric, workers)
        self._validation, self._trials = validation, validation_trials
        self._fabric, self._checkpoint = fabric, checkpoint
        self._seed, self._block, self._report = seed, block, report
        self._look = LOOK if fabric.device.type == "cuda" else 1
        self._best = _copy(model)
        self._optimizer: Any = None
        self._scheduler: Any = None

    def run(self) -> tuple[Progress, State]:
        """Train to the end; the progress and the best weights (the initial ones if no score ever was a number)."""
        progress = self._restore()
        while not (reason := self._finished(progress)):
            if self._phase_is_over(progress):
                self._start_phase(progress.phase + 1)
                self._plain.load_state_dict(self._best)
                progress.phase += 1
                progress.waited = 0 if self._schedule.patience_per_phase else progress.waited
            self._epoch(progress)
        progress.reason = reason
        return progress, self._best

    def _restore(self) -> Progress:
        saved = self._checkpoint.load()
        if saved is None:
            return Progress()
        progress, states = saved
        progress.resumed_at.append(progress.epoch)
        self._start_phase(progress.phase)
        self._plain.load_state_dict(states["model"])
        self._best = {key: value.to(self._fabric.device) for key, value in states["best"].items()}
        self._optimizer.load_state_dict(states["optimizer"])
        self._scheduler.load_state_dict(states["scheduler"])
        self._fabric.strategy.precision.load_state_dict(states["precision"])
        log.info("continuing at epoch %d", progress.epoch)
        return progress

    def _finished(self, progress: Progress) -> str:
        """Why training is over, empty if it is not."""
        schedule = self._schedule
        if progress.epoch >= schedule.epochs:
            return f"all {schedule.epochs} epochs run"
        if schedule.patience is not None and progress.waited >= schedule.patience:
            return f"no new best in {schedule.patience} epochs"
        if self._phase_is_over(progress) and progress.phase + 1 == schedule.phases:
            return f"learning rate below {schedule.minimum_rate:g} in the last phase"
        return ""

    def _phase_is_over(self, progress: Progress) -> bool:
        return progress.phase < 0 or self._rate() < self._schedule.minimum_rate

    def _rate(self) -> float:
        return self._optimizer.param_groups[0]["lr"]

    def _start_phase(self, phase: int) -> None:
        self._freezing.freeze(self._recipe.frozen(self._plain, phase))
        optimizer = self._recipe.configure_optimizer(self._plain)
        if self._fabric.device.type == "cuda":
            fuse(optimizer)
        self._scheduler = self._recipe.configure_scheduler(optimizer, self._steps_per_epoch())
        self._optimizer = self._fabric.setup_optimizers(optimizer)

    def _steps_per_epoch(self) -> int:
        """Optimiser steps of the first epoch; later ones differ only where a recipe leaves out another number of samples."""
        count = len(self._recipe.epoch_indices(len(self._train), 0, self._seed))
        return -(-count // (self._schedule.batch * self._schedule.accumulate))

    def _epoch(self, progress: Progress) -> None:
        started, rate = time.perf_counter(), self._rate()
        train_loss = self._train_epoch(progress.epoch)
        predictions, validation_loss = validate(self._recipe, self._model, self._validation, self._check, self._fabric)
        scores = self._recipe.score(predictions, self._trials)
        row = {"epoch": progress.epoch, "lr": rate, "phase": progress.phase}
        row |= {"train_loss": train_loss, "val_loss": validation_loss}
        row |= {f"val_{name}": float(value) for name, value in scores.items()}
        row["seconds"] = round(time.perf_counter() - started, 3)
        metric = float(scores[self._recipe.metric])
        if progress.add(row, metric, maximise=self._recipe.maximise):
            self._best = _copy(self._plain)
        elif self._schedule.reload_best:
            self._plain.load_state_dict(self._best)
        self._end_epoch(metric)
        if self._fabric.is_global_zero:
            self._save(progress)
        log.info("%s", ", ".join(f"{k} {v:.6g}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items()))
        log_progress(
            progress.epoch, self._schedule.epochs, "epochs", row["seconds"] * (self._schedule.epochs - progress.epoch)
        )
        self._report(row)

    def _save(self, progress: Progress) -> None:
        self._checkpoint.save(
            progress,
            model=self._plain.state_dict(),
            best=self._best,
            optimizer=self._optimizer.state_dict(),
            scheduler=self._scheduler.state_dict(),
            precision=self._fabric.strategy.precision.state_dict(),
        )

    def _train_epoch(self, epoch: int) -> float:
        """One pass over the training samples; mean loss over samples."""
        own = [self._fabric.global_rank] if self._fabric.global_rank else []
        torch.manual_seed(int(np.random.SeedSequence([self._seed, epoch, *own]).generate_state(1)[0]))
        torch.empty((), dtype=torch.int64).random_()  # the loader of samples once drew this; dropout follows it
        indices = self._recipe.epoch_indices(len(self._train), epoch, self._seed)
        order = in_blocks(indices, self._block, len(self._train))
        size, step = self._schedule.batch, self._schedule.accumulate
        count = -(-len(order) // size)
        self._freezing.train()
        total, waiting = 0.0, []
        for number, (part, rows) in enumerate(self._train.read(order, (self._seed, epoch))):
            for norm in self._norms:
                norm.counts = has_rows(rows, self._fabric)
            # The loss is that of the whole batch on every process: a concordance is no mean of those of its parts.
            outputs = gather(self._recipe.forward(self._model, part), rows, self._fabric)
            loss = self._recipe.loss(outputs, GatheredBatch(part, rows, self._fabric))
            self._fabric.backward(loss / min(step, count - number // step * step))
            last = number + 1 == count
            if (number + 1) % step == 0 or last:
                self._step()
            waiting.append((rows, loss.detach()))
            if len(waiting) == self._look or last:
                sizes, losses = zip(*waiting, strict=True)
                values = torch.stack(losses).tolist()
                self._check_finite(values, epoch, number + 1 - len(values), count)
                for each, value in zip(sizes, values, strict=True):
                    total += value * each
                waiting.clear()
        return total / len(order)

    def _check_finite(self, losses: Sequence[float], epoch: int, first: int, count: int) -> None:
        """:class:`InputError` if one of the ``losses`` of batches, from number ``first`` of ``count`` on, is no number."""
        for number, value in enumerate(losses, first):
            if not math.isfinite(value):
                raise InputError(
                    f"the training loss is {value:g} in epoch {epoch}, batch {number} of {count} (both counted from 0), at learning rate "
                    f"{self._rate():g}: training cannot go on. Lower learning_rate, or look for values that are no numbers in features and "
                    "labels."
                )

    def _step(self) -> None:
        """One step of the optimiser."""
        if self._schedule.gradient_norm is not None:
            self._fabric.clip_gradients(
                self._model, self._optimizer, max_norm=self._schedule.gradient_norm, error_if_nonfinite=False
            )
        self._optimizer.step()
        self._optimizer.zero_grad()
        if self._schedule.scheduler_per_step:
            self._scheduler.step()

    def _end_epoch(self, metric: float) -> None:
        """The learning rate of the next epoch."""
        if isinstance(self._scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau):
            self._scheduler.step(self._recipe.watched(metric))
        elif not self._schedule.scheduler_per_step:
            self._scheduler.step()


def in_blocks(order: np.ndarray, size: int, count: int) -> np.ndarray:
    """As many of ``count`` indices as ``order`` has (fewer where it repeats some), but ``size`` neighbours at a time.

    The blocks come in the order in which ``order`` first names one of theirs, so those of a shuffled order are shuffled. With ``size`` 1 it
    is ``order`` itself.
    """
    if size == 1:
        return order
    blocks, first = np.unique(order // size, return_index=True)
    drawn = (blocks[np.argsort(first)][:, None] * size + np.arange(size)).ravel()
    return drawn[drawn < count][: len(order)]


def _copy(model: nn.Module) -> State:
    return {key: value.detach().clone() for key, value in model.state_dict().items()}
