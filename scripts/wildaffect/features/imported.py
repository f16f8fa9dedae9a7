"""Features computed elsewhere: one vector per frame from Parquet tables or ``.npy`` files.

Their ids are ``import.<name>``; the configuration describes each by the keys of `Import`.
"""

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import Field, model_validator

from wildaffect.config import Names, Natural, Positive, Section, Text
from wildaffect.errors import InputError
from wildaffect.features.frames import AS_GIVEN
from wildaffect.features.spec import IMPORT_PREFIX, FeatureSpec, write_about
from wildaffect.features.store import save_array, write_valid
from wildaffect.files import sha256
from wildaffect.integrity import foreign, sealed
from wildaffect.pickles import kept_frames


class Import(Section):
    """A feature computed elsewhere, a vector for each frame."""

    path: Text
    """File of the values, .parquet or .npy, with {trial} or {video} in its name where there is one for each."""

    columns: Positive | Annotated[Names, Field(min_length=1)]
    """Columns of the table; for .npy their names or just their number."""

    missing: Literal["refuse", "zero", "hold", "interpolate"] = "refuse"
    """What frames without finite values get.
    - refuse: an error
    - zero: zeros
    - hold: the values of the last frame before
    - interpolate: values interpolated linearly in time"""

    frame: Text = "frame"
    """Column of a table with the index of the frame."""

    first_frame: Natural = 0
    """Index of the first frame in that column."""

    key: Text | None = None
    """Column of a table with the name of the trial or video, where one table holds all."""

    kept: Text | None = None
    """Pickle file that says which frames the rows of a .npy are of, where frames without a label were left out: LFAN's
    labeled_frame_indices.pkl ({partition: {trial: [1 kept, 0 left out, ...]}})."""

    description: str = ""
    """What the feature is; kept with it."""

    licence: str = "unknown"
    """Licence of the values; kept with them and shown in the report."""

    citation: str = ""
    """What to cite; kept with the values."""

    @model_validator(mode="after")
    def _check_together(self) -> "Import":
        suffix = Path(self.path).suffix
        if suffix not in (".parquet", ".npy"):
            raise ValueError(f"path must end in .parquet or .npy, not {suffix!r}")
        if suffix == ".parquet" and isinstance(self.columns, int):
            raise ValueError("the columns of a table must be listed by name")
        if suffix == ".parquet" and self.kept:
            raise ValueError("'kept' is for .npy files; a table has a column of frames")
        single = "{trial}" not in self.path and "{video}" not in self.path
        if single and (suffix == ".npy" or self.key is None):
            raise ValueError("one file for all needs 'key' (tables only); else put {trial} or {video} into the path")
        return self


class ImportedFeature(Import):
    """An `Import` and its name in the configuration."""

    name: Text

    @property
    def column_names(self) -> tuple[str, ...]:
        """Names of the columns, made up where only their number is given."""
        if isinstance(self.columns, int):
            return tuple(f"{self.name}{k}" for k in range(self.columns))
        return self.columns

    def file(self, trial: str, video: str) -> Path:
        """The file for one trial."""
        return Path(self.path.replace("{trial}", trial).replace("{video}", video))


def imported_feature(name: str, entry: Mapping[str, Any]) -> ImportedFeature:
    """The feature ``import.<name>`` that the complete ``entry`` of the configuration describes."""
    return ImportedFeature.from_plain({**entry, "name": name})


def check_columns(found: ImportedFeature, path: Path) -> None:
    """`InputError` if the table ``path`` lacks a column that ``found`` asks for, or is none."""
    with foreign(path, "a readable table of numbers"):
        have = pq.read_schema(path).names
    absent = [
        name for name in (found.frame, *found.column_names, *([found.key] if found.key else [])) if name not in have
    ]
    if absent:
        raise InputError(f"{path}: column {absent[0]!r} is missing; it has {', '.join(have[:12])}.")


def spec(found: ImportedFeature) -> FeatureSpec:
    """The specification of an imported feature."""
    return FeatureSpec(
        id=IMPORT_PREFIX + found.name,
        columns=found.column_names,
        source=f"imported from {found.path}",
        module=__name__,
        rule=AS_GIVEN,
        description=found.description or "values computed elsewhere",
        notice=f"Licence: {found.licence}. {found.citation}".strip(),
    )


def describe_import(found: ImportedFeature, output: str | os.PathLike) -> None:
    """Write ``about.json`` of an imported feature."""
    parameters = {name: getattr(found, name) for name in ("path", "missing", "frame", "first_frame", "key", "kept")}
    write_about(output, spec(found), parameters=parameters, resampling=None, weights=None)


