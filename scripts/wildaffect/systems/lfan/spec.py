"""What LFAN offers and needs, and its settings; read while the workflow is planned, so no torch here."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from wildaffect.config import Section
from wildaffect.corpus.label_spaces import VALENCE_AROUSAL
from wildaffect.features.spec import indexed
from wildaffect.systems.types import (
    Batch,
    Count,
    Dropout,
    Epochs,
    FiveCounts,
    FourCounts,
    FrameFeatures,
    LearningRate,
    MinimumRate,
    Needs,
    Patience,
    Preset,
    RecipeSettings,
    Scheduler,
    Sha256,
    Spec,
    Target,
    WeightDecay,
)


class Backbone(Section):
    """The face network. The defaults are IR-50; smaller ones are meant for small machines and small corpora."""

    units: FourCounts = (3, 4, 14, 3)
    """Residual units per stage."""

    channels: FiveCounts = (64, 64, 128, 256, 512)
    """Channels of the first layer and of the four stages."""

    embedding: Count = 512
    """Length of the face vector."""

    pooling: Literal[1, 2, 4] = 1
    """Side of the squares of pixels averaged before the first layer; 1: full resolution, as published."""

    dropout: Dropout = 0.4
    """Dropout before the face vector."""

    weights: str | None = None
    """File with initial weights of the face network (the published run started from a face-expression network); null: random ones."""

    sha256: Sha256 | None = None
    """Expected SHA-256 of that file; null: any."""


SMALL_DATA: dict[str, Any] = {
    "window": 36,
    "hop": 18,
    "loss_over": "batch",
    "batch": 32,
    "epochs": 16,
    "learning_rate": 3e-3,
    "scheduler": "one_cycle",
    "weight_decay": 1e-4,
    "reload_best": False,
    "causal": False,
    "dropout": 0.2,
    "backbone_training": "frozen",
    "backbone": {"units": [1, 1, 1, 1], "channels": [8, 8, 8, 8, 8], "embedding": 16, "pooling": 4},
}


class LfanSettings(RecipeSettings):
    """Leader-follower attentive fusion (LFAN). The defaults are the published recipe."""

    renamed: ClassVar[Mapping[str, str]] = {
        **RecipeSettings.renamed,
        "early_stop_per_phase": "patience_per_phase",
    }
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"small_data": SMALL_DATA}

    preset: Preset = None

    features: FrameFeatures = ("vggish128", "mfcc39")
    """What multimodal hears beside the faces, each by a temporal network of its own: any features with a row per frame, at least one. In
    faithful mode rows are chosen by frame index (`<feature>.indexed`) where the feature has that."""

    window: Annotated[int, Field(ge=2)] = 300
    """Frames per window, which is a sample."""

    hop: Count = 200
    """Frames between the starts of neighbouring windows."""

    loss_over: Literal["window", "batch"] = "window"
    """What the concordance of the loss is taken over.
    - window: each window by itself, as published; where labels are constant within a clip it cannot fall
    - batch: all windows of a batch together, as in the other systems"""

    batch: Batch = 8
    epochs: Epochs = 100
    learning_rate: LearningRate = 1e-5
    scheduler: Scheduler = "plateau"
    weight_decay: WeightDecay = 1e-3
    minimum_rate: MinimumRate = 1e-6
    patience: Patience = 20

    patience_per_phase: bool = False
    """Count patience again from 0 in every phase. The published run did not, so its last phase is seldom reached."""

    reload_best: bool = True
    """Return to the best weights after every epoch that brought no new best."""

    augment: bool = True
    """Train on random 40-pixel cuts and mirrored windows instead of the centre cut."""

    causal: bool = True
    """The temporal networks see the present and the 120 frames before it, as published; false: 60 frames before and after it."""

    dropout: Dropout = 0.1
    """Dropout of whole channels in the temporal networks."""

    backbone_training: Literal["gradual", "all", "frozen"] = "gradual"
    """What of the face network is trained.
    - gradual: frozen at first, then released in three phases: output layer; last stage; last three units of the stage before
    - all: everything from the start
    - frozen: it keeps its initial weights"""

    backbone: Backbone = Backbone()
    """The face network."""

    @model_validator(mode="after")
    def _one_cycle_in_one_phase(self) -> Self:
        if self.scheduler == "one_cycle" and self.backbone_training == "gradual":
            raise ValueError(
                "scheduler: one_cycle would begin anew in each phase of backbone_training: gradual; use backbone_training: all or frozen"
            )
        return self


def needs(variant: str, mode: str, settings: LfanSettings) -> Needs:
    """Crops and features of a variant; ``faithful`` reads features by the original's frame-index rule (LFAN spec 2.5, 2.7)."""
    audio = settings.features if variant == "multimodal" else ()
    return Needs(crops=("lfan48",), features=tuple(map(indexed, audio)) if mode == "faithful" else audio)


def blind(variant: str, settings: LfanSettings) -> str:
    """A single window has one label where clips have."""
    if settings.loss_over == "batch" and settings.batch > 1:
        return ""
    return "recipe.loss_over: batch" + (" with a recipe.batch of at least 2" if settings.batch == 1 else "")


SPEC = Spec(
    name="lfan",
    title="Audio-visual leader-follower attentive fusion (FlyingPigs, ABAW2)",
    variants=("unimodal", "multimodal"),
    targets={
        **{name: Target(name, (name,), {"va": (name,)}) for name in VALENCE_AROUSAL},
        "va": Target("va", VALENCE_AROUSAL, {"va": VALENCE_AROUSAL}),
    },
    on_request=("va",),
    settings=LfanSettings,
    needs=needs,
    blind=blind,
    small={
        "window": 40,
        "hop": 20,
        "batch": 2,
        "backbone": {"units": [1, 1, 1, 1], "channels": [8, 8, 8, 8, 8], "embedding": 16, "pooling": 4},
    },
)
