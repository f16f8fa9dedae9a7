"""What NTUA offers and needs; read while the workflow is planned, so no torch here."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from wildaffect.systems.interface import Needs, Spec, Target

EXPRESSIONS = ("Neutral", "Anger", "Disgust", "Fear", "Happiness", "Sadness", "Surprise")
VALENCE_AROUSAL = ("valence", "arousal")
STREAMS = {"visual": ("face", "body", "context"), "aural": ("audio",), "face": ("face",)}
"""Streams of each variant, in the order in which their features are joined (NTUA spec 3.3)."""
SOUND = "ntua_mel"
# The published body stream sees the whole picture (NTUA spec 2.6).
BODY = {"faithful": "ntua_frame112", "corrected": "ntua_body112"}


def templates(variant: str, mode: str, recipe: Mapping[str, Any]) -> dict[str, str]:
    """The crop template of each picture stream of a variant, without those that ``recipe`` leaves out."""
    of_stream = {"face": "arcface112", "body": BODY[mode], "context": "ntua_context112"}
    return {stream: of_stream[stream] for stream in streams(variant, recipe) if stream in of_stream}


def streams(variant: str, recipe: Mapping[str, Any]) -> tuple[str, ...]:
    """Streams of a variant; ``recipe`` may leave some of ``visual`` out."""
    return tuple(name for name in STREAMS[variant] if variant != "visual" or name in recipe["streams"])


def needs(variant: str, mode: str, recipe: Mapping[str, Any]) -> Needs:
    """Pictures of the face, the body and the scene, or sound."""
    return Needs(
        crops=tuple(templates(variant, mode, recipe).values()), features=(SOUND,) if variant == "aural" else ()
    )


SPEC = Spec(
    name="ntua",
    title="Face, body, context and sound (NTUA-CVSP, ABAW2)",
    variants=tuple(STREAMS),
    targets={
        "va": Target("va", VALENCE_AROUSAL, {"va": VALENCE_AROUSAL}),
        "expr": Target("expr", EXPRESSIONS, {"expr": ("expression",)}),
    },
    needs=needs,
    schema=yaml.safe_load((Path(__file__).parent / "schema.yaml").read_text()),
)
