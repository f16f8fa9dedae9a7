"""What TSAV offers and needs; read while the workflow is planned, so no torch here."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from wildaffect.systems.interface import Needs, Spec, Target

TEMPLATE = "tsav112"
EXPRESSIONS = ("Neutral", "Anger", "Disgust", "Fear", "Happiness", "Sadness", "Surprise")
VALENCE_AROUSAL = ("valence", "arousal")
UNITS = ("AU1", "AU2", "AU4", "AU6", "AU12", "AU15", "AU20", "AU25")
OUTPUTS = EXPRESSIONS + VALENCE_AROUSAL + UNITS
"""The network's 17 outputs in the original's order (TSAV spec 3.1)."""

COLUMNS = {"expr": EXPRESSIONS, "va": VALENCE_AROUSAL, "au": UNITS}
"""The outputs of each task."""
LABELS = {"expr": ("expression",), "va": VALENCE_AROUSAL, "au": UNITS}
"""The label columns of each task."""


def needs(variant: str, mode: str, recipe: Mapping[str, Any]) -> Needs:
    """Faces with drawn landmarks, and sound: ``faithful`` cuts the original's windows from the waveform (TSAV spec 2.9)."""
    sound = "tsav_wave" if mode == "faithful" else "tsav_mel"
    return Needs(crops=(TEMPLATE,), features=(sound,), masks=(TEMPLATE,))


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
    needs=needs,
    schema=yaml.safe_load((Path(__file__).parent / "schema.yaml").read_text()),
)
