"""What LFAN offers and needs; read while the workflow is planned, so no torch here."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from wildaffect.systems.interface import Needs, Spec, Target

FEATURES = ("vggish128", "mfcc39")


def needs(variant: str, mode: str, recipe: Mapping[str, Any]) -> Needs:
    """Crops and features of a variant; ``faithful`` reads features by the original's frame-index rule (LFAN spec 2.5, 2.7)."""
    suffix = ".indexed" if mode == "faithful" else ""
    audio = FEATURES if variant == "multimodal" else ()
    return Needs(crops=("lfan48",), features=tuple(name + suffix for name in audio))


SPEC = Spec(
    name="lfan",
    title="Audio-visual leader-follower attentive fusion (FlyingPigs, ABAW2)",
    variants=("unimodal", "multimodal"),
    targets={name: Target(name, (name,), {"va": (name,)}) for name in ("valence", "arousal")},
    needs=needs,
    schema=yaml.safe_load((Path(__file__).parent / "schema.yaml").read_text()),
)
