"""The audio features: identifiers, column names, origin. Import-light, read when the workflow is built."""

from dataclasses import dataclass

SEEDED = "seeded"
"""Given as weights: an untrained network with a fixed seed."""

OPENSMILE_NOTICE = (
    "Computed with openSMILE (audEERING GmbH), whose research licence covers private, research and educational use, "
    "also of the extracted values; commercial products need a licence from audEERING. "
    "Cite F. Eyben, M. Wöllmer, B. Schuller, openSMILE, ACM Multimedia 2010."
)
VGGISH_NOTICE = (
    "Architecture of S. Hershey et al., CNN Architectures for Large-Scale Audio Classification, ICASSP 2017."
)

# In HTK-compatible mode the values run c1 ... c12, c0, although the program's own headers count 0 ... 12 (LFAN spec 2.5).
_CEPSTRA = (*(f"c{k}" for k in range(1, 13)), "c0")
MFCC39 = (*_CEPSTRA, *(f"{c}_delta" for c in _CEPSTRA), *(f"{c}_delta_delta" for c in _CEPSTRA))

EGEMAPS23 = (
    "Loudness_sma3",
    "alphaRatio_sma3",
    "hammarbergIndex_sma3",
    "slope0-500_sma3",
    "slope500-1500_sma3",
    "spectralFlux_sma3",
    "mfcc1_sma3",
    "mfcc2_sma3",
    "mfcc3_sma3",
    "mfcc4_sma3",
    "F0semitoneFrom27.5Hz_sma3nz",
    "jitterLocal_sma3nz",
    "shimmerLocaldB_sma3nz",
    "HNRdBACF_sma3nz",
    "logRelF0-H1-H2_sma3nz",
    "logRelF0-H1-A3_sma3nz",
    "F1frequency_sma3nz",
    "F1bandwidth_sma3nz",
    "F1amplitudeLogRelF0_sma3nz",
    "F2frequency_sma3nz",
    "F2amplitudeLogRelF0_sma3nz",
    "F3frequency_sma3nz",
    "F3amplitudeLogRelF0_sma3nz",
)
VGGISH128 = tuple(f"vggish{k}" for k in range(128))


@dataclass(frozen=True)
class FeatureSpec:
    """A feature: one float32 row of ``dim`` named ``columns`` per decoded video frame.

    ``module`` computes it, ``rule`` (of :mod:`wildaffect.features.grid`) assigns rows to frames, ``weights`` is the
    manifest name of the network it needs (None: it needs none), ``notice`` what its use obliges to.
    """

    id: str
    dim: int
    columns: tuple[str, ...]
    source: str
    module: str
    rule: str
    weights: str | None
    description: str
    notice: str


def _pair(
    name: str,
    module: str,
    columns: tuple[str, ...],
    source: str,
    indexed: str,
    description: str,
    notice: str,
    weights: str | None = None,
) -> list[FeatureSpec]:
    """The feature by true timestamps and its twin by the published rule ``indexed``."""
    return [
        FeatureSpec(
            id=f"{name}{len(columns)}{suffix}",
            dim=len(columns),
            columns=columns,
            source=source,
            module=f"wildaffect.features.{module}",
            rule=rule,
            weights=weights,
            description=f"{description}; {assignment}",
            notice=notice,
        )
        for suffix, rule, assignment in (
            ("", "time", "rows chosen by the frames' true timestamps"),
            (".indexed", indexed, "rows chosen by frame index and average frame rate, as published"),
        )
    ]


FEATURES: dict[str, FeatureSpec] = {
    spec.id: spec
    for spec in (
        *_pair(
            "mfcc",
            "mfcc",
            MFCC39,
            "openSMILE",
            "index",
            "12 mel-frequency cepstra and c0 with deltas and accelerations (MFCC12_0_D_A)",
            OPENSMILE_NOTICE,
        ),
        *_pair(
            "egemaps",
            "egemaps",
            EGEMAPS23,
            "openSMILE",
            "index",
            "low-level descriptors of the extended Geneva minimalistic set, version 01a",
            OPENSMILE_NOTICE,
        ),
        *_pair(
            "vggish",
            "vggish_embedding",
            VGGISH128,
            "VGGish",
            "patch",
            "raw VGGish embedding of the 0.96 s that begin at the frame, before any ReLU, PCA or quantisation",
            VGGISH_NOTICE,
            weights="vggish",
        ),
    )
}
