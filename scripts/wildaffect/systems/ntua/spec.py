"""What NTUA offers and needs, and its settings; read while the workflow is planned, so no torch here."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field

from wildaffect.config import Section, distinct
from wildaffect.corpus.label_spaces import EXPRESSIONS7, VALENCE_AROUSAL
from wildaffect.systems.types import (
    Count,
    Dropout,
    Epochs,
    LearningRate,
    Natural,
    Needs,
    Patience,
    Preset,
    RecipeSettings,
    Scheduler,
    Spec,
    Target,
    WeightDecay,
    Width,
)

Trunk = Literal["resnet18", "resnet50"]


class Network(Section):
    """The network. The defaults are the published ones; narrower and coarser ones are meant for small machines and small corpora."""

    renamed: ClassVar[Mapping[str, str]] = {"picture_pooling": "image_pooling"}

    face: Trunk | None = None
    """Trunk of the face or of the audio; null: resnet18 for the variant aural, resnet50 for the others."""

    scene: Trunk = "resnet50"
    """Trunk of body and context."""

    cell: Literal["lstm", "gru", "rnn"] = "lstm"
    """Recurrent cell; forwards and backwards in visual and aural, forwards alone in face."""

    hidden: Count = 512
    """Size of its state."""

    layers: Count = 1
    """Recurrent layers."""

    dropout: Dropout = 0.1
    """Dropout between recurrent layers; without effect on a single one."""

    feature_dropout: Dropout = 0.0
    """Dropout on what the recurrent layer reads and on its states; 0: none, as published."""

    width: Width = 1.0
    """Factor on the channels of every layer of the trunks."""

    image_pooling: Literal[1, 2, 4] = 1
    """Side of the squares of pixels averaged before a trunk."""

    mel_pooling: Literal[1, 2, 4, 8, 16] = 1
    """Neighbouring columns of an audio window averaged before the trunk."""


class TrunkWeights(Section):
    """Files with initial weights of the trunks, in torchvision's names (a classifier on top is left out): the authors took ImageNet's for
    all, Places365's for context and their own AffectNet's for the face. null: random weights."""

    face: str | None = None
    """Trunk of the face."""

    body: str | None = None
    """Trunk of the body."""

    context: str | None = None
    """Trunk of the scene."""

    audio: str | None = None
    """Trunk of the audio."""


SMALL_DATA: dict[str, Any] = {
    "epochs": 32,
    "chunks_per_epoch": 800,
    "optimizer": "adam",
    "learning_rate": 2e-3,
    "weight_decay": 1e-4,
    "scheduler": "one_cycle",
    "patience": None,
    "standardise": True,
    "mask_columns": 200,
    "mask_bands": 20,
    "mask_expressions": True,
    "move_bands": 3,
    "label_smoothing": 0.1,
    "network": {
        "face": "resnet18",
        "scene": "resnet18",
        "width": 0.125,
        "hidden": 32,
        "mel_pooling": 8,
        "image_pooling": 2,
        "feature_dropout": 0.2,
    },
}


class NtuaSettings(RecipeSettings):
    """Face, body, context and audio (NTUA). The defaults are the published configuration file; what its authors ran is not known."""

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"small_data": SMALL_DATA}

    preset: Preset = None

    streams: Annotated[
        tuple[Literal["face", "body", "context"], ...], Field(min_length=1), AfterValidator(distinct)
    ] = ("face", "body", "context")
    """Streams of the variant visual; the others ignore this."""

    duration: Annotated[int, Field(ge=2)] = 16
    """Frames per chunk."""

    batch: Count = 16
    """Chunks per batch. The loss on valence and arousal is a correlation over the batch."""

    epochs: Epochs = 300

    chunks_per_epoch: Count | None = None
    """Chunks drawn for every epoch; null: all, as published."""

    optimizer: Literal["sgd", "adam"] = "sgd"
    """Optimiser; momentum is for sgd only."""

    learning_rate: LearningRate = 1e-3

    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Momentum of SGD."""

    weight_decay: WeightDecay = 5e-4

    scheduler: Scheduler = "plateau"

    patience: Patience = 11
    """As in the published code, which ends training after one epoch more than its configured 10."""

    learn_without_face: bool = True
    """Frames without a face, whose image is black, count in the loss, as published."""

    window_seconds: Annotated[float, Field(ge=1, le=60)] = 10.0
    """Length of the audio windows, half of it before the frame. Of clips that are shorter than half a window all frames have the same one,
    most of it silence, which random masks then mostly fall on."""

    centre_windows: bool = False
    """Audio windows of frames in the first half window are centred too, with silence before the start. Published windows begin with the
    video at the earliest, so all these frames share one."""

    standardise: bool = False
    """Audio windows in units of the deviation of all training audio, from its mean: the zeros that convolutions see around an image are
    then neither loud nor quiet, and a short training gets further. false: in dB, where these zeros are loud, as published."""

    mask_columns: Natural = 100
    """Longest run of columns masked in an audio window at random, in training for valence and arousal; 0: none."""

    mask_bands: Natural = 10
    """The same for mel bands."""

    mask_expressions: bool = False
    """Mask audio windows in training for expressions too; the published code did not."""

    move_bands: Natural = 0
    """Audio windows are moved up or down by at most so many mel bands at random in training, which makes other voices of the speakers; 0:
    they are not, as published."""

    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Part of the expression's target that all classes share equally; 0: none, as published."""

    network: Network = Network()
    """Size and kind of the network."""

    weights: TrunkWeights = TrunkWeights()
    """Files with initial weights of the trunks."""


