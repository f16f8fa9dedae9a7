"""The 65 low-level descriptors of the ComParE 2016 set every 10 ms, computed by openSMILE.

Björn Schuller et al., The INTERSPEECH 2016 Computational Paralinguistics Challenge, Interspeech 2016.
"""

from collections.abc import Iterator

import numpy as np

from wildaffect.features import opensmile_stream
from wildaffect.features.frames import Clock
from wildaffect.features.store import Rows, Spool, picked

PARAMETERS = opensmile_stream.parameters("ComParE_2016")


def descriptors(speech: Rows) -> Spool:
    """float32 (R, 65) of int16 (S,) at 16 kHz; row r starts at r * 10 ms. Silence gives finite values."""
    levels = "is13_lld_nzsmo;is13_lldA_smo;is13_lldB_smo"
    return opensmile_stream.descriptors(speech, 65, "compare.conf", levels, "compare/ComParE_2016_core.lld.conf.inc")


def frame_values(speech: Rows, clock: Clock) -> Iterator[np.ndarray]:
    """float32 (frames, 65) in blocks: the rows of :func:`descriptors` that belong to the frames."""
    rows = descriptors(speech)
    return picked(rows, clock.rows(len(rows)))
