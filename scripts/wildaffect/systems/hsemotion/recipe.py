"""How hsemotion is run: single faces, prepared as EmotiEffLib does."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from wildaffect.features.hsemotion import CLASSES, OUTPUTS, PREPARATIONS
from wildaffect.files import sha256
from wildaffect.systems.base import Predictor
from wildaffect.systems.hsemotion.model import build as build_model
from wildaffect.systems.hsemotion.spec import SPEC, TEMPLATES
from wildaffect.systems.toolbox import FrameImages
from wildaffect.systems.types import PredictorSettings, Purpose, Target, TrialData


def build(variant: str, target: Target, mode: str, settings: PredictorSettings) -> "Affect":
    """Predictor of one instance."""
    return Affect(variant, target, mode, settings)


class Affect(Predictor[PredictorSettings]):
    """Valence, arousal and probabilities of eight expressions, frame by frame."""

    def model(self) -> nn.Module:
        """A network that is still to be opened."""
        return build_model(self.variant)

    def load(self, model: nn.Module, weights: Path) -> str:
        """Open the ONNX file."""
        model.open(weights)
        return sha256(weights)

    def samples(self, trials: Sequence[TrialData], statistics: Mapping[str, Any], purpose: Purpose) -> FrameImages:
        """One frame each."""
        return FrameImages(trials, TEMPLATES[self.variant])

    def forward(self, model: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
        """(B, 10) in the order of the target's columns; expressions as probabilities."""
        outputs = model(PREPARATIONS[SPEC.trained[self.variant]].prepare(batch["image"]))
        count = len(CLASSES)
        values = torch.cat([outputs[:, :count].softmax(dim=1), outputs[:, count:]], dim=1)
        return values[:, [OUTPUTS.index(name) for name in self.target.columns]]
