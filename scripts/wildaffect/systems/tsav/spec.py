"""What TSAV offers and needs, and its settings; read while the workflow is planned, so no torch here."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from wildaffect.config import Section
from wildaffect.corpus.label_spaces import AU8, EXPRESSIONS7, VALENCE_AROUSAL
from wildaffect.systems.types import (
    Accumulate,
    Count,
    Epochs,
    Factor,
    LearningRate,
    MinimumRate,
    Needs,
    Patience,
    PlateauFactor,
    PlateauPatience,
    RecipeSettings,
    Spec,
    Target,
    WeightDecay,
    Width,
)

Fraction = Annotated[float, Field(ge=0, le=1)]


class LossWeights(Section):
    """Factors of the three tasks' losses, whose sum is minimised."""

    va: Factor = 1.0
    """Mean of 1 - CCC of valence and arousal."""

    expr: Factor = 1.0
    """Cross-entropy of the expression."""

    au: Factor = 1.0
    """Binary cross-entropy of the action units."""


class Network(Section):
    """Cheaper networks for small machines and small corpora; the defaults are the published one."""

    renamed: ClassVar[Mapping[str, str]] = {"picture_pooling": "image_pooling"}

    width: Width = 1.0
    """Factor on the channels of every layer."""

    image_pooling: Literal[1, 2, 4] = 1
    """Side of the squares of pixels averaged before the first video layer."""

    mel_pooling: Literal[1, 2, 4, 8] = 1
    """Neighbouring 10 ms columns averaged before the first audio layer."""


class TsavSettings(RecipeSettings):
    """Two-stream aural-visual model (TSAV). The authors published no training recipe: the defaults are ours."""

    renamed: ClassVar[Mapping[str, str]] = {**RecipeSettings.renamed, "drop_sound": "drop_audio"}

    batch: Annotated[int, Field(ge=2)] = 32
    """Clips per batch. The loss on valence and arousal is a correlation over these, so very small batches learn badly."""

    accumulate: Accumulate = 2
    epochs: Epochs = 30
    learning_rate: LearningRate = 5e-4
    weight_decay: WeightDecay = 5e-5
    plateau_patience: PlateauPatience = 3
    plateau_factor: PlateauFactor = 0.3
    minimum_rate: MinimumRate = 1e-6
    patience: Patience = 10

    frames_per_epoch: Count | None = 20_000
    """Labelled frames drawn for every epoch, as neighbours are nearly equal; null: all."""

    loss_weights: LossWeights = LossWeights()
    """Factors of the three tasks' losses."""

    balance: Fraction = 1.0
    """Power of the inverse frequency that weights expressions, and active against inactive units; 1: all classes count the same, 0: all
    frames do."""

    filter_contradictions: bool = True
    """Do not train on expression, valence and arousal of a frame where they contradict each other (happy with negative valence, sad with
    positive valence, neutral but far from the origin)."""

    augment: bool = True
    """Mirror clips at random and shift their colours, every frame of a clip in the same way."""

    drop_audio: Fraction = 0.1
    """Fraction of augmented training samples whose audio is replaced by silence, so that a video without audio is nothing new to the
    network."""

    dilation: Count = 6
    """Decoded frames between neighbouring images of a clip."""

    validation_stride: Count = 10
    """The score after each epoch is computed from every so many frames of a trial, and interpolated between."""

    prediction_stride: Count = 1
    """Predictions are computed for every so many frames, and interpolated between (their source says so); 1: for every frame."""

    network: Network = Network()
    """Size of the network."""

    video_weights: str | None = None
    """File of torchvision's R2Plus1D_18_Weights.KINETICS400_V1, from which the authors started; null: random weights."""

    audio_weights: str | None = None
    """File of torchvision's ResNet18_Weights.IMAGENET1K_V1; null: random weights, the default of the authors' code."""


TEMPLATE = "tsav112"
OUTPUTS = EXPRESSIONS7 + VALENCE_AROUSAL + AU8
"""The network's 17 outputs in the original's order (TSAV spec 3.1)."""

COLUMNS = {"expr": EXPRESSIONS7, "va": VALENCE_AROUSAL, "au": AU8}
"""The outputs of each task."""
LABELS = {"expr": ("expression",), "va": VALENCE_AROUSAL, "au": AU8}
"""The label columns of each task."""


def needs(variant: str, mode: str, settings: TsavSettings) -> Needs:
    """Faces with drawn landmarks, and audio: ``faithful`` cuts the original's windows from the waveform (TSAV spec 2.9)."""
    audio = "tsav_wave" if mode == "faithful" else "tsav_mel"
    return Needs(crops=(TEMPLATE,), features=(audio,), masks=(TEMPLATE,))


def _target(name: str, *tasks: str) -> Target:
    columns = tuple(column for task in tasks for column in COLUMNS[task])
    return Target(name, columns, {task: LABELS[task] for task in tasks})


SPEC = Spec(
    name="tsav",
    title="Two-stream aural-visual model (TNT, ABAW 2020)",
    variants=("two_stream",),
    targets={
        "va": _target("va", "va"),
        "expr": _target("expr", "expr"),
        "au": _target("au", "au"),
        "mtl": _target("mtl", "expr", "va", "au"),
    },
    settings=TsavSettings,
    needs=needs,
    small={"batch": 4, "network": {"width": 0.0625, "image_pooling": 4, "mel_pooling": 8}},
)
