"""What M3T offers and needs, and its settings; read while the workflow is planned, so no torch here."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from wildaffect.config import Section
from wildaffect.corpus.label_spaces import EXPRESSIONS7, VALENCE_AROUSAL
from wildaffect.errors import InputError
from wildaffect.features.spec import rows_per_second
from wildaffect.systems.m3t.checkpoint import VARIANTS
from wildaffect.systems.types import (
    Count,
    Dropout,
    Epochs,
    Factor,
    FiveCounts,
    LearningRate,
    Natural,
    Needs,
    PlateauFactor,
    PlateauPatience,
    Preset,
    RecipeSettings,
    Spec,
    Target,
    WeightDecay,
)

VectorFeature = Annotated[str, Field(pattern=r"^(zeros|(import|embed)\.[a-z0-9_]+)$")]


class Network(Section):
    """Other structures that the published code had, and cheaper networks for small machines and small corpora."""

    renamed: ClassVar[Mapping[str, str]] = {"picture_pooling": "image_pooling"}

    outputs: Literal[2, 9] | None = None
    """2: valence and arousal only, also for variants that are published with expressions; null: as the variant says."""

    channels: FiveCounts = (64, 128, 256, 512, 512)
    """Channels of the five convolutions."""

    backend: Literal["gru", "tcn_simple"] = "gru"
    """What runs over the frames of a window in each visual tower.
    - gru: a bidirectional recurrent network
    - tcn_simple: two convolutions over five frames; for visual variants with split_layer below 5"""

    hidden: Count = 512
    """Units of the visual and the joint recurrent networks, per direction."""

    audio_hidden: Annotated[int, Field(ge=2)] = 256
    """Units of the recurrent network of the audio, per direction; twice as many is the size at which both modalities are joined."""

    split_layer: Literal[2, 3, 4, 5] = 3
    """Number of convolutions that the towers of valence and arousal share; 5: one tower."""

    fc_layers: Literal[1, 2, 3] = 2
    """Linear layers after a recurrent network."""

    dropout: Dropout = 0.0
    """Dropout on what the recurrent networks read, between their layers and before their heads; 0: none, as published."""

    window_statistics: bool = False
    """The heads of recurrent networks also read mean and deviation of the states over the window, as models of whole utterances do: for
    labels that hold for much longer than a frame. No published weights fit such a network."""

    image_pooling: Literal[1, 2] = 1
    """2: average squares of 2 x 2 pixels and leave the first pooling layer out, a quarter of the first layer's cost; 1: as published."""


SMALL_DATA: dict[str, Any] = {
    "window": 64,
    "stride": 32,
    "validation_stride": 64,
    "windows_per_epoch": 2,
    "batch": 32,
    "epochs": 16,
    "learning_rate": 4e-3,
    "scheduler": "one_cycle",
    "label_smoothing": 0.1,
    "mask_frames": 8,
    "mask_bands": 4,
    "network": {
        "channels": [16, 32, 64, 64, 64],
        "hidden": 64,
        "audio_hidden": 64,
        "image_pooling": 2,
        "dropout": 0.2,
        "window_statistics": True,
    },
}


