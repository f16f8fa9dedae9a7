"""How fer2013 is run: single grey faces, prepared as the package does."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from wildaffect.systems.base import Predictor
from wildaffect.systems.fer2013.model import CLASSES, keras_layers
from wildaffect.systems.fer2013.model import build as build_model
from wildaffect.systems.fer2013.spec import TEMPLATE
from wildaffect.systems.keras import SUFFIXES, VARIABLES, read_keras, to_tensor
from wildaffect.systems.toolbox import FrameImages
from wildaffect.systems.types import PredictorSettings, Purpose, Target, TrialData
from wildaffect.systems.weights import load_state

GREY = (0.299, 0.587, 0.114)
"""Weights of red, green and blue (ITU-R BT.601), as OpenCV's."""


def build(variant: str, target: Target, mode: str, settings: PredictorSettings) -> "Expressions":
    """Predictor of one instance."""
    return Expressions(variant, target, mode, settings)


class Expressions(Predictor[PredictorSettings]):
    """Probabilities of seven expressions, frame by frame."""

    def model(self) -> nn.Module:
        """Network with random weights."""
        # With channels innermost it takes 0.4 of the time on CPUs.
        return build_model(self.variant).to(memory_format=torch.channels_last)

    def load(self, model: nn.Module, weights: Path) -> str:
        """The package's Keras file, or a state dict of ours."""
        if weights.suffix not in SUFFIXES:
            return super().load(model, weights)
        arrays, digest = read_keras(weights)
        own = {keras: name for name, keras in keras_layers().items()}
        state = {key: value for key, value in model.state_dict().items() if key.endswith("num_batches_tracked")}
        for name, values in arrays.items():
            layer, _, variable = name.rpartition("/")
            key = f"{own[layer]}.{VARIABLES[variable]}" if layer in own and variable in VARIABLES else f"keras:{name}"
            state[key] = to_tensor(variable, values)
        load_state(model, state, weights)
        return digest

    def samples(self, trials: Sequence[TrialData], statistics: Mapping[str, Any], purpose: Purpose) -> FrameImages:
        """One frame each."""
        return FrameImages(trials, TEMPLATE)

    def forward(self, model: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
        """(B, 7) in the order of the target's columns."""
        return model(grey(batch["image"]))[:, [CLASSES.index(name) for name in self.target.columns]]


def grey(images: Tensor) -> Tensor:
    """RGB uint8 (B, H, W, 3) -> grey float32 (B, 1, H, W) in [-1, 1], rounded to whole levels as OpenCV does."""
    levels = (images.float() @ torch.tensor(GREY, device=images.device)).round()
    return (levels / 255 - 0.5)[:, None] * 2
