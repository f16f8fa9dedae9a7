"""What the two modes of M3T do differently; card.md explains it."""

from dataclasses import dataclass

from wildaffect.features.frames import LOWEST_FPS
from wildaffect.systems.m3t.spec import sound

UNLABELLED = -5.0


@dataclass(frozen=True)
class Rules:
    """What the two modes do differently; ``feature`` is the sound's, the numbers are those of M3T spec 7.2.

    ``scaled``: the sound less its mean, by its deviation (3). ``nearest``: where pictures come from (18). ``equal_trials``: windows per
    trial, not per frame (21). ``unlabelled``: value of missing labels when resampling (6). ``mixed``: moments of the CCC (14).
    ``over_all``: divisor of the cross-entropy (16). ``padded``: the last window is short and padded (19). ``drifting``: frozen layers in
    training mode (25). ``rate_limit``: videos of fewer frames per second do not train the sound alone (24). ``probabilities``: predictions
    of expressions are such, not raw outputs.
    """

    feature: str
    scaled: bool
    nearest: bool
    equal_trials: bool
    unlabelled: float
    mixed: bool
    over_all: bool
    padded: bool
    drifting: bool
    rate_limit: float
    probabilities: bool


MODES = {
    "faithful": Rules(
        feature=sound("faithful"),
        scaled=False,
        nearest=False,
        equal_trials=True,
        unlabelled=UNLABELLED,
        mixed=True,
        over_all=True,
        padded=True,
        drifting=True,
        rate_limit=LOWEST_FPS,
        probabilities=False,
    ),
    "corrected": Rules(
        feature=sound("corrected"),
        scaled=True,
        nearest=True,
        equal_trials=False,
        unlabelled=float("nan"),
        mixed=False,
        over_all=False,
        padded=False,
        drifting=False,
        rate_limit=0.0,
        probabilities=True,
    ),
}
