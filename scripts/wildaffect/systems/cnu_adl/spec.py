"""What CNU_ADL offers and needs, and its settings; read while the workflow is planned, so no torch here."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from wildaffect.config import Section
from wildaffect.corpus.label_spaces import EXPRESSIONS7, VALENCE_AROUSAL
from wildaffect.systems.types import (
    Count,
    Dropout,
    Epochs,
    Factor,
    FourCounts,
    LearningRate,
    MinimumRate,
    Needs,
    Patience,
    PlateauFactor,
    PlateauPatience,
    Preset,
    RecipeSettings,
    Sha256,
    Spec,
    Target,
    Width,
)


class LossWeights(Section):
    """Factors of the four heads' losses, whose sum is minimised."""

    expression: Factor = 1.0
    """Cross-entropy."""

    arousal: Factor = 1.0
    """1 - CCC."""

    valence: Factor = 1.0
    """1 - CCC."""

    auxiliary: Factor = 1.0
    """Mean squared error of the five auxiliary values."""


class Augmentation(Section):
    """How far images of training samples are moved. Half of them are moved at all, and half mirrored."""

    turn: Annotated[float, Field(ge=0, le=180)] = 45
    """Largest turn in degrees."""

    scale: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Largest change of size, as a fraction of it."""

    shift: Annotated[float, Field(ge=0, lt=1)] = 0.0625
    """Largest shift, as a fraction of the image's side."""


class Network(Section):
    """The heads, and cheaper face networks for small machines and small corpora; the defaults are the published ones."""

    renamed: ClassVar[Mapping[str, str]] = {"picture_pooling": "image_pooling"}

    classification: tuple[Count, ...] | None = None
    """Hidden layers of the expression head; null: those of the variant (t8, t15, t31, t45). t12 has [2048]."""

    regression: tuple[Count, ...] | None = None
    """Hidden layers of the other heads; null: those of the variant. t12 has [2048]."""

    dropout: Dropout = 0.1
    """Dropout in heads and LSTMs."""

    lstm_units: Count = 1024
    """Units per direction of both LSTM layers of stat_bilstm."""

    width: Width = 1.0
    """Factor on the channels of the face network."""

    units: FourCounts = (3, 4, 6, 3)
    """Bottlenecks in the four stages of the face network."""

    norm_momentum: Width = 0.01
    """Weight of a batch in the statistics that batch norms remember for prediction. The published one needs some hundred optimiser steps to
    forget and learn; a training that is as short needs a larger one."""

    image_pooling: Literal[1, 2, 4] = 1
    """Side of the squares of pixels averaged before the first layer."""


SMALL_DATA: dict[str, Any] = {
    "epochs": 16,
    "learning_rate": 2e-3,
    "minimum_rate": 0.0,
    "patience": None,
    "validation_stride": 1,
    "label_smoothing": 0.1,
    "augmentation": {"turn": 10.0},
    "network": {
        "width": 0.25,
        "units": [1, 1, 1, 1],
        "image_pooling": 4,
        "classification": [64],
        "regression": [64],
        "lstm_units": 32,
        "norm_momentum": 0.1,
        "dropout": 0.3,
    },
}


