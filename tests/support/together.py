"""One training of the small frame system, alone or in one of several processes: python together.py OUTPUT BATCH [PROCESSES [NODES]].

With PROCESSES it starts itself so many times, as a job's script does, on NODES nodes of a SLURM job.
"""

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parents[2] / "scripts")]

import torch  # noqa: E402
from torch import nn  # noqa: E402

from support.runs import FrameRecipe, frame_trials  # noqa: E402
from wildaffect.job import launch_processes  # noqa: E402
from wildaffect.systems.types import Schedule  # noqa: E402
from wildaffect.training.loop import Checkpoint, Loop  # noqa: E402
from wildaffect.training.runtime import computing, leave_group, open_fabric, processes  # noqa: E402


class WithoutDropout(FrameRecipe):
    """Dropout draws apart on each process, all else is the same. A frozen part takes no gradient."""

    def model(self):
        return nn.Sequential(nn.Flatten(), nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 4), nn.Tanh(), nn.Linear(4, 2))

    def frozen(self, model, phase):
        return [] if phase else [model[1]]


def train(output: Path, batch: int) -> None:
    """Train and save what came out; the first process does."""
    schedule = Schedule(epochs=5, batch=batch, accumulate=2, phases=2, minimum_rate=5e-3)
    recipe, trials, fabric = WithoutDropout(schedule), frame_trials(), open_fabric("cpu")
    with computing(1):
        torch.manual_seed(0)
        model = recipe.model()
        fitted = recipe.fit(trials.train)
        parts = [recipe.samples(part, fitted, "train") for part in (trials.train, trials.validation)]
        checkpoint = Checkpoint(output.parent / f"state{output.stem}")
        loop = Loop(recipe, model, *parts, trials.validation, fabric=fabric, checkpoint=checkpoint, seed=1)
        progress, best = loop.run()
    if fabric.is_global_zero:
        rows = [{key: row[key] for key in ("train_loss", "val_loss", "val_quality")} for row in progress.history]
        torch.save({"best": best, "history": rows, "processes": processes()}, output)


if __name__ == "__main__":
    output, batch, *together = sys.argv[1:]
    if not launch_processes(*map(int, together or [1])):
        train(Path(output), int(batch))
        leave_group()
