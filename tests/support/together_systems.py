"""Short trainings of every system, alone or in one of several processes: python together_systems.py OUTPUT [BATCH]."""

import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parents[2] / "scripts")]

import torch  # noqa: E402
from torch import nn  # noqa: E402

from wildaffect import systems  # noqa: E402
from wildaffect.config import laid_over  # noqa: E402
from wildaffect.job import launch_processes  # noqa: E402
from wildaffect.systems.base import Recipe  # noqa: E402
from wildaffect.systems.conformance import made_up_trial  # noqa: E402
from wildaffect.systems.types import Purpose, Setup  # noqa: E402
from wildaffect.training.loop import Checkpoint, Loop  # noqa: E402
from wildaffect.training.runtime import computing, leave_group, open_fabric  # noqa: E402

SHORT = {"epochs": 2, "batch": 3, "learning_rate": 1e-3}
CASES = {
    "sequence": ("tcn", "mtl", "corrected", {"window": 12, "hop": 12, "dropout": 0.0}),
    "lfan": ("multimodal", "valence", "corrected", {"window": 12, "hop": 12, "backbone": {"embedding": 8}}),
    "lfan_drifting": ("unimodal", "va", "faithful", {"window": 12, "hop": 12, "backbone_training": "frozen"}),
    "tsav": (
        "two_stream",
        "mtl",
        "corrected",
        {"batch": 7, "frames_per_epoch": 14, "validation_stride": 4},
    ),
    "m3t": (
        "audiovisual_mtl",
        "mtl",
        "corrected",
        {"window": 8, "stride": 8, "validation_stride": 8, "windows_per_epoch": 4},
    ),
    "m3t_drifting": (
        "audiovisual_mtl",
        "mtl",
        "faithful",
        {"window": 8, "stride": 8, "validation_stride": 8, "windows_per_epoch": 4, "freeze_encoders": True},
    ),
    "ntua": ("visual", "va", "corrected", {"streams": ["face"]}),
    "ntua_aural": ("aural", "expr", "faithful", {}),
    "cnu_adl": ("stat_bilstm", "mtl", "corrected", {"batch": 12, "frames_per_epoch": 28, "validation_stride": 8}),
    "cnu_adl_frozen": (
        "image",
        "mtl",
        "faithful",
        {"batch": 7, "frames_per_epoch": 16, "validation_stride": 8, "face_training": "upper"},
    ),
}
"""Variant, target, mode and recipe of a training; its name begins with that of the system. Batches are such that parts are uneven."""


def setup_of(case: str) -> Setup:
    """What one case trains."""
    system = next(name for name in systems.available() if case.startswith(name))
    variant, target, mode, changes = CASES[case]
    return systems.set_up(system, variant, target, mode, laid_over(systems.spec(system).small, SHORT | changes))


class Doubled(Mapping):
    """A batch with float64 in place of float32."""

    def __init__(self, batch: Mapping[str, torch.Tensor]) -> None:
        self._batch = batch

    def __getitem__(self, name: str) -> torch.Tensor:
        return doubled(self._batch[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._batch)

    def __len__(self) -> int:
        return len(self._batch)


def doubled(value: Any) -> Any:
    """``value``, in float64 if it is a tensor of float32."""
    return value.double() if isinstance(value, torch.Tensor) and value.dtype == torch.float32 else value


def in_float64(recipe: Recipe) -> nn.Module:
    """The model of ``recipe``, computed and judged in float64: rounding is then no explanation of a difference.

    In float32 networks as small as these turn 1e-7 of a sum into percents of a gradient where the sign of a ReLU's input changes.
    """
    model, loss = recipe.model().double(), recipe.loss
    for layer in model.modules():
        if isinstance(layer, nn.modules.dropout._DropoutNd):
            layer.p = 0.0  # dropout draws apart on each process
        if next(layer.parameters(recurse=False), None) is not None:
            layer.register_forward_pre_hook(lambda layer, values: tuple(map(doubled, values)))
    recipe.loss = lambda outputs, batch: loss(outputs, Doubled(batch))
    return model


def train(case: str, folder: Path) -> dict:
    """Weights, statistics and losses of a training, and how far its parameters went."""
    setup, fabric = setup_of(case), open_fabric("cpu")
    recipe = systems.recipe_of(setup)
    needs = systems.spec(setup.system).needs(setup.base, setup.mode, setup.settings)
    trials = [made_up_trial(index, count, needs, recipe.target.labels) for index, count in enumerate((26, 22, 18))]
    torch.manual_seed(0)
    model = in_float64(recipe)
    start = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    fitted = recipe.fit(trials[:2])
    samples = [
        recipe.samples(part, recipe.statistics(part, fitted), purpose)
        for part, purpose in ((trials[:2], Purpose.TRAIN), (trials[2:], Purpose.VALIDATE))
    ]
    loop = Loop(recipe, model, *samples, trials[2:], fabric=fabric, checkpoint=Checkpoint(folder / case), seed=1)
    progress, _ = loop.run()
    end = model.state_dict()
    return {
        "end": end,
        "moved": max(float((end[name] - start[name]).abs().max()) for name in start),
        "losses": [(row["train_loss"], row["val_loss"]) for row in progress.history],
        "processes": fabric.world_size,
    }


if __name__ == "__main__":
    output, *together = sys.argv[1:]
    if not launch_processes(*map(int, together or [1])):
        with computing(1), tempfile.TemporaryDirectory() as folder:
            found = {case: train(case, Path(folder)) for case in CASES}
        if open_fabric("cpu").is_global_zero:
            torch.save(found, output)
        leave_group()
