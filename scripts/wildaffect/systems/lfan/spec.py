"""What LFAN offers and needs; read while the workflow is planned, so no torch here."""

from wildaffect.corpus.label_spaces import VALENCE_AROUSAL
from wildaffect.systems.lfan.settings import LfanSettings
from wildaffect.systems.types import Needs, Spec, Target

FEATURES = ("vggish128", "mfcc39")


def needs(variant: str, mode: str, settings: LfanSettings) -> Needs:
    """Crops and features of a variant; ``faithful`` reads features by the original's frame-index rule (LFAN spec 2.5, 2.7)."""
    suffix = ".indexed" if mode == "faithful" else ""
    audio = FEATURES if variant == "multimodal" else ()
    return Needs(crops=("lfan48",), features=tuple(name + suffix for name in audio))


SPEC = Spec(
    name="lfan",
    title="Audio-visual leader-follower attentive fusion (FlyingPigs, ABAW2)",
    variants=("unimodal", "multimodal"),
    targets={name: Target(name, (name,), {"va": (name,)}) for name in VALENCE_AROUSAL},
    settings=LfanSettings,
    needs=needs,
    small={
        "window": 40,
        "hop": 20,
        "batch": 2,
        "backbone": {"units": [1, 1, 1, 1], "channels": [8, 8, 8, 8, 8], "embedding": 16, "pooling": 4},
    },
)
