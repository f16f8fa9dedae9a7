"""The audio features: identifiers, column names, origin. Import-light, read when the workflow is built."""

from dataclasses import dataclass

from wildaffect.features.columns import (
    COMPARE65,
    EGEMAPS23,
    EGEMAPS25,
    FUNCTIONALS88,
    M3T200,
    MEL64,
    MEL128,
    MFCC39,
    VGGISH128,
    VGGISH_PCA128,
)

SEEDED = "seeded"
"""Given as weights: an untrained network with a fixed seed."""
IMPORT_PREFIX = "import."
"""How the ids of features begin that were computed elsewhere."""
EMBED_PREFIX = "embed."
"""How the ids of features begin that are vectors of a frozen image network."""

OPENSMILE_NOTICE = (
    "Computed with openSMILE (audEERING GmbH), whose research licence covers private, research and educational use, "
    "also of the extracted values; commercial products need a licence from audEERING. "
    "Cite F. Eyben, M. Wöllmer, B. Schuller, openSMILE, ACM Multimedia 2010."
)
VGGISH_NOTICE = (
    "Architecture of S. Hershey et al., CNN Architectures for Large-Scale Audio Classification, ICASSP 2017."
)
OWN_NOTICE = "Computed by this project; no condition beyond those of the recording."


@dataclass(frozen=True)
class FeatureSpec:
    """A feature: one row, named ``columns``, per decoded video frame, or a signal on its own clock.

    ``module`` computes it from the sound at ``rate_hz``; ``rule`` says how its rows belong to frames (keys of
    :data:`~wildaffect.features.frames.MEANING`). ``rows_per_second`` is None for one row per frame; else the array has so many rows per
    second from the time of frame 0 on, and whoever reads it cuts what a frame needs. ``weights`` is the manifest name of the network it
    needs (None: it needs none), ``pca`` that of the components its vectors are turned into, ``notice`` what its use obliges to.
    """

    id: str
    columns: tuple[str, ...]
    source: str
    module: str
    rule: str
    description: str
    notice: str
    weights: str | None = None
    pca: str | None = None
    rate_hz: int = 16_000
    rows_per_second: float | None = None
    dtype: str = "float32"

    @property
    def dim(self) -> int:
        """Number of columns."""
        return len(self.columns)


def rows_per_second(feature: str) -> float | None:
    """None for a feature with one row per decoded frame (imports and embeddings too), else the rate of its rows."""
    return FEATURES[feature].rows_per_second if feature in FEATURES else None


def of_trial(feature: str) -> bool:
    """The feature is made for each trial, because it shows one person; the others are made for each video."""
    return feature.startswith((IMPORT_PREFIX, EMBED_PREFIX))


def _pair(
    name: str,
    columns: tuple[str, ...],
    source: str,
    indexed: str,
    description: str,
    notice: str,
    weights: str | None = None,
    by_time: str = "time",
    pca: str | None = None,
) -> list[FeatureSpec]:
    """The feature by true timestamps and its twin by the published rule ``indexed``."""
    return [
        FeatureSpec(
            id=f"{name}{suffix}",
            columns=columns,
            source=source,
            module=f"wildaffect.features.audio.{name}",
            rule=rule,
            weights=weights,
            pca=pca,
            description=f"{description}; {assignment}",
            notice=notice,
        )
        for suffix, rule, assignment in (
            ("", by_time, "rows chosen by the frames' true timestamps"),
            (".indexed", indexed, "rows chosen by frame index and average frame rate, as published"),
        )
    ]


def _signal(
    name: str, columns: tuple[str, ...], rows_per_second: float, description: str, dtype: str = "float32"
) -> FeatureSpec:
    """A signal of the sound at 44.1 kHz."""
    return FeatureSpec(
        id=name,
        columns=columns,
        source="own",
        module=f"wildaffect.features.audio.{name}",
        rule="signal",
        description=description,
        notice=OWN_NOTICE,
        rate_hz=44_100,
        rows_per_second=rows_per_second,
        dtype=dtype,
    )


FEATURES: dict[str, FeatureSpec] = {
    spec.id: spec
    for spec in (
        *_pair(
            "mfcc39",
            MFCC39,
            "openSMILE",
            "index",
            "12 mel-frequency cepstra and c0 with deltas and accelerations (MFCC12_0_D_A)",
            OPENSMILE_NOTICE,
        ),
        *_pair(
            "egemaps23",
            EGEMAPS23,
            "openSMILE",
            "index",
            "low-level descriptors of the extended Geneva minimalistic set, version 01a",
            OPENSMILE_NOTICE,
        ),
        *_pair(
            "egemaps25",
            EGEMAPS25,
            "openSMILE",
            "index",
            "low-level descriptors of the extended Geneva minimalistic set, version 02",
            OPENSMILE_NOTICE,
        ),
        FeatureSpec(
            id="egemaps88",
            columns=FUNCTIONALS88,
            source="openSMILE",
            module="wildaffect.features.audio.egemaps88",
            rule="window",
            description="functionals of the extended Geneva minimalistic set, version 02, over 3 s around the frame",
            notice=OPENSMILE_NOTICE,
        ),
        *_pair(
            "compare65",
            COMPARE65,
            "openSMILE",
            "index",
            "low-level descriptors of the ComParE 2016 set",
            OPENSMILE_NOTICE,
        ),
        *_pair(
            "vggish128",
            VGGISH128,
            "VGGish",
            "patch",
            "raw VGGish embedding of the 0.96 s that begin at the frame, before any ReLU, PCA or quantisation",
            VGGISH_NOTICE,
            weights="vggish",
        ),
        *_pair(
            "vggish128_quantised",
            VGGISH_PCA128,
            "VGGish",
            "patch",
            "VGGish embedding of the 0.96 s that begin at the frame as AudioSet publishes it: ReLU, PCA, 8 bits",
            VGGISH_NOTICE,
            weights="vggish",
            pca="vggish_pca",
        ),
        *_pair(
            "m3t_mel",
            M3T200,
            "own",
            "third",
            "five log-mel rows of 40 bands, a third of a frame apart (M3T)",
            OWN_NOTICE,
            by_time="third_time",
        ),
        _signal("tsav_mel", MEL64, 100, "mel power every 10 ms, from which TSAV's corrected windows are cut"),
        _signal("tsav_wave", ("amplitude",), 44_100, "waveform, from which TSAV's published windows are cut", "int16"),
        _signal("ntua_mel", MEL128, 44_100 / 512, "log-mel spectrogram of the aural NTUA network, partly assumed"),
    )
}
