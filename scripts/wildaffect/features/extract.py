"""The audio features of one video as arrays, and the description of a feature."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from importlib import import_module

import numpy as np

from wildaffect.errors import InputError
from wildaffect.features.about import write_about
from wildaffect.features.frames import WITHOUT_RATE, Clock, heard
from wildaffect.features.registry import FEATURES, FeatureSpec
from wildaffect.features.store import save_blocks, write_valid
from wildaffect.features.waveform import read_speech
from wildaffect.media.audio import read_about
from wildaffect.media.frames import Frames, read_frames

MODELS_DIR = "models"


def extract_features(
    outputs: Mapping[str, str | os.PathLike],
    audio: str | os.PathLike,
    frames: str | os.PathLike,
    *,
    weights: str | None = None,
    pca: str | None = None,
    models_dir: str | os.PathLike = MODELS_DIR,
    device: str = "cpu",
    threads: int = 1,
) -> None:
    """Write features of one video, ``outputs`` by their keys in :data:`~wildaffect.features.registry.FEATURES`, as ``.npy``.

    An array is float32 (frames, dim), one row per row of the frame table ``frames``, all finite; sample 0 of
    ``audio`` is the time of frame 0. Features with ``rows_per_second`` are signals instead, as long as the sound. A
    file without sound gives the analysis of silence, one too short for a window is padded with silence, and frames
    after the last row of the analysis repeat it; :mod:`~wildaffect.features.store` says which frames have sound.
    Sound and rows pass through in blocks, so memory does not grow with the length.

    ``weights`` (for VGGish): a name in the manifest, the path of a weights file, or the word ``seeded`` for an
    untrained random projection; None means the manifest name that the feature declares. ``pca``: likewise, the file of
    the components, for the quantised embedding alone. ``device`` is ``cpu`` or
    ``cuda``; ``threads`` bounds PyTorch's threads (openSMILE uses one). Raises :class:`InputError` for an unknown
    feature, unusable weights, a missing device and files that cannot be read.
    """
    specs = [find_feature(feature) for feature in outputs]
    files = _files(specs, weights, pca)
    signals = {rate: read_speech(audio, rate) for rate in {spec.rate_hz for spec in specs}}
    about = read_about(audio)
    network = {"models_dir": models_dir, "device": device, "threads": threads}
    for spec in specs:
        clock = frame_clock(frames, spec)
        learnt = files[spec.id] | network if files[spec.id] else {}
        blocks = import_module(spec.module).frame_values(signals[spec.rate_hz], clock, **learnt)
        row = (spec.dim,) if spec.dim > 1 else ()
        checked = _finite(blocks, f"{audio}: {spec.id}", "row" if spec.rows_per_second else "frame")
        save_blocks(outputs[spec.id], checked, row, spec.dtype)
        write_valid(outputs[spec.id], heard(about, clock))


def describe_feature(
    feature: str,
    output: str | os.PathLike,
    *,
    weights: str | None = None,
    pca: str | None = None,
    models_dir: str | os.PathLike = MODELS_DIR,
) -> None:
    """Write ``about.json`` of ``feature``: columns, origin, parameters, synchronisation, weights and licence notice."""
    spec = find_feature(feature)
    files = _files([spec], weights, pca)[spec.id]
    module = import_module(spec.module)
    write_about(
        output,
        spec,
        parameters=module.PARAMETERS,
        resampling=f"soxr, high quality, to {spec.rate_hz / 1000:g} kHz and 16 bit",
        weights=module.describe_weights(models_dir=models_dir, **files) if files else None,
    )


def find_feature(feature: str) -> FeatureSpec:
    """The specification of ``feature``; :class:`InputError` if there is none of that name."""
    if feature not in FEATURES:
        raise InputError(f"feature '{feature}' is not known: use one of {', '.join(FEATURES)}.")
    return FEATURES[feature]


def frame_clock(frames: str | os.PathLike, spec: FeatureSpec) -> Clock:
    """The frames of a frame table as ``spec`` sees them."""
    grid = read_frames(frames)
    return Clock(grid.times, _rate(grid, frames, spec), spec.rule)


def _rate(grid: Frames, frames: str | os.PathLike, spec: FeatureSpec) -> float | None:
    """The frame rate that the published index rules divide by, as OpenCV reports it: the container's average.

    That is the nominal rate where the frames keep it (to half a thousandth: 30 and 29.97 are kept apart), else
    frames / duration. None where the rule does not ask for it.
    """
    if spec.rule in WITHOUT_RATE:
        return None
    average, nominal = grid.about.get("average_rate"), grid.about.get("nominal_rate")
    if not average:
        if len(grid.times):
            raise InputError(f"{frames}: states no average rate, which '{spec.id}' needs. Delete it and run again.")
        return 1.0  # no frame asks for a row
    stated = float(Fraction(nominal)) if nominal else average
    return stated if abs(stated / average - 1) < 5e-4 else float(average)


def _finite(blocks: Iterable[np.ndarray], what: str, unit: str) -> Iterator[np.ndarray]:
    count = 0
    for block in blocks:
        if not np.isfinite(block).all():
            first = count + int(np.flatnonzero(~np.isfinite(block).all(axis=1))[0])
            raise InputError(f"{what} has values that are not finite at {unit} {first}. Check the sound there.")
        count += len(block)
        yield block


def _files(specs: Sequence[FeatureSpec], weights: str | None, pca: str | None) -> dict[str, dict[str, str]]:
    """What was given, or else declared, of the files that each feature needs."""
    for kind, given in (("weights", weights), ("pca", pca)):
        if given is not None and not any(getattr(spec, kind) for spec in specs):
            names = ", ".join(f"'{spec.id}'" for spec in specs)
            raise InputError(f"features {names} take no {kind}, but '{given}' was given: remove it.")
    return {
        spec.id: {
            kind: given or declared
            for kind, given, declared in (("weights", weights, spec.weights), ("pca", pca, spec.pca))
            if declared
        }
        for spec in specs
    }