def import_feature(
    found: ImportedFeature,
    trial: str,
    video: str,
    times: np.ndarray,
    output: str | os.PathLike,
    report: str | os.PathLike,
) -> None:
    """Write the vectors of one trial, and what was done to them.

    A row of the source with a value that is not a number counts as missing. The report has ``file``, ``sha256``, ``frames``, ``rows``
    (complete ones found), ``missing`` (frames), ``rule`` and ``runs`` (first frame and length of each stretch that was filled).

    Args:
        found: The import.
        trial: Name of the trial.
        video: Name of its video.
        times: Times of the frames in seconds, float64 (frames,).
        output: Path of the array (``.npy``), float32 (frames, dim).
        report: Path of the report (JSON).

    Raises:
        InputError: A file that is absent, unreadable, of another width, with more rows than the video has frames, with frames twice, or
            with infinite values; or missing frames under the rule ``refuse``.
    """
    path = found.file(trial, video)
    if not path.is_file():
        raise InputError(f"{path}: the file of feature {IMPORT_PREFIX}{found.name} for trial {trial} is missing.")
    read = _read_npy if path.suffix == ".npy" else _read_table
    values = read(found, path, trial, video, len(times))
    if np.isinf(values).any():
        raise InputError(
            f"{path}: infinite value at frame {int(np.isinf(values).any(axis=1).argmax())} of trial {trial}."
        )
    present = ~np.isnan(values).any(axis=1)
    filled = fill(values, present, times, found.missing, path)
    save_array(output, filled)
    write_valid(output, present)
    about = {
        "file": str(path),
        "sha256": sha256(path),
        "frames": len(times),
        "rows": int(present.sum()),
        "missing": int((~present).sum()),
        "rule": found.missing,
        "runs": _runs(~present),
    }
    with sealed(report) as partial:
        partial.write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")


def fill(values: np.ndarray, present: np.ndarray, times: np.ndarray, rule: str, path: Path) -> np.ndarray:
    """Fill missing rows.

    Args:
        values: float32 (N, C).
        present: Rows that are there, bool (N,).
        times: Times of the frames, float64 (N,).
        rule: See `Import`.
        path: The source, named in errors.

    Returns:
        ``values`` with the missing rows replaced; zeros where no row is present.

    Raises:
        InputError: Rows are missing and ``rule`` is ``refuse``.
    """
    if present.all():
        return values
    if rule == "refuse":
        first, count = int(np.argmin(present)), int((~present).sum())
        raise InputError(
            f"{path}: {count} of {len(present)} frames have no values, the first is frame {first}. Complete the file, or set 'missing'."
        )
    result = np.where(present[:, None], values, np.float32(0))
    known = np.flatnonzero(present)
    if rule == "zero" or not len(known):
        return result
    gaps = np.flatnonzero(~present)
    if rule == "hold":
        result[gaps] = values[known[np.maximum(np.searchsorted(known, gaps) - 1, 0)]]
    else:
        for column, series in enumerate(values[known].T):
            result[gaps, column] = np.interp(times[gaps], times[known], series)
    return result


def _read_npy(found: ImportedFeature, path: Path, trial: str, video: str, frames: int) -> np.ndarray:
    with foreign(path, "a readable .npy file"):
        rows = np.lib.format.open_memmap(path, mode="r")
    width = len(found.column_names)
    if rows.ndim != 2 or rows.shape[1] != width or rows.dtype.kind not in "fiu":
        raise InputError(f"{path}: holds {rows.dtype} {rows.shape}, expected numbers (frames, {width}).")
    kept = kept_frames(found.kept, trial, len(rows)) if found.kept else None
    if kept is None and len(rows) > frames:
        raise InputError(
            f"{path}: {len(rows)} rows, but the video has {frames} frames, and nothing says which rows are too many. "
            "Import a table with frame numbers, or name the file of 'kept' frames."
        )
    values = np.full((frames, width), np.nan, np.float32)
    index = np.arange(len(rows)) if kept is None else kept
    values[index[index < frames]] = rows[index < frames]
    return values


def _read_table(found: ImportedFeature, path: Path, trial: str, video: str, frames: int) -> np.ndarray:
    check_columns(found, path)
    wanted = [found.frame, *found.column_names]
    with foreign(path, "a readable table of numbers"):
        table = pa.concat_tables([pa.table(part) for part in _parts(path, wanted, found.key, [trial, video])])
        index = table[found.frame].cast(pa.int64()).to_numpy() - found.first_frame
        columns = [table[name].cast(pa.float32()).to_numpy() for name in found.column_names]
    outside = (index < 0) | (index >= frames)
    if outside.any():
        raise InputError(
            f"{path}: trial {trial} has frame {int(index[outside][0]) + found.first_frame}, but the video's frames run from "
            f"{found.first_frame} to {frames - 1 + found.first_frame}. Check 'first_frame'."
        )
    distinct, counts = np.unique(index, return_counts=True)
    if (counts > 1).any():
        raise InputError(
            f"{path}: trial {trial} has frame {int(distinct[counts.argmax()]) + found.first_frame} more than once. Keep one face per trial."
        )
    values = np.full((frames, len(columns)), np.nan, np.float32)
    values[index] = np.stack(columns, axis=1)
    return values


def _parts(path: Path, columns: list[str], key: str | None, names: list[str]) -> Iterator[pa.RecordBatch]:
    """Rows whose ``key`` is one of ``names`` (all without a key), block by block; at least one block.

    Arrow's own filters may wait for ever on a damaged file.
    """
    file = pq.ParquetFile(path)
    yield pa.RecordBatch.from_pylist([], file.schema_arrow).select(columns)
    for part in file.iter_batches(columns=[*columns, *([key] if key else [])], use_threads=False):
        chosen = part.filter(pc.is_in(part[key].cast(pa.string()), pa.array(names))) if key else part
        yield chosen.select(columns)


def _runs(missing: np.ndarray) -> list[list[int]]:
    edges = np.flatnonzero(np.diff(np.r_[False, missing, False]))
    return [[int(first), int(stop - first)] for first, stop in edges.reshape(-1, 2)]
