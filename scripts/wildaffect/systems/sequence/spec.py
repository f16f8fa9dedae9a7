"""What sequence offers and needs, and its settings; read while the workflow is planned, so no torch here."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from wildaffect.corpus.label_spaces import AU12, EXPRESSIONS7, EXPRESSIONS8, VALENCE_AROUSAL
from wildaffect.systems.types import (
    Batch,
    Count,
    Dropout,
    Epochs,
    Factor,
    FrameFeatures,
    LearningRate,
    Needs,
    Preset,
    RecipeSettings,
    Spec,
    Target,
    WeightDecay,
)

SMALL_DATA: dict[str, Any] = {
    "window": 36,
    "hop": 12,
    "layers": 4,
    "window_statistics": True,
    "drop_columns": 0.2,
    "batch": 64,
    "learning_rate": 3e-3,
}


class SequenceSettings(RecipeSettings):
    """A temporal network over frozen features. All values are this project's; nothing is published."""

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"small_data": SMALL_DATA}

    preset: Preset = None

    inputs: FrameFeatures = ("egemaps25",)
    """Features with a row per frame, any number: of the audio (`wildaffect features` lists them), `embed.<name>`, `import.<name>`."""

    normalise: Literal["training", "subject"] = "training"
    """By whose mean and deviation the inputs are scaled; no label is read for it.
    - training: of all training trials
    - subject: of all trials of the same subject (column `subject` of trials.csv; else of the trial alone) among those that are trained on,
      or predicted, together; a deviation is at least a tenth of the one in training. For corpora with several trials of each person"""

    window: Count = 200
    """Frames per window, which is a sample; 1 where frames are unrelated images."""

    hop: Count = 100
    """Frames between the starts of neighbouring windows; in training they are moved at random by up to half of it."""

    hidden: Literal[8, 16, 32, 64, 128, 256, 512] = 64
    """Width of the network."""

    layers: Count = 2
    """Layers of the temporal network."""

    heads: Literal[1, 2, 4] = 4
    """Attention heads of the variant transformer."""

    window_statistics: bool = False
    """The output also reads mean and deviation of what the temporal network says over the window, as models of whole utterances do: for
    labels that hold for much longer than a frame."""

    dropout: Dropout = 0.3
    """Dropout after the inputs were joined, and within the temporal network."""

    drop_input: Dropout = 0.2
    """Chance that an input is left out of a training window, where there are several; one always stays."""

    drop_columns: Dropout = 0.0
    """Chance that a column of the inputs is left out of a whole training window, so that no few of them decide."""

    batch: Batch = 8
    epochs: Epochs = 20
    learning_rate: LearningRate = 1e-3
    """The largest one: it rises over the first third of all steps and then falls to nearly nothing (one cycle)."""
    weight_decay: WeightDecay = 1e-2

    balance: Annotated[float, Field(ge=0, le=1)] = 0.5
    """How far rare expressions and active units count more: each with the power -`balance` of how often it occurs in training. 0: all count
    alike; 1: all classes count alike together."""

    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.05
    """Of expressions: this part of the probability is spread over all classes."""

    focus: Factor = 0.0
    """Of units: inactive ones that are predicted so count less, by the power `focus` of their predicted probability (asymmetric loss)."""


def needs(variant: str, mode: str, settings: SequenceSettings) -> Needs:
    """The inputs of the settings."""
    return Needs(features=settings.inputs, subjects=settings.normalise == "subject")


TASKS = {"va": VALENCE_AROUSAL, "expr": ("expression",), "au": AU12}
SPEC = Spec(
    name="sequence",
    title="Any frozen features, a small temporal network (this project's)",
    variants=("gru", "tcn", "transformer"),
    targets={
        "va": Target("va", VALENCE_AROUSAL, {"va": TASKS["va"]}),
        "expr": Target("expr", EXPRESSIONS7, {"expr": TASKS["expr"]}),
        "au": Target("au", AU12, {"au": TASKS["au"]}),
        "expr8": Target("expr8", EXPRESSIONS8, {"expr": TASKS["expr"]}),
        "va_expr": Target("va_expr", (*VALENCE_AROUSAL, *EXPRESSIONS7), {"va": TASKS["va"], "expr": TASKS["expr"]}),
        "mtl": Target("mtl", (*VALENCE_AROUSAL, *EXPRESSIONS7, *AU12), TASKS),
        "mtl8": Target("mtl8", (*VALENCE_AROUSAL, *EXPRESSIONS8, *AU12), TASKS),
    },
    on_request=("expr8", "va_expr", "mtl", "mtl8"),
    settings=SequenceSettings,
    needs=needs,
    modes=("corrected",),
    small={"hidden": 8, "layers": 1, "window": 40, "hop": 20, "batch": 2},
)
