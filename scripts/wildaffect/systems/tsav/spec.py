"""What TSAV offers and needs; read while the workflow is planned, so no torch here."""

from wildaffect.corpus.label_spaces import AU8, EXPRESSIONS7, VALENCE_AROUSAL
from wildaffect.systems.tsav.settings import TsavSettings
from wildaffect.systems.types import Needs, Spec, Target

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
