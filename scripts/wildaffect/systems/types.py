"""What a system tells the rest of the project, the settings that all recipes have, and the data that systems are given.

Imports no torch: the workflow is planned with it.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Literal, Protocol, Self

import numpy as np
from pydantic import AfterValidator, ConfigDict, Field, model_validator

from wildaffect.config import Names, Section, Seed, Text, distinct, laid_over
from wildaffect.features.spec import rows_per_second

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


Scheduler = Annotated[
    Literal["plateau", "one_cycle"],
    Field(
        description="How the learning rate changes.\n"
        "- plateau: it falls by plateau_factor when the score stops rising\n"
        "- one_cycle: over all steps it rises to learning_rate in the first third and then falls to nearly nothing; plateau_patience, "
        "plateau_factor and minimum_rate have no effect"
    ),
]


def _of_frames(inputs: Names) -> Names:
    if signals := [name for name in inputs if rows_per_second(name) is not None]:
        raise ValueError(
            f"{', '.join(signals)} has a clock of its own, not a row per frame; 'wildaffect features' lists them"
        )
    return inputs


FrameFeatures = Annotated[tuple[Text, ...], Field(min_length=1), AfterValidator(distinct), AfterValidator(_of_frames)]
"""Features with a row per frame, at least one."""

Preset = Annotated[
    Literal["small_data"] | None,
    Field(
        description="Values that take the place of the defaults; what the recipe itself says wins over them. They are ours, not "
        "published.\n"
        "- small_data: for a few hours of recordings, or a few thousand images, without pre-trained weights; the values are listed below\n"
        "- null: the defaults"
    ),
]


class RecipeSettings(Section):
    """How an instance is trained. Systems add settings of their own and give the published values as defaults."""

    renamed: ClassVar[Mapping[str, str]] = {"early_stop": "patience"}
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    """Values of each preset by its name; a system that has some also has the key ``preset: Preset``."""

    epochs: Epochs = 30
    batch: Batch = 8
    accumulate: Accumulate = 1
    learning_rate: LearningRate = 1e-4
    weight_decay: WeightDecay = 0.0
    plateau_patience: PlateauPatience = 5
    plateau_factor: PlateauFactor = 0.1
    minimum_rate: MinimumRate = 0.0
    patience: Patience = None

    @model_validator(mode="after")
    def _over_preset(self) -> Self:
        chosen = getattr(self, "preset", None)
        if chosen is None:
            return self
        own = self.model_dump(mode="json", by_alias=True, exclude_unset=True, exclude={"preset"})
        complete = self.model_validate_json(json.dumps(laid_over(self.presets[chosen], own)))
        return complete.model_copy(update={"preset": chosen})


class Variant(Section):
    """A variant under a name of this run. All other keys are values of the system's recipe, laid over those of `recipe`."""

    model_config = ConfigDict(extra="allow")

    base: Text | None = None
    """Published variant that it is; null: the one of its name."""

    seed: Seed | None = None
    """Seed of its training; null: `training.seed`. Variants that differ in nothing else are several trainings of one network."""

    seeds: Annotated[tuple[Seed, ...], Field(min_length=1), AfterValidator(distinct)] | None = None
    """Several seeds: instead of the variant there is one for each, `<name>_seed<number>`; the report shows mean and spread."""

    search: Annotated[dict[Text, Annotated[tuple[Any, ...], Field(min_length=1)]], Field(min_length=1)] | None = None
    """Values to try for keys of the recipe, such as {learning_rate: [0.001, 0.0001], network.width: [64, 128]}: the variant becomes one for
    each combination, `<name>_search<number>`, the last key first to change. The ensemble `<system>_<name>_<target>` takes in each fold the
    one that scores best on all others, never on what is reported."""


def recipe_values(variant: Mapping[str, Any]) -> dict[str, Any]:
    """The values of the recipe in the block of a variant."""
    return {key: value for key, value in variant.items() if key not in Variant.model_fields}


class PredictorSettings(Section):
    """How a system that comes trained is run."""

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}

    batch: Batch = 32


@dataclass(frozen=True)
class Target:
    """What one instance is trained for.

    Attributes:
        name: As the configuration spells it.
        columns: Columns of the predictions.
        labels: Label columns that are read of each task.
    """

    name: str
    columns: tuple[str, ...]
    labels: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Needs:
    """What a variant reads.

    Attributes:
        crops: Crop templates.
        features: Feature ids.
        masks: Templates whose landmark drawings are read.
        subjects: Trials are told apart by whom they show.
        jpeg_masks: The drawings went through JPEG of quality 100.
    """

    crops: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    masks: tuple[str, ...] = ()
    subjects: bool = False
    jpeg_masks: bool = False


