"""What CNU_ADL offers and needs; read while the workflow is planned, so no torch here."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from wildaffect.systems.interface import Needs, Spec, Target

EXPRESSIONS = ("Neutral", "Anger", "Disgust", "Fear", "Happiness", "Sadness", "Surprise")
NETWORK_CLASSES = ("Anger", "Disgust", "Fear", "Happiness", "Neutral", "Sadness", "Surprise")
"""The network's order of the expressions, that of the EmotiW challenge (CNU_ADL spec 4)."""

COLUMNS = {"expr": EXPRESSIONS, "va": ("valence", "arousal")}
"""The predicted columns of each task."""
LABELS = {"expr": ("expression",), "va": ("valence", "arousal")}
"""The label columns of each task."""


def needs(variant: str, mode: str, recipe: Mapping[str, Any]) -> Needs:
    """Faces, and the stored vectors of a frozen face network where the recipe names such a feature.

    The crops are then still needed: they say in which frames there is a face.
    """
    features = () if recipe["face_features"] is None else (recipe["face_features"],)
    return Needs(crops=(recipe["crops"],), features=features)


def _target(name: str, *tasks: str) -> Target:
    columns = tuple(column for task in tasks for column in COLUMNS[task])
    return Target(name, columns, {task: LABELS[task] for task in tasks})


SPEC = Spec(
    name="cnu_adl",
    title="Face network with temporal statistics (CNU ADL, ABAW 2020)",
    variants=("image", "frames_stat", "stat_bilstm"),
    targets={"va": _target("va", "va"), "expr": _target("expr", "expr"), "mtl": _target("mtl", "expr", "va")},
    needs=needs,
    schema=yaml.safe_load((Path(__file__).parent / "schema.yaml").read_text()),
)
