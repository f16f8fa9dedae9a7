"""Whether a row of a feature shows what it is meant to show: ``valid/{video or trial}.npy`` beside the feature's own files.

A feature always has finite values, those of silence where there is no sound and of a black picture where there is no face; which rows these
are cannot be told from the values. So every writer of a feature with a row per frame, or of a signal, says it: bool (frames,).

==============  =====================================================================
sound           the instant that the frame's row begins at lies within the video's sound
``import.…``    the source had finite values for the frame
``embed.…``     the frame has a face
==============  =====================================================================

Silence inside the sound, and a gap in it, are sound: ``audio.flac`` says how much of that there is.
"""

import os
from pathlib import Path

import numpy as np

from wildaffect.errors import InputError
from wildaffect.files import atomic


def write_valid(feature: str | os.PathLike, valid: np.ndarray) -> None:
    """Write ``valid`` bool (frames,) beside the file ``feature``."""
    with atomic(_beside(feature)) as partial:
        np.save(partial, np.asarray(valid, bool))


def read_valid(feature: str | os.PathLike) -> np.ndarray:
    """Which rows of the file ``feature`` are valid, bool (frames,); of a signal, for which frames there is sound."""
    path = _beside(feature)
    try:
        return np.load(path)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not a readable .npy file ({error}). Delete {feature} and run again.") from error


def _beside(feature: str | os.PathLike) -> Path:
    path = Path(feature)
    return path.parent / "valid" / path.name
