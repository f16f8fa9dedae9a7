"""What M3T offers and needs; read while the workflow is planned, so no torch here."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from wildaffect.systems.interface import Needs, Spec, Target
from wildaffect.systems.m3t.checkpoint import VARIANTS

TEMPLATE = "m3t256"
ZEROS = "zeros"
"""The declared replacement of face vectors that nobody has."""
EXPRESSIONS = ("Neutral", "Anger", "Disgust", "Fear", "Happiness", "Sadness", "Surprise")
VALENCE_AROUSAL = ("valence", "arousal")
OUTPUTS = EXPRESSIONS + VALENCE_AROUSAL
"""The nine outputs in the original's order (M3T spec 3.4); models with two have the last two."""


def sound(mode: str) -> str:
    """``faithful`` reads the mel rows by frame index, which fall behind the picture (M3T spec 2.5)."""
    return "m3t_mel.indexed" if mode == "faithful" else "m3t_mel"


def needs(variant: str, mode: str, recipe: Mapping[str, Any]) -> Needs:
    """Faces and the face vectors that the recipe names, and sound, as far as the variant has them."""
    modality = VARIANTS[variant].modality
    heard = () if modality == "visual" else (sound(mode),)
    if modality == "audio":
        return Needs(crops=(), features=heard)
    vectors = dict.fromkeys([recipe["face_vectors"], recipe["arousal_vectors"]])
    return Needs(crops=(TEMPLATE,), features=(*(name for name in vectors if name not in (None, ZEROS)), *heard))


SPEC = Spec(
    name="m3t",
    title="Multi-modal multi-task valence and arousal (ICT-VIPL, ABAW 2020)",
    variants=tuple(VARIANTS),
    targets={
        "va": Target("va", VALENCE_AROUSAL, {"va": VALENCE_AROUSAL}),
        "mtl": Target("mtl", OUTPUTS, {"va": VALENCE_AROUSAL, "expr": ("expression",)}),
    },
    needs=needs,
    schema=yaml.safe_load((Path(__file__).parent / "schema.yaml").read_text()),
    narrowed={"audio_va": ("va",)},
)