STREAMS = {"visual": ("face", "body", "context"), "aural": ("audio",), "face": ("face",)}
"""Streams of each variant, in the order in which their features are joined (NTUA spec 3.3)."""
AUDIO = "ntua_mel"
# The published body stream has the whole frame (NTUA spec 2.6).
BODY = {"faithful": "ntua_frame112", "corrected": "ntua_body112"}


def templates(variant: str, mode: str, settings: NtuaSettings) -> dict[str, str]:
    """The crop template of each image stream of a variant, without those that ``settings`` leave out."""
    of_stream = {"face": "arcface112", "body": BODY[mode], "context": "ntua_context112"}
    return {stream: of_stream[stream] for stream in streams(variant, settings) if stream in of_stream}


def streams(variant: str, settings: NtuaSettings) -> tuple[str, ...]:
    """Streams of a variant; ``settings`` may leave some of ``visual`` out."""
    return tuple(name for name in STREAMS[variant] if variant != "visual" or name in settings.streams)


def needs(variant: str, mode: str, settings: NtuaSettings) -> Needs:
    """Crops of the face, the body and the scene, or audio."""
    return Needs(
        crops=tuple(templates(variant, mode, settings).values()), features=(AUDIO,) if variant == "aural" else ()
    )


def blind(variant: str, settings: NtuaSettings) -> str:
    """The chunks of a batch are one series; a single chunk has one label where clips have."""
    return "a recipe.batch of at least 2" if settings.batch == 1 else ""


SPEC = Spec(
    name="ntua",
    title="Face, body, context and audio (NTUA-CVSP, ABAW2)",
    variants=tuple(STREAMS),
    targets={
        "va": Target("va", VALENCE_AROUSAL, {"va": VALENCE_AROUSAL}),
        "expr": Target("expr", EXPRESSIONS7, {"expr": ("expression",)}),
    },
    settings=NtuaSettings,
    needs=needs,
    blind=blind,
    small={
        "batch": 2,
        "duration": 8,
        "network": {
            "face": "resnet18",
            "scene": "resnet18",
            "width": 0.0625,
            "hidden": 8,
            "image_pooling": 4,
            "mel_pooling": 16,
        },
    },
)
