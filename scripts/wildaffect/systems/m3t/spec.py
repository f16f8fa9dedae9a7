"""What M3T offers and needs; read while the workflow is planned, so no torch here."""

from wildaffect.corpus.label_spaces import EXPRESSIONS7, VALENCE_AROUSAL
from wildaffect.systems.m3t.checkpoint import VARIANTS
from wildaffect.systems.m3t.settings import M3tSettings
from wildaffect.systems.types import Needs, Spec, Target

TEMPLATE = "m3t256"
ZEROS = "zeros"
"""The declared replacement of face vectors that are not at hand."""
OUTPUTS = EXPRESSIONS7 + VALENCE_AROUSAL
"""The nine outputs in the original's order (M3T spec 3.4); models with two have the last two."""


def audio_feature(mode: str) -> str:
    """``faithful`` reads the mel rows by frame index, which fall behind the video (M3T spec 2.5)."""
    return "m3t_mel.indexed" if mode == "faithful" else "m3t_mel"


def needs(variant: str, mode: str, settings: M3tSettings) -> Needs:
    """Faces and the face vectors that the settings name, and audio, as far as the variant has them."""
    modality = VARIANTS[variant].modality
    audio = () if modality == "visual" else (audio_feature(mode),)
    if modality == "audio":
        return Needs(features=audio)
    vectors = dict.fromkeys([settings.face_vectors, settings.arousal_vectors])
    return Needs(crops=(TEMPLATE,), features=(*(name for name in vectors if name not in (None, ZEROS)), *audio))


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
