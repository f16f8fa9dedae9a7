"""Bodies guessed from faces, where nobody looks for people: no pose network's weights, nor OpenPose's files.

The box of a face is taken to be as wide as a head. A body is then three heads wide (over the shoulders) and six high (of somebody who
sits, without the legs), from the top of the face's box downwards and centred under it: the means of the 1988 survey of US Army personnel
are 3.2 and 6.0 head breadths for men, 3.0 and 5.9 for women (C. C. Gordon et al., technical report NATICK/TR-89/044, 1989). Posture,
turning, distance and the habits of the face detector do not enter, so this is **a replacement and no detection**; in close-ups, where
a body reaches out of the picture, it matters little.
"""

import numpy as np

ACROSS, DOWN = 3.0, 6.0
RULE = "guessed from the face's box: 3 of its sides wide, 6 high, from its top downwards"


def body_boxes(faces: np.ndarray) -> np.ndarray:
    """Boxes of bodies float32 (N, 4) from those of faces (N, 4), NaN where these are; they may reach out of the picture."""
    x0, y0, x1, y1 = np.asarray(faces, np.float64).T
    side, middle = np.sqrt((x1 - x0) * (y1 - y0)), (x0 + x1) / 2
    half = side * ACROSS / 2
    return np.stack([middle - half, y0, middle + half, y0 + DOWN * side], axis=1).astype(np.float32)
