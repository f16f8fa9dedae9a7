"""Where a subject's 68 landmarks lie when it shows a valence and an arousal.

Coordinates are pixels of the enlarged portrait, in which the eyes are about 66 pixels apart. The landmarks are
numbered as usual: 0-16 jaw, 17-26 brows, 27-35 nose, 36-47 eyes, 48-59 outer lips, 60-67 inner lips.
"""

from dataclasses import dataclass

import numpy as np

PORTRAIT_SMILE = 0.5
"""The portrait smiles: it is drawn as this valence."""

CORNER_LIFT = 10.0  # height that a lip corner gains per unit of valence
MOUTH_WIDTH = 5.0  # distance that a lip corner moves outwards per unit of valence
CLOSED, OPEN = 1.5, 25.0  # distance of the inner lips at arousal -1 and +1
BROW_RAISE = 5.0  # per unit of arousal
EYE_OPENING = 2.0  # per unit of arousal

_JAW, _MOUTH = slice(0, 17), slice(48, 68)
_UPPER_LIP, _LOWER_LIP = [49, 50, 51, 52, 53, 61, 62, 63], [55, 56, 57, 58, 59, 65, 66, 67]
_UPPER_LIDS, _LOWER_LIDS = [37, 38, 43, 44], [40, 41, 46, 47]


@dataclass(frozen=True)
class Physique:
    """How one subject's face differs from the portrait; factors are near 1, lengths in pixels."""

    width: float  # of the face
    length: float  # of the face below the eyes
    nose: float  # width
    mouth: float  # width
    brows: float  # height added at rest
    smile: float  # valence added at rest: some people always look a little pleased
    vividness: float  # how strongly affect shows


def draw_physique(rng: np.random.Generator) -> Physique:
    """A random physique."""
    return Physique(
        width=rng.uniform(0.94, 1.06),
        length=rng.uniform(0.95, 1.04),
        nose=rng.uniform(0.85, 1.2),
        mouth=rng.uniform(0.9, 1.1),
        brows=rng.uniform(-2, 2),
        smile=rng.uniform(-0.15, 0.15),
        vividness=rng.uniform(0.9, 1.05),
    )


def landmarks(rest: np.ndarray, physique: Physique, valence: float, arousal: float) -> np.ndarray:
    """The portrait's landmarks ``rest`` (68,2) moved to show ``valence`` and ``arousal``, float64 (68,2)."""
    valence, arousal = physique.vividness * valence + physique.smile, physique.vividness * arousal
    points = rest.copy()
    x, y = points.T

    mouth_x = rest[_MOUTH, 0].mean()
    reach = np.clip((rest[:, 0] - mouth_x) / (rest[54, 0] - rest[48, 0]) * 2, -1, 1)  # -1 and 1 at the lip corners
    smile = valence - PORTRAIT_SMILE
    bend = np.abs(reach[_MOUTH]) ** 1.5
    x[_MOUTH] += reach[_MOUTH] * (MOUTH_WIDTH * smile + (physique.mouth - 1) * 34)
    y[_MOUTH] -= smile * (CORNER_LIFT * bend - 2 * (1 - bend))

    gap = rest[66, 1] - rest[62, 1]
    opening = CLOSED + (OPEN - CLOSED) * np.clip((arousal + 1) / 2, 0, 1.05) - gap
    bow = np.sqrt(1 - reach**2)  # the corners stay, the middle opens
    y[_UPPER_LIP] -= 0.25 * opening * bow[_UPPER_LIP]
    y[_LOWER_LIP] += 0.75 * opening * bow[_LOWER_LIP]
    y[_JAW] += 0.55 * opening * np.sin(np.pi * np.arange(17) / 16) ** 3

    y[17:27] -= BROW_RAISE * arousal + physique.brows
    y[[20, 21, 22, 23]] -= 2.5 * valence
    x[[20, 21]] -= 1.5 * valence
    x[[22, 23]] += 1.5 * valence
    y[_UPPER_LIDS] -= EYE_OPENING * arousal
    y[_LOWER_LIDS] += 0.7 * arousal - 1.2 * smile

    middle, eyes = rest[27:31, 0].mean(), rest[36:48, 1].mean()
    x[31:36] += (physique.nose - 1) * (rest[31:36, 0] - middle)
    x += (physique.width - 1) * (x - middle)
    y += (physique.length - 1) * np.maximum(y - eyes, 0)
    return points
