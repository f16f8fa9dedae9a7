"""The audio features of one video as arrays, and the description of a feature."""

import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import import_module

import numpy as np

from wildaffect.errors import InputError
from wildaffect.features.frames import Clock, has_audio
from wildaffect.features.signal import read_speech
from wildaffect.features.spec import FeatureSpec, find_feature, write_about
from wildaffect.features.store import save_blocks, write_valid
from wildaffect.media.audio import read_about
from wildaffect.media.frames import Frames, read_frames

MODELS_DIR = "models"
Given = str | Mapping[str, str] | None
"""Files that are given for declared ones: for all, or by what is declared."""


def extract_features(
    outputs: Mapping[str, str | os.PathLike],
    audio: str | os.PathLike,
    frames: str | os.PathLike,
    *,
    weights: Given = None,
    pca: Given = None,
    models_dir: str | os.PathLike = MODELS_DIR,
    device: str = "cpu",
    threads: int = 1,
) -> None:
    """Write features of one video as ``.npy``.

    An array is float32 (frames, dim), one row per row of the frame table, all finite; sample 0 of the audio is the time of frame 0.
    Features with ``rows_per_second`` are signals instead, as long as the audio. A file without audio gives the analysis of silence, one
    too short for a window is padded with silence, and frames after the last row of the analysis repeat it;
    `wildaffect.features.store` says which frames have audio. Samples and rows pass through in blocks, so memory does not grow with
    the length.

    Args:
        outputs: Path of the array by feature id.
        audio: The video's ``audio.flac``.
        frames: The video's frame table.
        weights: For features that declare weights: a name in the manifest, the path of a weights file, or ``seeded`` for an untrained
            network; None means the manifest name that the feature declares. Several by the names that features declare, as a mapping.
        pca: Likewise, the file of the components.
        models_dir: Folder of model files.
        device: ``cpu`` or ``cuda``.
        threads: Bound of PyTorch's threads (openSMILE uses one).

    Raises:
        InputError: An unknown feature, unusable weights, a missing device or files that cannot be read.
    """
    specs = [find_feature(feature) for feature in outputs]
    files = _files(specs, weights, pca)
    signals = {rate: read_speech(audio, rate) for rate in {spec.rate_hz for spec in specs}}
    about = read_about(audio)
    network = {"models_dir": models_dir, "device": device, "threads": threads}
    for spec in specs:
        clock = frame_clock(frames, spec)
        models = files[spec.id] | network if files[spec.id] else {}
        blocks = import_module(spec.module).frame_values(signals[spec.rate_hz], clock, **models)
        row = () if spec.rows_per_second and spec.dim == 1 else (spec.dim,)
        checked = _finite(blocks, f"{audio}: {spec.id}", "row" if spec.rows_per_second else "frame")
        save_blocks(outputs[spec.id], checked, row, spec.dtype)
        write_valid(outputs[spec.id], has_audio(about, clock))


def describe_feature(
    feature: str,
    output: str | os.PathLike,
    *,
    weights: Given = None,
    pca: Given = None,
    models_dir: str | os.PathLike = MODELS_DIR,
) -> None:
    """Write ``about.json`` of a feature: columns, origin, parameters, synchronisation, weights and licence notice.

    Args:
        feature: Id of the feature.
        output: Path of the JSON file.
        weights: As for `extract_features`.
        pca: As for `extract_features`.
        models_dir: Folder of model files.

    Raises:
        InputError: An unknown feature or unusable weights.
    """
    spec = find_feature(feature)
    files = _files([spec], weights, pca)[spec.id]
    module = import_module(spec.module)
    write_about(
        output,
        spec,
        parameters=module.parameters(),
        resampling=f"soxr, high quality, to {spec.rate_hz / 1000:g} kHz and 16 bit",
        weights=module.describe_weights(models_dir=models_dir, **files) if files else None,
    )


def frame_clock(frames: str | os.PathLike, spec: FeatureSpec) -> Clock:
    """The frames of a frame table as the computation of ``spec`` needs them."""
    grid = read_frames(frames)
    return Clock(grid.times, _rate(grid, frames, spec), spec.rule)


def _rate(grid: Frames, frames: str | os.PathLike, spec: FeatureSpec) -> float:
    """The frame rate that the rule of ``spec`` divides by: stated by the file, or measured; NaN where the rule does not ask for it.

    A measured rate is the stated one where the frames keep it (to half a thousandth: 30 and 29.97 are kept apart), else
    frames / duration.
    """
    if spec.rule.rate == "none":
        return math.nan
    average = grid.about.get("average_rate")
    if not average:
        if len(grid.times):
            raise InputError(f"{frames}: states no average rate, which '{spec.id}' needs. Delete it and run again.")
        return 1.0  # no frame asks for a row
    stated = grid.nominal_rate or float(average)
    return stated if spec.rule.rate == "stated" or abs(stated / average - 1) < 5e-4 else float(average)


def _finite(blocks: Iterable[np.ndarray], what: str, unit: str) -> Iterator[np.ndarray]:
    count = 0
    for block in blocks:
        finite = np.isfinite(block).all(axis=tuple(range(1, block.ndim)))
        if not finite.all():
            first = count + int(finite.argmin())
            raise InputError(f"{what} has values that are not finite at {unit} {first}. Check the audio there.")
        count += len(block)
        yield block


def _files(specs: Sequence[FeatureSpec], weights: Given, pca: Given) -> dict[str, dict[str, str]]:
    """What was given, or else declared, of the files that each feature needs."""
    for kind, given in (("weights", weights), ("pca", pca)):
        if given and not any(getattr(spec, kind) for spec in specs):
            names = ", ".join(f"'{spec.id}'" for spec in specs)
            raise InputError(f"features {names} take no {kind}, but '{given}' was given: remove it.")
    return {
        spec.id: {
            kind: (given.get(declared) if isinstance(given, Mapping) else given) or declared
            for kind, given, declared in (("weights", weights, spec.weights), ("pca", pca, spec.pca))
            if declared
        }
        for spec in specs
    }
