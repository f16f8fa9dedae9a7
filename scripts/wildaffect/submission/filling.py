"""Values for every wanted frame of a trial from the frames that were predicted, each by a named rule."""

import numpy as np

MEANING = {
    "predicted": "the frame's own prediction",
    "interpolated": "frame without prediction: linear between its neighbours; before the first or after the last, the nearest",
    "held": "frame without prediction, for classes and units: the latest prediction before it, or the first one",
    "repeat_last": "more frames wanted than decoded: the last prediction again",
    "constant": "trial without any prediction: zeros (the class numbered 0)",
}
RULES = tuple(MEANING)


def fill(frames: np.ndarray, values: np.ndarray, wanted: np.ndarray, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Values float64 (wanted, columns) and the index into ``RULES`` for each wanted frame, int64.

    ``frames``: int64 ascending, one per row of the trial's predictions. ``values``: float64 (rows, columns), NaN in rows without
    prediction. ``wanted``: int64 in any order. ``kind``: ``values``, ``classes`` or ``units``.
    """
    has = ~np.isnan(values).any(axis=1)
    known, present = frames[has], values[has]
    if not known.size:
        return np.zeros((wanted.size, values.shape[1])), np.full(wanted.size, RULES.index("constant"))
    before = np.maximum(np.searchsorted(known, wanted, side="right") - 1, 0)
    filled = present[before]
    gap = "held"
    if kind == "values":
        filled = np.column_stack([np.interp(wanted, known, column) for column in present.T])
        gap = "interpolated"
    rules = np.where(known[before] == wanted, RULES.index("predicted"), RULES.index(gap))
    beyond = wanted > frames[-1]
    filled[beyond] = present[-1]
    return filled, np.where(beyond, RULES.index("repeat_last"), rules)