class M3tSettings(RecipeSettings):
    """M3T. The defaults are those of the published code, which was meant for all of Aff-Wild2 on a GPU."""

    renamed: ClassVar[Mapping[str, str]] = {**RecipeSettings.renamed, "decay_factor": "plateau_factor"}
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"small_data": SMALL_DATA}

    preset: Preset = None

    window: Annotated[int, Field(ge=2)] = 32
    """Frames per window, which is a sample."""

    stride: Count = 16
    """Frames between the starts of neighbouring windows in prediction; what overlaps is averaged."""

    validation_stride: Count = 32
    """The same for the score after each epoch; at most window, so that every frame is scored."""

    windows_per_epoch: Count = 200
    """Windows drawn per epoch and training trial."""

    resample: bool = False
    """Train also on windows of which up to a quarter of the labels and up to a quarter of the faces are missing, and list those of negative
    mean valence twice. In faithful mode the missing labels are then learnt as -5, as in every run of the original but the first."""

    augment: bool = True
    """Train on random cuts and mirrored windows instead of the centre cut."""

    cutout: bool = False
    """Cover a random quarter or more of every training window, the same in all frames."""

    mask_frames: Natural = 0
    """Longest run of frames whose audio is masked by its mean in a training window at random; 0: none, as published."""

    mask_bands: Natural = 0
    """The same for mel bands, or for columns of another audio_feature."""

    drop_columns: Dropout = 0.0
    """Chance that a mel band, or a column of another audio_feature, is masked in a whole training window, so that no few of them decide; 0:
    none, as published."""

    batch: Count = 96
    """Windows per batch. The loss is a correlation over all frames of a batch, so it depends on this."""

    epochs: Epochs = 30

    optimizer: Literal["adam", "sgd"] = "adam"
    """Optimiser; sgd has a momentum of 0.9 (and its published weight_decay is 5e-4)."""

    learning_rate: LearningRate = 5e-5
    weight_decay: WeightDecay = 1e-4

    gradient_norm: Annotated[float, Field(gt=0)] | None = 1.0
    """Gradients are scaled down to this norm over all trainable tensors; null: as they are."""

    scheduler: Literal["plateau", "exponential", "one_cycle"] = "plateau"
    """How the learning rate changes.
    - plateau: it is multiplied by plateau_factor when the score stops rising
    - exponential: it is multiplied by plateau_factor after every epoch
    - one_cycle: over all steps it rises to learning_rate in the first third and then falls to nearly nothing; plateau_patience,
      plateau_factor and lowest_rate have no effect"""

    plateau_patience: PlateauPatience = 3
    plateau_factor: PlateauFactor = 0.5

    lowest_rate: Factor = 1e-6
    """The scheduler plateau goes no lower."""

    loss: Literal["ccc", "mse"] = "ccc"
    """Loss on valence and arousal.
    - ccc: 1 - concordance over all frames of the batch
    - mse: mean square error"""

    valence_weight: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Weight of valence in the loss on valence and arousal; arousal has the rest."""

    expression_weight: Factor = 0.8
    """Factor of the cross-entropy of the expression, for the target mtl."""

    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Part of the expression's target that all classes share equally; 0: none, as published."""

    freeze_encoders: bool = False
    """Train only what joins the two modalities; for the audio-visual variants, with visual_weights and audio_weights."""

    face_vectors: VectorFeature = "import.senet"
    """Feature with a vector per frame that both towers receive beside the 3-D network. Published are SENet-101 vectors, which can only be
    imported: describe them as features.import.senet. Nobody else has them, so choose a replacement: embed.<name> is a frozen network of
    your own (a resnet18 or resnet34 gives 512 columns), zeros leaves them out."""

    face_columns: Count = 512
    """Leading columns of face_vectors that are read."""

    arousal_vectors: VectorFeature | None = None
    """Other vectors for the arousal tower, as in the older layout with TCAE (import.tcae or what its import is called); null: face_vectors
    for both, as in the last published code, which read TCAE and never used it."""

    arousal_columns: Count = 256
    """Leading columns of arousal_vectors that are read; TCAE's 268 are 256 of its encoder and 12 scores that were left out."""

    audio_feature: Annotated[str, Field(pattern=r"^[a-z0-9_]+(\.indexed)?$")] | None = None
    """Feature of the audio with a row per frame that the audio stream reads, such as egemaps25 or egemaps88; null: the published mel rows,
    m3t_mel (m3t_mel.indexed in faithful mode)."""

    network: Network = Network()
    """Structure and size of the network."""

    visual_weights: str | None = None
    """File to start the visual stream from: a visual or audio-visual model, or the identity pre-training (its five convolutions then start
    both towers); null: random weights."""

    audio_weights: str | None = None
    """File to start the audio stream from, an audio or audio-visual model; null: random weights."""


TEMPLATE = "m3t256"
MEL = "m3t_mel"
ZEROS = "zeros"
"""The declared replacement of face vectors that are not at hand."""
OUTPUTS = EXPRESSIONS7 + VALENCE_AROUSAL
"""The nine outputs in the original's order (M3T spec 3.4); models with two have the last two."""


def audio_feature(mode: str, settings: M3tSettings) -> str:
    """The feature that the settings name, or the mel rows; ``faithful`` has them by frame index: they fall behind (M3T spec 2.5).

    :class:`InputError` for a feature without a row per frame.
    """
    if settings.audio_feature is None:
        return f"{MEL}.indexed" if mode == "faithful" else MEL
    if rows_per_second(settings.audio_feature):
        raise InputError(
            f"m3t: recipe.audio_feature: {settings.audio_feature} is a signal on its own clock; use a feature with a row per frame, such "
            "as egemaps25."
        )
    return settings.audio_feature


def needs(variant: str, mode: str, settings: M3tSettings) -> Needs:
    """Faces and the face vectors that the settings name, and audio, as far as the variant has them."""
    modality = VARIANTS[variant].modality
    audio = () if modality == "visual" else (audio_feature(mode, settings),)
    if modality == "audio":
        return Needs(features=audio)
    vectors = dict.fromkeys([settings.face_vectors, settings.arousal_vectors])
    return Needs(crops=(TEMPLATE,), features=(*(name for name in vectors if name not in (None, ZEROS)), *audio))


def blind(variant: str, settings: M3tSettings) -> str:
    """The windows of a batch are one series; a single window has one label where clips have."""
    return "a recipe.batch of at least 2, or recipe.loss: mse" if settings.batch == 1 and settings.loss == "ccc" else ""


SPEC = Spec(
    name="m3t",
    title="Multi-modal multi-task valence and arousal (ICT-VIPL, ABAW 2020)",
    variants=tuple(VARIANTS),
    targets={
        "va": Target("va", VALENCE_AROUSAL, {"va": VALENCE_AROUSAL}),
        "mtl": Target("mtl", OUTPUTS, {"va": VALENCE_AROUSAL, "expr": ("expression",)}),
    },
    settings=M3tSettings,
    needs=needs,
    blind=blind,
    narrowed={"audio_va": ("va",)},
    small={
        "window": 16,
        "stride": 8,
        "validation_stride": 16,
        "windows_per_epoch": 4,
        "batch": 2,
        "face_vectors": ZEROS,
        "face_columns": 8,
        "network": {"channels": [2, 2, 4, 4, 4], "hidden": 8, "audio_hidden": 8, "image_pooling": 2},
    },
)
