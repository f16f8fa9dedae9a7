"""The 23 low-level descriptors of eGeMAPS v01a every 10 ms, computed by openSMILE (LFAN spec 2.6).

Florian Eyben et al., The Geneva Minimalistic Acoustic Parameter Set (GeMAPS), IEEE Trans. Affective Computing 2016.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from wildaffect.features import opensmile_stream
from wildaffect.features.audio import egemaps25
from wildaffect.features.frames import BY_INDEX, Clock
from wildaffect.features.spec import pair
from wildaffect.features.store import Rows, Spool, picked

# Version 02 without the bandwidths of the second and third formant.
COLUMNS = tuple(name for name in egemaps25.COLUMNS if not name.startswith(("F2bandwidth", "F3bandwidth")))
FEATURES = pair(
    __name__,
    columns=COLUMNS,
    source="openSMILE",
    indexed=BY_INDEX,
    description="low-level descriptors of the extended Geneva minimalistic set, version 01a",
    notice=opensmile_stream.NOTICE,
)
_CONFIGURATION = Path(__file__).with_name("egemaps.conf")
_BASIC = "gemaps/v01a/GeMAPSv01a_core.lld.conf.inc"
_EXTENDED = "egemaps/v01a/eGeMAPSv01a_core.lld.conf.inc"


def parameters() -> dict[str, Any]:
    """What ``about.json`` says about the computation."""
    return opensmile_stream.parameters("eGeMAPSv01a")


def descriptors(speech: Rows) -> Spool:
    """float32 (R, 23) of int16 (S,) at 16 kHz; row r starts at r * 10 ms. Silence gives finite values."""
    levels = "egemapsv01a_lldsetE_smo;gemapsv01a_lldsetF_smo"
    return opensmile_stream.descriptors(speech, len(COLUMNS), _CONFIGURATION, levels, _BASIC, _EXTENDED)


def frame_values(speech: Rows, clock: Clock) -> Iterator[np.ndarray]:
    """The rows of `descriptors` that belong to the frames, float32 (frames, 23) in blocks."""
    rows = descriptors(speech)
    return picked(rows, clock.rows(len(rows)))
