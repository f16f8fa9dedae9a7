"""What NTUA offers and needs; read while the workflow is planned, so no torch here."""

from wildaffect.corpus.label_spaces import EXPRESSIONS7, VALENCE_AROUSAL
from wildaffect.systems.ntua.settings import NtuaSettings
from wildaffect.systems.types import Needs, Spec, Target

STREAMS = {"visual": ("face", "body", "context"), "aural": ("audio",), "face": ("face",)}
"""Streams of each variant, in the order in which their features are joined (NTUA spec 3.3)."""
AUDIO = "ntua_mel"
# The published body stream has the whole frame (NTUA spec 2.6).
BODY = {"faithful": "ntua_frame112", "corrected": "ntua_body112"}


def templates(variant: str, mode: str, settings: NtuaSettings) -> dict[str, str]:
    """The crop template of each image stream of a variant, without those that ``settings`` leave out."""
    of_stream = {"face": "arcface112", "body": BODY[mode], "context": "ntua_context112"}
    return {stream: of_stream[stream] for stream in streams(variant, settings) if stream in of_stream}


def streams(variant: str, settings: NtuaSettings) -> tuple[str, ...]:
    """Streams of a variant; ``settings`` may leave some of ``visual`` out."""
    return tuple(name for name in STREAMS[variant] if variant != "visual" or name in settings.streams)


def needs(variant: str, mode: str, settings: NtuaSettings) -> Needs:
    """Crops of the face, the body and the scene, or audio."""
    return Needs(
        crops=tuple(templates(variant, mode, settings).values()), features=(AUDIO,) if variant == "aural" else ()
    )


SPEC = Spec(
    name="ntua",
    title="Face, body, context and audio (NTUA-CVSP, ABAW2)",
    variants=tuple(STREAMS),
    targets={
        "va": Target("va", VALENCE_AROUSAL, {"va": VALENCE_AROUSAL}),
        "expr": Target("expr", EXPRESSIONS7, {"expr": ("expression",)}),
    },
    settings=NtuaSettings,
    needs=needs,
    small={
        "batch": 2,
        "duration": 8,
        "network": {
            "face": "resnet18",
            "scene": "resnet18",
            "width": 0.0625,
            "hidden": 8,
            "image_pooling": 4,
            "mel_pooling": 16,
        },
    },
)
