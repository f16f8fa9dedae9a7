"""The 65 low-level descriptors of the ComParE 2016 set every 10 ms, computed by openSMILE.

Björn Schuller et al., The INTERSPEECH 2016 Computational Paralinguistics Challenge, Interspeech 2016.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from wildaffect.features import opensmile_stream
from wildaffect.features.frames import BY_INDEX, Clock
from wildaffect.features.spec import pair
from wildaffect.features.store import Rows, Spool, picked

COLUMNS = (
    *(
        f"{name}_sma"
        for name in ("F0final", "voicingFinalUnclipped", "jitterLocal", "jitterDDP", "shimmerLocal", "logHNR")
    ),
    *(f"{name}_sma" for name in ("audspec_lengthL1norm", "audspecRasta_lengthL1norm", "pcm_RMSenergy", "pcm_zcr")),
    *(f"audSpec_Rfilt_sma[{band}]" for band in range(26)),
    *(f"pcm_fftMag_fband{band}_sma" for band in ("250-650", "1000-4000")),
    *(f"pcm_fftMag_spectralRollOff{percent}_sma" for percent in ("25.0", "50.0", "75.0", "90.0")),
    *(f"pcm_fftMag_spectral{name}_sma" for name in ("Flux", "Centroid", "Entropy", "Variance", "Skewness", "Kurtosis")),
    *(f"pcm_fftMag_{name}_sma" for name in ("spectralSlope", "psySharpness", "spectralHarmonicity")),
    *(f"mfcc_sma[{k}]" for k in range(1, 15)),
)
FEATURES = pair(
    __name__,
    columns=COLUMNS,
    source="openSMILE",
    indexed=BY_INDEX,
    description="low-level descriptors of the ComParE 2016 set",
    notice=opensmile_stream.NOTICE,
)
_CONFIGURATION = Path(__file__).with_name("compare.conf")
_LEVELS = "is13_lld_nzsmo;is13_lldA_smo;is13_lldB_smo"
_DESCRIPTORS = "compare/ComParE_2016_core.lld.conf.inc"


def parameters() -> dict[str, Any]:
    """What ``about.json`` says about the computation."""
    return opensmile_stream.parameters("ComParE_2016")


def descriptors(speech: Rows) -> Spool:
    """float32 (R, 65) of int16 (S,) at 16 kHz; row r starts at r * 10 ms. Silence gives finite values."""
    return opensmile_stream.descriptors(speech, len(COLUMNS), _CONFIGURATION, _LEVELS, _DESCRIPTORS)


def frame_values(speech: Rows, clock: Clock) -> Iterator[np.ndarray]:
    """The rows of `descriptors` that belong to the frames, float32 (frames, 65) in blocks."""
    rows = descriptors(speech)
    return picked(rows, clock.rows(len(rows)))
