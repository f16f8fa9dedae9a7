"""The 25 low-level descriptors of eGeMAPS v02 every 10 ms, computed by openSMILE: version 01a and two formant bandwidths.

Florian Eyben et al., The Geneva Minimalistic Acoustic Parameter Set (GeMAPS), IEEE Trans. Affective Computing 2016.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from wildaffect.features import opensmile_stream
from wildaffect.features.frames import BY_INDEX, Clock
from wildaffect.features.spec import pair
from wildaffect.features.store import Rows, Spool, picked

SPECTRAL = ("alphaRatio", "hammarbergIndex", "slope0-500", "slope500-1500", "spectralFlux")
MFCC = tuple(f"mfcc{k}" for k in range(1, 5))
F0 = "F0semitoneFrom27.5Hz"
VOICE = ("jitterLocal", "shimmerLocaldB", "HNRdBACF", "logRelF0-H1-H2", "logRelF0-H1-A3")
FORMANTS = tuple(f"F{k}{part}" for k in (1, 2, 3) for part in ("frequency", "bandwidth", "amplitudeLogRelF0"))
COLUMNS = (
    *(f"{name}_sma3" for name in ("Loudness", *SPECTRAL, *MFCC)),
    *(f"{name}_sma3nz" for name in (F0, *VOICE, *FORMANTS)),
)
FEATURES = pair(
    __name__,
    columns=COLUMNS,
    source="openSMILE",
    indexed=BY_INDEX,
    description="low-level descriptors of the extended Geneva minimalistic set, version 02",
    notice=opensmile_stream.NOTICE,
)
_CONFIGURATION = Path(__file__).with_name("egemaps.conf")
_BASIC = "gemaps/v01b/GeMAPSv01b_core.lld.conf.inc"
_EXTENDED = "egemaps/v02/eGeMAPSv02_core.lld.conf.inc"


def parameters() -> dict[str, Any]:
    """What ``about.json`` says about the computation."""
    return opensmile_stream.parameters("eGeMAPSv02")


def descriptors(speech: Rows) -> Spool:
    """float32 (R, 25) of int16 (S,) at 16 kHz; row r starts at r * 10 ms. Silence gives finite values."""
    levels = "egemapsv02_lldsetE_smo;egemapsv02_lldsetF_smo"
    return opensmile_stream.descriptors(speech, len(COLUMNS), _CONFIGURATION, levels, _BASIC, _EXTENDED)


def frame_values(speech: Rows, clock: Clock) -> Iterator[np.ndarray]:
    """The rows of `descriptors` that belong to the frames, float32 (frames, 25) in blocks."""
    rows = descriptors(speech)
    return picked(rows, clock.rows(len(rows)))
