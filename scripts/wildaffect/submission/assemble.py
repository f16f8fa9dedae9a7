"""A submission straight from the prediction files of several folds and targets."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow.parquet as pq

from wildaffect.scoring.fusion import fuse, join_targets
from wildaffect.scoring.smoothing import smooth
from wildaffect.submission.writer import write


def write_submission(
    predictions: Mapping[str, Sequence[Path]],
    output: Path,
    edition: str,
    task: str,
    *,
    fusion: Mapping | None = None,
    smoothing: Mapping | None = None,
    sample: Path | None = None,
    frames: Mapping[str, int] | None = None,
    allow_partial: bool = False,
) -> dict:
    """Fuse the folds of each target, join the targets, smooth if asked, and write the submission (:func:`wildaffect.submission.write`).

    ``predictions``: the Parquet files of all folds, per target. ``fusion``: arguments of :func:`wildaffect.scoring.fusion.fuse`, the plain
    mean by default. ``smoothing``: arguments of :func:`wildaffect.scoring.smoothing.smooth`. Returns the sidecar's content.
    """
    fused = {
        target: fuse([pq.read_table(path) for path in paths], **(fusion or {})) for target, paths in predictions.items()
    }
    table = join_targets(fused) if len(fused) > 1 else next(iter(fused.values()))
    if smoothing:
        table = smooth(table, **smoothing)
    return write(table, output, edition, task, sample=sample, frames=frames, allow_partial=allow_partial)
