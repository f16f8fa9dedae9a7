"""Names of the columns of all audio features. Import-light."""

from itertools import product

# In HTK-compatible mode the values run c1 ... c12, c0, although the program's own headers count 0 ... 12 (LFAN spec 2.5).
_CEPSTRA = (*(f"c{k}" for k in range(1, 13)), "c0")
MFCC39 = (*_CEPSTRA, *(f"{c}_delta" for c in _CEPSTRA), *(f"{c}_delta_delta" for c in _CEPSTRA))

_SPECTRAL = ("alphaRatio", "hammarbergIndex", "slope0-500", "slope500-1500", "spectralFlux")
_MFCC = tuple(f"mfcc{k}" for k in range(1, 5))
_VOICE = ("jitterLocal", "shimmerLocaldB", "HNRdBACF", "logRelF0-H1-H2", "logRelF0-H1-A3")
_F0 = "F0semitoneFrom27.5Hz"
_FORMANTS = tuple(f"F{k}{part}" for k in (1, 2, 3) for part in ("frequency", "bandwidth", "amplitudeLogRelF0"))

EGEMAPS25 = (
    *(f"{name}_sma3" for name in ("Loudness", *_SPECTRAL, *_MFCC)),
    *(f"{name}_sma3nz" for name in (_F0, *_VOICE, *_FORMANTS)),
)
# Version 01a lacks the bandwidths of the second and third formant.
EGEMAPS23 = tuple(name for name in EGEMAPS25 if not name.startswith(("F2bandwidth", "F3bandwidth")))

_MEAN = ("amean", "stddevNorm")
_CONTOUR = (
    *_MEAN,
    *(f"percentile{k}.0" for k in (20, 50, 80)),
    "pctlrange0-2",
    *(f"{part}{way}Slope" for way in ("Rising", "Falling") for part in ("mean", "stddev")),
)
_VOICED = ("alphaRatioV", "hammarbergIndexV", "slopeV0-500", "slopeV500-1500", "spectralFluxV")
_UNVOICED = tuple(name.replace("V", "UV") for name in _VOICED)
FUNCTIONALS88 = (
    *(f"{name}_{part}" for name, part in product((f"{_F0}_sma3nz", "loudness_sma3"), _CONTOUR)),
    *(f"{name}_sma3_{part}" for name, part in product(("spectralFlux", *_MFCC), _MEAN)),
    *(f"{name}_sma3nz_{part}" for name, part in product((*_VOICE, *_FORMANTS), _MEAN)),
    *(f"{name}_sma3nz_{part}" for name, part in product((*_VOICED, *(f"{name}V" for name in _MFCC)), _MEAN)),
    *(f"{name}_sma3nz_amean" for name in _UNVOICED),
    "loudnessPeaksPerSec",
    "VoicedSegmentsPerSec",
    "MeanVoicedSegmentLengthSec",
    "StddevVoicedSegmentLengthSec",
    "MeanUnvoicedSegmentLength",
    "StddevUnvoicedSegmentLength",
    "equivalentSoundLevel_dBp",
)

COMPARE65 = (
    *(
        f"{name}_sma"
        for name in ("F0final", "voicingFinalUnclipped", "jitterLocal", "jitterDDP", "shimmerLocal", "logHNR")
    ),
    *(f"{name}_sma" for name in ("audspec_lengthL1norm", "audspecRasta_lengthL1norm", "pcm_RMSenergy", "pcm_zcr")),
    *(f"audSpec_Rfilt_sma[{band}]" for band in range(26)),
    *(f"pcm_fftMag_fband{band}_sma" for band in ("250-650", "1000-4000")),
    *(f"pcm_fftMag_spectralRollOff{share}_sma" for share in ("25.0", "50.0", "75.0", "90.0")),
    *(f"pcm_fftMag_spectral{name}_sma" for name in ("Flux", "Centroid", "Entropy", "Variance", "Skewness", "Kurtosis")),
    *(f"pcm_fftMag_{name}_sma" for name in ("spectralSlope", "psySharpness", "spectralHarmonicity")),
    *(f"mfcc_sma[{k}]" for k in range(1, 15)),
)

VGGISH128 = tuple(f"vggish{k}" for k in range(128))
VGGISH_PCA128 = tuple(f"component{k}" for k in range(128))
MEL64 = tuple(f"mel{k}" for k in range(64))
MEL128 = tuple(f"mel{k}" for k in range(128))
M3T200 = tuple(f"row{row}_mel{band}" for row in range(5) for band in range(40))
