"""What TSAV offers and needs, and its settings; read while the workflow is planned, so no torch here."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from wildaffect.config import Section, distinct
from wildaffect.corpus.label_spaces import AU8, EXPRESSIONS7, VALENCE_AROUSAL
from wildaffect.systems.types import (
    Accumulate,
    Count,
    Dropout,
    Epochs,
    Factor,
    LearningRate,
    MinimumRate,
    Natural,
    Needs,
    Patience,
    PlateauFactor,
    PlateauPatience,
    Preset,
    RecipeSettings,
    Scheduler,
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

    dropout: Dropout = 0.0
    """Dropout before the last layer; 0: none, as published."""


SMALL_DATA: dict[str, Any] = {
    "accumulate": 1,
    "learning_rate": 3e-3,
    "scheduler": "one_cycle",
    "weight_decay": 1e-4,
    "patience": None,
    "frames_per_epoch": 2_000,
    "mask_columns": 200,
    "mask_bands": 16,
    "label_smoothing": 0.1,
    "network": {"width": 0.125, "image_pooling": 4, "mel_pooling": 8, "dropout": 0.2},
}


class TsavSettings(RecipeSettings):
    """Two-stream aural-visual model (TSAV). The authors published no training recipe: the defaults are ours."""

    renamed: ClassVar[Mapping[str, str]] = {**RecipeSettings.renamed, "drop_sound": "drop_audio"}
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"small_data": SMALL_DATA}

    preset: Preset = None

    streams: Annotated[tuple[Literal["audio", "video"], ...], Field(min_length=1), AfterValidator(distinct)] = (
        "audio",
        "video",
    )
    """Streams of the network. Without video no faces are needed, and drop_audio has no effect."""

    batch: Annotated[int, Field(ge=2)] = 32
    """Clips per batch. The loss on valence and arousal is a correlation over these, so very small batches learn badly."""

    accumulate: Accumulate = 2
    epochs: Epochs = 30
    learning_rate: LearningRate = 5e-4
    scheduler: Scheduler = "plateau"
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

    label_smoothing: Fraction = 0.0
    """Part of the expression's target that all classes share equally; 0: none."""

    filter_contradictions: bool = True
    """Do not train on expression, valence and arousal of a frame where they contradict each other (happy with negative valence, sad with
    positive valence, neutral but far from the origin)."""

    augment: bool = True
    """Mirror clips at random and shift their colours, every frame of a clip in the same way."""

    mask_columns: Natural = 0
    """Longest run of columns (10 ms) of an audio image that are as quiet as its quietest value, in training at random; 0: none."""

    mask_bands: Natural = 0
    """The same for mel bands."""

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

    @model_validator(mode="after")
    def _weights_of_streams(self) -> Self:
        for stream, weights in (("audio", self.audio_weights), ("video", self.video_weights)):
            if weights is not None and stream not in self.streams:
                raise ValueError(
                    f"{stream}_weights is for a stream that is not in streams; add {stream} there, or set it to null"
                )
        return self


TEMPLATE = "tsav112"
OUTPUTS = EXPRESSIONS7 + VALENCE_AROUSAL + AU8
"""The network's 17 outputs in the original's order (TSAV spec 3.1)."""

COLUMNS = {"expr": EXPRESSIONS7, "va": VALENCE_AROUSAL, "au": AU8}
"""The outputs of each task."""
LABELS = {"expr": ("expression",), "va": VALENCE_AROUSAL, "au": AU8}
"""The label columns of each task."""


def needs(variant: str, mode: str, settings: TsavSettings) -> Needs:
    """Faces with drawn landmarks, and audio, as far as there are streams of them.

    ``faithful`` cuts the original's windows from the waveform (TSAV spec 2.9), and the original stored its drawings as JPEG.
    """
    faces = (TEMPLATE,) if "video" in settings.streams else ()
    audio = ("tsav_wave" if mode == "faithful" else "tsav_mel",) if "audio" in settings.streams else ()
    return Needs(crops=faces, features=audio, masks=faces, jpeg_masks=mode == "faithful")


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