class CnuAdlSettings(RecipeSettings):
    """CNU_ADL. Its authors published networks but no training: the defaults of everything that concerns training are ours."""

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"small_data": SMALL_DATA}

    preset: Preset = None

    crops: Literal["cnu224", "cnu_aligned224"] = "cnu224"
    """Crop template.
    - cnu224: the face box, as the published models had it
    - cnu_aligned224: aligned faces, as in the authors' first round"""

    block: Count = 16
    """Frames whose probabilities are summed up, the current one included; the first round had 32. The variant image uses one frame."""

    chunk: Count = 1
    """Neighbouring frames that the frame variants learn together. Their blocks share images, so 32 frames cost 47 passes of the face
    network instead of 512, but a batch then shows fewer people. Prediction always shares."""

    batch: Annotated[int, Field(ge=2)] = 64
    """Frames per batch, in chunks. The CCC is computed over the frames of a batch, so very small ones learn badly."""

    epochs: Epochs = 40

    frames_per_epoch: Count | None = 20_000
    """Training frames drawn for every epoch, in chunks; null: all."""

    balance: bool = True
    """Draw all expressions equally often (and frames without expression label as often as each of them)."""

    augment: bool = True
    """Mirror, shift, scale and turn the images of training samples at random."""

    augmentation: Augmentation = Augmentation()
    """How far, where ``augment`` is true; the defaults are the published ranges."""

    learning_rate: LearningRate = 1e-4

    face_learning_rate: Annotated[float, Field(gt=0)] | None = None
    """Learning rate of the face network, learning_rate then being that of the heads; null: the same. With given weights 1e-5 is meant."""

    kernel_penalty: Factor = 1e-4
    """The loss grows by this times the sum of squares of the face network's convolution kernels and last layer (published)."""

    plateau_patience: PlateauPatience = 3
    plateau_factor: PlateauFactor = 0.3
    minimum_rate: MinimumRate = 1e-7
    patience: Patience = 10

    loss_weights: LossWeights = LossWeights()
    """Factors of the four heads' losses."""

    validation_stride: Count = 10
    """The score after each epoch is computed from every so many frames of a trial, and filled in between; use 1 where neighbouring frames
    are unrelated images."""

    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Part of the expression's target that all classes share equally; 0: none."""

    face_training: Literal["upper", "all", "none"] = "all"
    """What of the face network is trained.
    - upper: all but the first layer and the first two stages, as published, which makes sense with face_weights only
    - all: everything
    - none: it keeps its initial weights"""

    face_weights: str | None = None
    """File with initial weights of the face network: Keras (.h5), .safetensors or .pth, of the network alone or of a whole CNU_ADL model;
    null: random ones."""

    face_sha256: Sha256 | None = None
    """Expected SHA-256 of that file; null: any."""

    face_features: Annotated[str, Field(pattern=r"^(embed|import)\.")] | None = None
    """Feature with the outputs of a frozen face network (its features and seven probabilities), such as embed.cnu, to be read instead of
    running one; null: run the face network."""

    network: Network = Network()
    """Heads and face network."""


NETWORK_CLASSES = ("Anger", "Disgust", "Fear", "Happiness", "Neutral", "Sadness", "Surprise")
"""The network's order of the expressions, that of the EmotiW challenge (CNU_ADL spec 4)."""

COLUMNS = {"expr": EXPRESSIONS7, "va": VALENCE_AROUSAL}
"""The predicted columns of each task."""
LABELS = {"expr": ("expression",), "va": VALENCE_AROUSAL}
"""The label columns of each task."""


def needs(variant: str, mode: str, settings: CnuAdlSettings) -> Needs:
    """Faces, and the stored vectors of a frozen face network where the settings name such a feature.

    The crops are then still needed: they say in which frames there is a face.
    """
    features = () if settings.face_features is None else (settings.face_features,)
    return Needs(crops=(settings.crops,), features=features)


def _target(name: str, *tasks: str) -> Target:
    columns = tuple(column for task in tasks for column in COLUMNS[task])
    return Target(name, columns, {task: LABELS[task] for task in tasks})


def blind(variant: str, settings: CnuAdlSettings) -> str:
    """The chunks of a batch are one series; a single chunk has one label where clips have. The variant image has no chunks."""
    alone = variant != "image" and settings.batch < 2 * settings.chunk
    return "a recipe.chunk of at most half of recipe.batch" if alone else ""


SPEC = Spec(
    name="cnu_adl",
    title="Face network with temporal statistics (CNU ADL, ABAW 2020)",
    variants=("image", "frames_stat", "stat_bilstm"),
    targets={"va": _target("va", "va"), "expr": _target("expr", "expr"), "mtl": _target("mtl", "expr", "va")},
    settings=CnuAdlSettings,
    needs=needs,
    blind=blind,
    small={
        "block": 4,
        "chunk": 4,
        "batch": 16,
        "network": {
            "width": 1 / 32,
            "units": [1, 1, 1, 1],
            "image_pooling": 4,
            "classification": [16],
            "regression": [16],
            "lstm_units": 4,
        },
    },
)
