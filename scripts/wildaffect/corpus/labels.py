"""Annotation files joined to decoded frames.

An annotation file has a header line and one row per decoded frame, the first row for the first frame. Numbers of rows and frames often
differ; every difference is classified, handled by a named rule and recorded. Rows are never resampled or shifted.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from wildaffect.config import Section
from wildaffect.corpus.label_spaces import VALENCE_AROUSAL
from wildaffect.corpus.trials import Trial
from wildaffect.decimals import decimal
from wildaffect.errors import InputError
from wildaffect.tables import read_table, write_table

HIGHEST_EXPRESSION = 7
TIMES = pa.schema([("time_s", pa.float64())])
"""The column of a frame table that labels need."""


@dataclass(frozen=True)
class Annotation:
    """Content of one annotation file.

    Attributes:
        columns: Names of the labels.
        values: float64 (rows, columns), NaN where a value is not a valid label.
    """

    columns: tuple[str, ...]
    values: np.ndarray


class JoinRules(Section):
    """What happens to a trial whose numbers of annotation rows and frames disagree; the audit lists every case."""

    one_more: Literal["truncate", "exclude"] = "truncate"
    """Exactly one row more than frames.
    - truncate: drop the last row
    - exclude: leave the trial unlabelled"""

    near: Literal["mask", "exclude"] = "mask"
    """Up to `tolerance` rows more or fewer.
    - mask: drop surplus rows, leave surplus frames unlabelled
    - exclude: leave the trial unlabelled"""

    far: Literal["mask", "exclude"] = "exclude"
    """Further apart.
    - exclude: leave the trial unlabelled
    - mask: as for `near`"""

    tolerance: Annotated[int, Field(ge=1)] = 30
    """Largest difference, in frames, that counts as near."""


def parse_annotation(path: Path, task: str) -> Annotation:
    """Read one annotation file.

    VA: columns by header name; a value outside [-1, 1] (the organisers write -5) is invalid. EXPR: one class per row, -1 is invalid. AU: 0
    or 1 per unit named in the header, -1 is invalid for that unit alone. Byte-order marks, carriage returns and blank lines at the end
    are accepted.

    Args:
        path: Text file.
        task: `va`, `expr` or `au`.

    Raises:
        InputError: The file is anything else; the message names the line.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").rstrip().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as an annotation file ({error}).") from error
    if not lines:
        raise InputError(f"{path}: the annotation file is empty; expected a header line and one row per frame.")
    header = tuple(field.strip() for field in lines[0].split(","))
    columns = _columns(path, task, header)
    width = 1 if task == "expr" else len(header)
    values = np.empty((len(lines) - 1, width))
    for number, line in enumerate(lines[1:], 2):
        try:
            row = [decimal(field) for field in line.split(",")]
        except ValueError as error:
            raise InputError(f"{path}, line {number}: {line!r} is not a row of numbers ({error}).") from None
        if len(row) != width:
            raise InputError(f"{path}, line {number}: {len(row)} values where {width} are expected.")
        values[number - 2] = row
    values = _mask_invalid(path, task, values)
    if task == "va":
        return Annotation(VALENCE_AROUSAL, values[:, [columns.index(name) for name in VALENCE_AROUSAL]])
    return Annotation(columns, values)


def classify(rows: int, frames: int, rules: JoinRules) -> tuple[str, str]:
    """Kind and rule for numbers of annotation rows and decoded frames.

    Returns:
        `equal`, `one_more` (row), `more`, `fewer` (within the tolerance) or `far_off`, and the rule that handles it, `none` for `equal`.

    Examples:
        >>> rules = JoinRules(one_more="truncate", near="mask", far="exclude", tolerance=30)
        >>> classify(101, 100, rules), classify(75, 100, rules), classify(200, 100, rules)
        (('one_more', 'truncate'), ('fewer', 'mask'), ('far_off', 'exclude'))
    """
    if rows == frames:
        return "equal", "none"
    if rows == frames + 1:
        return "one_more", rules.one_more
    if abs(rows - frames) > rules.tolerance:
        return "far_off", rules.far
    return ("more" if rows > frames else "fewer"), rules.near


def join(annotation: Annotation, frames: int, rule: str) -> np.ndarray:
    """Labels of the decoded frames, by a rule of `classify`.

    Returns:
        float64 (frames, columns), NaN where unlabelled.

    Examples:
        >>> annotation = Annotation(("valence",), np.array([[0.1], [0.2]]))
        >>> join(annotation, 3, "mask").ravel().tolist(), join(annotation, 3, "exclude").ravel().tolist()
        ([0.1, 0.2, nan], [nan, nan, nan])
    """
    labels = np.full((frames, len(annotation.columns)), np.nan)
    if rule != "exclude":
        kept = min(frames, len(annotation.values))
        labels[:kept] = annotation.values[:kept]
    return labels


