"""The 25 low-level descriptors of eGeMAPS v02 every 10 ms, computed by openSMILE: version 01a and two formant bandwidths.

Florian Eyben et al., The Geneva Minimalistic Acoustic Parameter Set (GeMAPS), IEEE Trans. Affective Computing 2016.
"""

from collections.abc import Iterator

import numpy as np

from wildaffect.features import opensmile_stream
from wildaffect.features.frames import Clock
from wildaffect.features.store import Rows, Spool, picked

PARAMETERS = opensmile_stream.parameters("eGeMAPSv02")
_BASIC = "gemaps/v01b/GeMAPSv01b_core.lld.conf.inc"
_EXTENDED = "egemaps/v02/eGeMAPSv02_core.lld.conf.inc"


def descriptors(speech: Rows) -> Spool:
    """float32 (R, 25) of int16 (S,) at 16 kHz; row r starts at r * 10 ms. Silence gives finite values."""
    levels = "egemapsv02_lldsetE_smo;egemapsv02_lldsetF_smo"
    return opensmile_stream.descriptors(speech, 25, "egemaps.conf", levels, _BASIC, _EXTENDED)


def frame_values(speech: Rows, clock: Clock) -> Iterator[np.ndarray]:
    """float32 (frames, 25) in blocks: the rows of :func:`descriptors` that belong to the frames."""
    rows = descriptors(speech)
    return picked(rows, clock.rows(len(rows)))
