"""Settings that the recipes of all systems share. Imports no torch."""

from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import Field

from wildaffect.config import Section

Count = Annotated[int, Field(ge=1)]
Natural = Annotated[int, Field(ge=0)]
Factor = Annotated[float, Field(ge=0)]
Width = Annotated[float, Field(gt=0, le=1)]
Dropout = Annotated[float, Field(ge=0, lt=1)]
FourCounts = Annotated[tuple[Count, ...], Field(min_length=4, max_length=4)]
FiveCounts = Annotated[tuple[Count, ...], Field(min_length=5, max_length=5)]
Sha256 = Annotated[str, Field(pattern="^[0-9a-fA-F]{64}$")]

# With their descriptions, so that a system which only has another default says no more than that.
Epochs = Annotated[int, Field(ge=1, description="Largest number of epochs.")]
Batch = Annotated[int, Field(ge=1, description="Samples per batch.")]
Accumulate = Annotated[int, Field(ge=1, description="Batches per optimiser step.")]
LearningRate = Annotated[float, Field(gt=0, description="Learning rate at the start of every phase of training.")]
WeightDecay = Annotated[float, Field(ge=0, description="L2 penalty inside the optimiser, on all trainable tensors.")]
PlateauPatience = Annotated[
    int,
    Field(
        ge=0, description="Epochs without improvement after which the learning rate is multiplied by plateau_factor."
    ),
]
PlateauFactor = Annotated[float, Field(gt=0, lt=1, description="See plateau_patience.")]
MinimumRate = Annotated[
    float,
    Field(
        ge=0, description="A learning rate below this ends a phase of training; after the last phase training is over."
    ),
]
Patience = Annotated[
    Count | None, Field(description="Epochs without a new best score after which training ends; null: never.")
]


class RecipeSettings(Section):
    """How an instance is trained. Systems add settings of their own and give the published values as defaults."""

    renamed: ClassVar[Mapping[str, str]] = {"early_stop": "patience"}

    epochs: Epochs = 30
    batch: Batch = 8
    accumulate: Accumulate = 1
    learning_rate: LearningRate = 1e-4
    weight_decay: WeightDecay = 0.0
    plateau_patience: PlateauPatience = 5
    plateau_factor: PlateauFactor = 0.1
    minimum_rate: MinimumRate = 0.0
    patience: Patience = None