def label_table(
    task: str,
    trials: Sequence[Trial],
    annotations: Path,
    times: Mapping[str, np.ndarray],
    rules: JoinRules,
) -> tuple[pa.Table, dict]:
    """Labels of all annotated trials of one task on the frames of their videos.

    Args:
        task: `va`, `expr` or `au`.
        trials: Trials; those without an annotation of the task are skipped.
        annotations: Folder that annotation paths are relative to.
        times: Seconds of every decoded frame, float64 (N,), by video.
        rules: How differing numbers of rows and frames are handled.

    Returns:
        The table with columns trial, frame, time_s, one per label (null where not valid) and `valid` (the row is usable as a whole: both
        dimensions, the class, at least one unit), and its metadata: what the join found per trial.

    Raises:
        InputError: A file is malformed, or files have different labels.
    """
    batches, joins, columns = [], {}, None
    for trial in trials:
        name = trial.annotation(task)
        if name is None:
            continue
        path = annotations / name
        annotation = parse_annotation(path, task)
        if columns not in (None, annotation.columns):
            raise InputError(
                f"{path}: labels {annotation.columns}, but other files have {columns}. Do not mix editions."
            )
        columns = annotation.columns
        frame_times = times[trial.video]
        kind, rule = classify(len(annotation.values), len(frame_times), rules)
        labels = join(annotation, len(frame_times), rule)
        batches.append(_batch(task, trial.trial, frame_times, columns, labels))
        joins[trial.trial] = _join_facts(annotation, len(frame_times), kind, rule)
    schema = labels_schema(task, columns or _empty_columns(task))
    table = pa.Table.from_batches(batches, schema)
    return table, {"task": task, "columns": list(columns or ()), "rules": rules.plain(), "trials": joins}


def write_labels(
    output: Path,
    *,
    task: str,
    trials: Sequence[Trial],
    annotations: Path,
    frames: Mapping[str, Path],
    rules: JoinRules,
) -> None:
    """Write the label table of one task.

    Args:
        output: Table to write, `labels/{task}.parquet`.
        task: `va`, `expr` or `au`.
        trials: Trials; those without an annotation of the task are skipped.
        annotations: Folder that annotation paths are relative to.
        frames: Frame table of every video of the trials.
        rules: How differing numbers of rows and frames are handled.
    """
    times = {video: read_table(path, TIMES)["time_s"].to_numpy() for video, path in frames.items()}
    table, metadata = label_table(task, trials, annotations, times, rules)
    write_table(output, table, table.schema, metadata)


def _join_facts(annotation: Annotation, frames: int, kind: str, rule: str) -> dict[str, int | str]:
    """What the metadata of a label table keep of the join of one trial."""
    missing = np.isnan(annotation.values)
    invalid = missing.all(axis=1)
    return {
        "rows": len(annotation.values),
        "frames": frames,
        "kind": kind,
        "rule": rule,
        "invalid_rows": int(invalid.sum()),
        "half_invalid_rows": int((missing.any(axis=1) & ~invalid).sum()),
    }


def labels_schema(task: str, columns: Sequence[str]) -> pa.Schema:
    """Schema of the label table of `task` with these label columns."""
    kind = pa.float32() if task == "va" else pa.int8()
    fields = [("trial", pa.string()), ("frame", pa.int32()), ("time_s", pa.float64())]
    return pa.schema([*fields, *((name, kind) for name in columns), ("valid", pa.bool_())])


def _empty_columns(task: str) -> tuple[str, ...]:
    return {"va": VALENCE_AROUSAL, "expr": ("expression",), "au": ()}[task]


def _columns(path: Path, task: str, header: tuple[str, ...]) -> tuple[str, ...]:
    """Label names by the header line; valence and arousal may come in either order."""
    if task == "expr":
        return ("expression",)
    if task == "va":
        names = tuple(name.lower() for name in header)
        if sorted(names) != sorted(VALENCE_AROUSAL):
            raise InputError(f"{path}, line 1: the header is {','.join(header)!r}, expected 'valence,arousal'.")
        return names
    wrong = [name for name in header if not (name.startswith("AU") and name[2:].isdigit())]
    if wrong or len(set(header)) != len(header):
        raise InputError(
            f"{path}, line 1: the header is {','.join(header)!r}, expected action units such as 'AU1,AU2,AU4'."
        )
    return header


def _mask_invalid(path: Path, task: str, values: np.ndarray) -> np.ndarray:
    """NaN for invalid labels; an `InputError` for numbers that are no label at all."""
    if task == "va":
        return np.where(np.abs(values) <= 1, values, np.nan)
    highest = HIGHEST_EXPRESSION if task == "expr" else 1
    unknown = ~np.isin(values, np.arange(-1, highest + 1))
    if unknown.any():
        row, column = np.argwhere(unknown)[0]
        raise InputError(
            f"{path}, line {row + 2}: {values[row, column]:g} is not a label; expected -1 (none) or 0 to {highest}."
        )
    return np.where(values < 0, math.nan, values)


def _batch(task: str, trial: str, times: np.ndarray, columns: Sequence[str], labels: np.ndarray) -> pa.RecordBatch:
    """Rows of one trial."""
    known = ~np.isnan(labels)
    arrays = {
        "trial": pa.array([trial] * len(times), pa.string()),
        "frame": pa.array(np.arange(len(times)), pa.int32()),
        "time_s": pa.array(times, pa.float64()),
    }
    kind = pa.float32() if task == "va" else pa.int8()
    for index, name in enumerate(columns):
        arrays[name] = pa.array(labels[:, index], pa.float64(), mask=~known[:, index]).cast(kind)
    arrays["valid"] = pa.array(known.any(axis=1) if task == "au" else known.all(axis=1), pa.bool_())
    return pa.record_batch(arrays)
