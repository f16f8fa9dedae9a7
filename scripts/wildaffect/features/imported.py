"""Features computed elsewhere: one vector per frame from Parquet tables or ``.npy`` files.

Their ids are ``import.<name>``; the configuration describes each by the attributes of :class:`ImportedFeature`.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from wildaffect.errors import InputError
from wildaffect.features.about import write_about
from wildaffect.features.frames import AS_GIVEN
from wildaffect.features.names import IMPORT_PREFIX
from wildaffect.features.spec import FeatureSpec
from wildaffect.features.store import write_valid
from wildaffect.files import atomic, sha256

RULES = ("refuse", "zero", "hold", "interpolate")


@dataclass(frozen=True)
class ImportedFeature:
    """Where an imported feature comes from.

    Attributes:
        name: Name in the configuration.
        path: A ``.parquet`` or ``.npy`` file, with ``{trial}`` or ``{video}`` in it where there is one file for each.
        columns: The columns of the table, or for ``.npy`` names for its columns or just their number.
        missing: What happens to frames without (finite) values: ``refuse`` stops, ``zero`` puts zeros, ``hold`` repeats the last vector
            before (for the first frames, the first one), ``interpolate`` is linear in time between the vectors around (held at the ends).
        frame: For tables, the column with the frame's number.
        first_frame: Number of the first frame.
        key: For tables, the column with the trial's or video's name, needed where one file serves all.
        description: Kept with the feature.
        licence: Kept with the feature.
        citation: Kept with the feature.
    """

    name: str
    path: str
    columns: tuple[str, ...] | int
    missing: str = "refuse"
    frame: str = "frame"
    first_frame: int = 0
    key: str | None = None
    description: str = ""
    licence: str = "unknown"
    citation: str = ""

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
    """An import as a configuration entry describes it; :class:`InputError` where that is contradictory."""
    where = f"features: import.{name}"
    try:
        columns = entry["columns"]
        source = ImportedFeature(name, **{**entry, "columns": columns if isinstance(columns, int) else tuple(columns)})
    except (KeyError, TypeError) as error:
        raise InputError(f"{where}: {error}; an import needs 'path' and 'columns'.") from error
    suffix = Path(source.path).suffix
    if suffix not in (".parquet", ".npy"):
        raise InputError(f"{where}: path must end in .parquet or .npy, not '{suffix}'.")
    if suffix == ".parquet" and isinstance(source.columns, int):
        raise InputError(f"{where}: the columns of a table must be listed by name.")
    single = "{trial}" not in source.path and "{video}" not in source.path
    if single and (suffix == ".npy" or source.key is None):
        raise InputError(
            f"{where}: one file for all needs 'key' (tables only); else put {{trial}} or {{video}} into the path."
        )
    if not source.column_names or len(set(source.column_names)) != len(source.column_names):
        raise InputError(f"{where}: columns must be given, each once.")
    if source.missing not in RULES:
        raise InputError(f"{where}: missing '{source.missing}' is not known: use one of {', '.join(RULES)}.")
    return source


def check_columns(source: ImportedFeature, path: Path) -> None:
    """:class:`InputError` if the table ``path`` lacks a column that ``source`` asks for, or is none."""
    try:
        have = pq.read_schema(path).names
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{path}: not a readable table of numbers ({error}).") from error
    absent = [
        name for name in (source.frame, *source.column_names, *([source.key] if source.key else [])) if name not in have
    ]
    if absent:
        raise InputError(f"{path}: column {absent[0]!r} is missing; it has {', '.join(have[:12])}.")


def spec(source: ImportedFeature) -> FeatureSpec:
    """The specification of an imported feature."""
    return FeatureSpec(
        id=IMPORT_PREFIX + source.name,
        columns=source.column_names,
        source=f"imported from {source.path}",
        module=__name__,
        rule=AS_GIVEN,
        description=source.description or "values computed elsewhere",
        notice=f"Licence: {source.licence}. {source.citation}".strip(),
    )


def describe_import(source: ImportedFeature, output: str | os.PathLike) -> None:
    """Write ``about.json`` of an imported feature."""
    parameters = {name: getattr(source, name) for name in ("path", "missing", "frame", "first_frame", "key")}
    write_about(output, spec(source), parameters=parameters, resampling=None, weights=None)


def import_feature(
    source: ImportedFeature,
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
        source: The import.
        trial: Name of the trial.
        video: Name of its video.
        times: Times of the frames in seconds, float64 (frames,).
        output: Path of the array (``.npy``), float32 (frames, dim).
        report: Path of the report (JSON).

    Raises:
        InputError: A file that is absent, unreadable, of another width, with more rows than the video has frames, with frames twice, or
            with infinite values; or missing frames under the rule ``refuse``.
    """
    path = source.file(trial, video)
    if not path.is_file():
        raise InputError(f"{path}: the file of feature {IMPORT_PREFIX}{source.name} for trial {trial} is missing.")
    read = _read_npy if path.suffix == ".npy" else _read_table
    values = read(source, path, trial, video, len(times))
    if np.isinf(values).any():
        raise InputError(
            f"{path}: infinite value at frame {int(np.isinf(values).any(axis=1).argmax())} of trial {trial}."
        )
    present = ~np.isnan(values).any(axis=1)
    filled = fill(values, present, times, source.missing, path)
    with atomic(output) as partial:
        np.save(partial, filled)
    write_valid(output, present)
    about = {
        "file": str(path),
        "sha256": sha256(path),
        "frames": len(times),
        "rows": int(present.sum()),
        "missing": int((~present).sum()),
        "rule": source.missing,
        "runs": _runs(~present),
    }
    with atomic(report) as partial:
        partial.write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")


