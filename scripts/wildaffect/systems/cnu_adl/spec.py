"""What CNU_ADL offers and needs; read while the workflow is planned, so no torch here."""

from wildaffect.corpus.label_spaces import EXPRESSIONS7, VALENCE_AROUSAL
from wildaffect.systems.cnu_adl.settings import CnuAdlSettings
from wildaffect.systems.types import Needs, Spec, Target

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


SPEC = Spec(
    name="cnu_adl",
    title="Face network with temporal statistics (CNU ADL, ABAW 2020)",
    variants=("image", "frames_stat", "stat_bilstm"),
    targets={"va": _target("va", "va"), "expr": _target("expr", "expr"), "mtl": _target("mtl", "expr", "va")},
    settings=CnuAdlSettings,
    needs=needs,
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
