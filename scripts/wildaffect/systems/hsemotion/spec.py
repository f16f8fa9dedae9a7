"""What hsemotion offers and needs; read while the workflow is planned, so no torch here."""

from wildaffect.corpus.label_spaces import EXPRESSIONS7, VALENCE_AROUSAL
from wildaffect.systems.types import Needs, PredictorSettings, Spec, Target

TEMPLATES = {"enet_b0": "cnu224", "mobilefacenet": "box112"}
"""Crop of each variant, in the size that its network takes."""
COLUMNS = (*VALENCE_AROUSAL, *EXPRESSIONS7, "Contempt")


def needs(variant: str, mode: str, settings: PredictorSettings) -> Needs:
    """The face's box."""
    return Needs(crops=(TEMPLATES[variant],))


SPEC = Spec(
    name="hsemotion",
    title="Valence, arousal and eight expressions of single faces, trained on AffectNet (EmotiEffLib)",
    variants=("enet_b0", "mobilefacenet"),
    targets={"mtl": Target("mtl", COLUMNS, {"va": VALENCE_AROUSAL, "expr": ("expression",)})},
    settings=PredictorSettings,
    needs=needs,
    modes=("corrected",),
    trained={"enet_b0": "enet_b0_8_va_mtl", "mobilefacenet": "mbf_va_mtl"},
)