@dataclass(frozen=True)
class Spec:
    """A system as the workflow sees it.

    Attributes:
        name: Name of the system's folder, or of its entry point.
        title: One line for people.
        variants: Published configurations.
        targets: What can be trained for, by name.
        settings: Class of the recipe's settings; its defaults are the published ones. Of systems that come trained `PredictorSettings`.
        needs: ``needs(variant, mode, settings)`` gives the inputs of a variant.
        modes: ``faithful`` follows the published system with its quirks, ``corrected`` repairs its documented bugs.
        narrowed: Names of the targets of variants that do not have all.
        on_request: Names of targets that ``targets: all`` leaves out, because others together give the same columns.
        small: Settings of a network that runs in seconds on a CPU, for checks.
        blind: ``blind(variant, settings)`` says what to change so that valence and arousal can be learnt from labels that are constant in
            every trial; empty where they can be. A concordance has no gradient over frames with one label, so it must be taken over frames
            of several trials.
        trained: Of a system that comes trained, and is not trained here, the model in ``models.yaml`` that each variant's weights are.
    """

    name: str
    title: str
    variants: tuple[str, ...]
    targets: Mapping[str, Target]
    settings: type[RecipeSettings] | type[PredictorSettings]
    needs: Callable[[str, str, Any], Needs]
    modes: tuple[str, ...] = ("faithful", "corrected")
    narrowed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    on_request: tuple[str, ...] = ()
    small: Mapping[str, Any] = field(default_factory=dict)
    blind: Callable[[str, Any], str] = lambda variant, settings: ""
    trained: Mapping[str, str] = field(default_factory=dict)

    def targets_of(self, variant: str) -> tuple[str, ...]:
        """Names of the targets that ``variant`` can be trained for."""
        return self.narrowed.get(variant, tuple(self.targets))


@dataclass(frozen=True)
class Setup:
    """One model to be trained or run: a system's variant for a target, in a mode, with complete settings.

    Attributes:
        system: Name of the system.
        variant: Name of the variant in this run.
        target: What is trained for.
        mode: ``faithful`` or ``corrected``.
        settings: Complete settings.
        base: Published variant that it is: that of its name, unless the configuration gave it another.
    """

    system: str
    variant: str
    target: str
    mode: str
    settings: RecipeSettings | PredictorSettings
    base: str

    def names(self) -> dict[str, str]:
        """The names as run records and weight files keep them; the base only where it has another name."""
        names = {"system": self.system, "variant": self.variant, "target": self.target, "mode": self.mode}
        return names if self.base == self.variant else {**names, "base": self.base}


class Purpose(StrEnum):
    """What samples are read for."""

    TRAIN = "train"
    VALIDATE = "validate"
    PREDICT = "predict"


class Images(Protocol):
    """Crops of one trial, a row per decoded frame.

    Attributes:
        valid: bool (N,), whether the frame has a face.
    """

    valid: np.ndarray

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Crops uint8 RGB (n, size, size, 3), landmark drawings uint8 (n, size, size); black where not valid."""
        ...


@dataclass(frozen=True)
class Labels:
    """Labels of one task on all N decoded frames.

    Attributes:
        values: float32 (N, C), NaN where missing.
        valid: bool (N,), whether the row is usable as a whole.
    """

    values: np.ndarray
    valid: np.ndarray


@dataclass(frozen=True)
class TrialData:
    """One trial, opened for reading.

    Attributes:
        name: Name of the trial.
        times: float64 (N,) seconds of its decoded frames.
        crops: Crops by template.
        features: Arrays by feature id, with a row per frame, or rows at a rate of their own from the time of frame 0.
        labels: Labels of every task for which the trial belongs to the partition being read; none for new videos.
        masks: Landmark drawings by template.
        nominal_rate: Frames per second as the video's file states them; None if not known.
        subject: Whom it shows, for systems that ask for it; None where the table of trials does not say.
        room: Bytes of memory that samples may take for good for what they make of its features.
    """

    name: str
    times: np.ndarray
    crops: Mapping[str, Images]
    features: Mapping[str, np.ndarray]
    labels: Mapping[str, Labels] = field(default_factory=dict)
    masks: Mapping[str, Images] = field(default_factory=dict)
    nominal_rate: float | None = None
    subject: str | None = None
    room: int = 0


class Samples(Protocol):
    """The samples of one partition in a fixed order. For validation and prediction they come trial by trial."""

    def __len__(self) -> int: ...

    def read(self, index: int, rng: np.random.Generator | None) -> dict[str, np.ndarray]:
        """One sample.

        Args:
            index: Position in the order.
            rng: Decides augmentation; None: none.

        Returns:
            Named arrays of equal shapes for all indices.
        """
        ...

    def to_frames(self, outputs: np.ndarray) -> list[np.ndarray]:
        """Predictions of frames from outputs of samples.

        Args:
            outputs: Model outputs (S, ...) of all samples, in order; (0, columns) where there is no sample.

        Returns:
            float64 (N, columns) per trial, NaN in rows that no sample covers.
        """
        ...


@dataclass(frozen=True)
class Schedule:
    """Numbers that steer the epoch loop.

    Attributes:
        epochs: Largest number of epochs.
        batch: Samples per batch.
        accumulate: Batches per optimiser step.
        phases: Stages of training, each with its own set of trainable tensors and a fresh optimiser.
        minimum_rate: A phase ends when the learning rate is below this; after the last one training is over.
        patience: Epochs without a new best after which training ends; None: never.
        patience_per_phase: The count begins again with each phase.
        reload_best: Return to the best weights after every epoch that brought no new best.
        gradient_norm: Gradients are scaled down to this norm over all trainable tensors; None: they are not.
        scheduler_per_step: The scheduler follows optimiser steps (warm-up, one-cycle), not epochs.
        prediction_stride: Frames are predicted at this stride, and the last; the others are interpolated and marked.
    """

    epochs: int
    batch: int
    accumulate: int = 1
    phases: int = 1
    minimum_rate: float = 0.0
    patience: int | None = None
    patience_per_phase: bool = False
    reload_best: bool = False
    gradient_norm: float | None = None
    scheduler_per_step: bool = False
    prediction_stride: int = 1