def fill(values: np.ndarray, present: np.ndarray, times: np.ndarray, rule: str, path: Path) -> np.ndarray:
    """Fill missing rows.

    Args:
        values: float32 (N, C).
        present: Rows that are there, bool (N,).
        times: Times of the frames, float64 (N,).
        rule: See :class:`ImportedFeature`.
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


def _read_npy(source: ImportedFeature, path: Path, trial: str, video: str, frames: int) -> np.ndarray:
    try:
        rows = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not a readable .npy file ({error}).") from error
    width = len(source.column_names)
    if rows.ndim != 2 or rows.shape[1] != width or rows.dtype.kind not in "fiu":
        raise InputError(f"{path}: holds {rows.dtype} {rows.shape}, expected numbers (frames, {width}).")
    if len(rows) > frames:
        raise InputError(
            f"{path}: {len(rows)} rows, but the video has {frames} frames, and nothing says which rows are too many. "
            "Import a table with frame numbers."
        )
    values = np.full((frames, width), np.nan, np.float32)
    values[: len(rows)] = rows
    return values


def _read_table(source: ImportedFeature, path: Path, trial: str, video: str, frames: int) -> np.ndarray:
    check_columns(source, path)
    try:
        rows = pc.field(source.key).isin([trial, video]) if source.key else None
        table = pq.read_table(path, columns=[source.frame, *source.column_names], filters=rows)
        index = table[source.frame].cast(pa.int64()).to_numpy() - source.first_frame
        columns = [table[name].cast(pa.float32()).to_numpy() for name in source.column_names]
    except (OSError, pa.ArrowException, ValueError) as error:
        raise InputError(f"{path}: not a readable table of numbers ({error}).") from error
    outside = (index < 0) | (index >= frames)
    if outside.any():
        raise InputError(
            f"{path}: trial {trial} has frame {int(index[outside][0]) + source.first_frame}, but the video's frames run from "
            f"{source.first_frame} to {frames - 1 + source.first_frame}. Check 'first_frame'."
        )
    distinct, counts = np.unique(index, return_counts=True)
    if (counts > 1).any():
        raise InputError(
            f"{path}: trial {trial} has frame {int(distinct[counts.argmax()]) + source.first_frame} more than once. "
            "Keep one face per trial."
        )
    values = np.full((frames, len(columns)), np.nan, np.float32)
    values[index] = np.stack(columns, axis=1)
    return values


def _runs(missing: np.ndarray) -> list[list[int]]:
    edges = np.flatnonzero(np.diff(np.r_[False, missing, False]))
    return [[int(first), int(stop - first)] for first, stop in edges.reshape(-1, 2)]
