"""Annotation files joined to decoded frames.

An annotation file has a header line and one row per decoded frame, the first row for the first frame; or one row for the whole clip, where
the configuration says so. Numbers of rows and frames often differ; every difference is classified, handled by a named rule and recorded.
Rows are never resampled or shifted.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field, field_validator

from wildaffect.config import Section, Text, nearest
from wildaffect.corpus.label_spaces import EXPRESSIONS8, VALENCE_AROUSAL
from wildaffect.corpus.timed import Range, Segments, is_timed, middles, read_segments, start_in_file
from wildaffect.corpus.trials import Trial
from wildaffect.errors import InputError
from wildaffect.tables import metadata_of, read_table, write_table
from wildaffect.textfiles import decimal, read_beginning, read_lines

INVALID = -5
"""What the organisers write where valence or arousal is not labelled."""
PER_CLIP = "per_clip"
"""Kind of join of a label that holds for the whole clip."""
NAMES_IN_ROWS = "expression"
"""Header of files whose rows name classes instead of giving their position."""
TIMES = pa.schema([("time_s", pa.float64())])
"""The column of a frame table that labels need."""

_NUMBERS = re.compile(r"[-+., \teE0-9]*")
# What lines of numbers are written with: parsers also take inf and nan.
_IN_NUMBERS = b"-+., \teE0123456789\n"


@dataclass(frozen=True)
class Annotation:
    """Content of one annotation file.

    Attributes:
        columns: Names of the labels.
        values: float64 (rows, columns), NaN where a value is not a valid label.
    """

    columns: tuple[str, ...]
    values: np.ndarray


class LabelRules(Section):
    """How annotation files are read, and what happens to a trial whose numbers of annotation rows and frames disagree; the audit lists
    every case."""

    scale: tuple[float, float] = (-1, 1)
    """Least and largest valence and arousal in the files, such as [-10, 10] or [1, 9]; they are mapped linearly to [-1, 1]. Where -5 lies
    outside it marks a value that is no label; anything else beyond the scale is an error."""

    classes: dict[Text, Text | None] = Field(default={}, examples=[{"Happy": "Happiness", "Contempt": None}])
    """Expressions whose files do not name the classes of the edition: the edition's name for each of theirs; null: such rows have no label.
    By default a file must name all classes of the edition, in any order."""

    per_clip: bool = False
    """Each annotation file has a single row, which holds for all frames."""

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

    @field_validator("scale")
    @classmethod
    def _ascending(cls, scale: tuple[float, float]) -> tuple[float, float]:
        if scale[0] >= scale[1]:
            raise ValueError(f"{list(scale)} must be the least value, then the largest")
        return scale


AS_DISTRIBUTED = LabelRules()
"""The rules for files of the challenge."""


def parse_annotation(
    path: Path, task: str, classes: Sequence[str] = EXPRESSIONS8, rules: LabelRules = AS_DISTRIBUTED
) -> Annotation:
    """Read one annotation file.

    VA: columns by header name, values within `rules.scale` or -5 (invalid). EXPR: the header names the classes, each row the position of
    one of them, -1 is invalid; what the class is called decides, not where it stands. Below the header `expression` rows hold names. AU: 0
    or 1 per unit named in the header, -1 is invalid for that unit alone.

    Args:
        path: Text file, see `wildaffect.textfiles.read_text`; carriage returns and blank lines at the end are accepted.
        task: `va`, `expr` or `au`.
        classes: Expressions of the edition, in its order.
        rules: Scale of valence and arousal, names of other classes.

    Returns:
        The labels: valence before arousal in [-1, 1], expressions as indices into `classes`.

    Raises:
        InputError: The file is anything else; the message names the line.
    """
    return _parse(_lines_of(path), read_lines(path), task, classes, rules)


def check_labels(trial: Trial, task: str, annotations: Path, classes: Sequence[str], rules: LabelRules) -> None:
    """`InputError` if a trial's label of the whole clip, or the beginning of its annotation file, is not what a label is; takes no time."""
    if (name := trial.annotation(task)) and is_timed(annotations / name):
        _read_timed(annotations / name, trial, task, classes, rules)
    elif name:
        _parse(_lines_of(annotations / name), read_beginning(annotations / name), task, classes, rules)
    elif trial.labelled(task):
        _clip_annotation(trial, task, classes, rules)


def varies(
    trial: Trial, task: str, columns: Sequence[str], annotations: Path, classes: Sequence[str], rules: LabelRules
) -> bool:
    """Whether some label among ``columns`` may have different values within a trial.

    An annotation file is read as a whole. Of one that cannot be read, or has fewer than two labelled rows, nothing is known. The other
    arguments are those of `check_labels`.
    """
    if rules.per_clip or trial.clip_label(task) or not (name := trial.annotation(task)):
        return False
    path = annotations / name
    try:
        annotation = (
            _read_timed(path, trial, task, classes, rules)[0]
            if is_timed(path)
            else parse_annotation(path, task, classes, rules)
        )
    except InputError:
        return True
    values = annotation.values[:, [annotation.columns.index(column) for column in columns]]
    known = values[~np.isnan(values).any(axis=1)]
    return len(known) < 2 or bool((known != known[0]).any())


Where = Callable[[int], str]
"""Names the place of a row, counted from 0, in messages; that of the header for -1."""


def _lines_of(path: Path) -> Where:
    return lambda row: f"{path}, line {row + 2}"


def _clip_annotation(trial: Trial, task: str, classes: Sequence[str], rules: LabelRules) -> Annotation:
    """The label of the whole clip, as the only row of an annotation."""
    header = NAMES_IN_ROWS if task == "expr" else ",".join(VALENCE_AROUSAL)
    lines = [header, trial.clip_label(task) or ""]
    return _parse(lambda row: f"trials.csv, trial {trial.trial!r}", lines, task, classes, rules)


def _read_timed(
    path: Path, trial: Trial, task: str, classes: Sequence[str], rules: LabelRules
) -> tuple[Annotation, Segments]:
    """Labels of rows that say when they hold, and these times."""
    segments = read_segments(path, trial.media)
    columns = segments.columns(task)
    if not columns:
        raise InputError(f"{path}: has no labels of the task {task}. Check the columns.")
    nothing = str(INVALID) if task == "va" else "-1"
    rows = zip(*(segments.cells[name] for name in columns), strict=True)
    lines = [",".join(columns), *(",".join(cell or nothing for cell in row) for row in rows)]
    if (
        task == "va"
        and rules.scale[0] <= INVALID <= rules.scale[1]
        and any("" in segments.cells[name] for name in columns)
    ):
        raise InputError(
            f"{path}: has missing values, which cannot be told from {INVALID} on the scale {list(rules.scale)}."
        )
    return _parse(lambda row: f"{path}, row {row + 1} of {trial.media}", lines, task, classes, rules), segments


def _parse(where: Where, lines: Sequence[str], task: str, classes: Sequence[str], rules: LabelRules) -> Annotation:
    """Read the lines of an annotation file."""
    if not lines:
        raise InputError(f"{where(-1)}: the annotation file is empty; expected a header line and one row per frame.")
    header = tuple(field.strip() for field in lines[0].split(","))
    rows = lines[1:]
    if task == "va":
        names = tuple(name.lower() for name in header)
        if sorted(names) != sorted(VALENCE_AROUSAL):
            raise InputError(f"{where(-1)}: the header is {lines[0]!r}, expected 'valence,arousal'.")
        values = _on_scale(where, _numbers(where, rows, 2), rules.scale)
        return Annotation(VALENCE_AROUSAL, values[:, [names.index(name) for name in VALENCE_AROUSAL]])
    if task == "expr":
        meanings = _meanings(classes, rules.classes)
        if [name.lower() for name in header] == [NAMES_IN_ROWS]:
            return Annotation((NAMES_IN_ROWS,), _named(where, rows, meanings))
        numbers = _by_header(where, header, classes, meanings, rules.classes)
        positions = _whole(where, _numbers(where, rows, 1), len(header) - 1)
        return Annotation((NAMES_IN_ROWS,), np.append(numbers, math.nan)[positions])
    wrong = [name for name in header if not (name.startswith("AU") and name[2:].isdigit())]
    if wrong or len(set(header)) != len(header):
        raise InputError(f"{where(-1)}: the header is {lines[0]!r}, expected action units such as 'AU1,AU2,AU4'.")
    units = _whole(where, _numbers(where, rows, len(header)), 1)
    return Annotation(header, np.where(units < 0, math.nan, units))


def classify(rows: int, frames: int, rules: LabelRules) -> tuple[str, str]:
    """Kind and rule for numbers of annotation rows and decoded frames.

    Returns:
        `equal`, `one_more` (row), `more`, `fewer` (within the tolerance) or `far_off`, and the rule that handles it, `none` for `equal`.

    Examples:
        >>> rules = LabelRules(one_more="truncate", near="mask", far="exclude", tolerance=30)
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


def _repeated(path: Path, annotation: Annotation, frames: int) -> np.ndarray:
    """The single row of an annotation for each frame."""
    if len(annotation.values) != 1:
        raise InputError(
            f"{path}: {len(annotation.values)} rows where one row for the whole clip is expected (labels.per_clip: true)."
        )
    return np.repeat(annotation.values, frames, axis=0)


def label_table(
    task: str,
    trials: Sequence[Trial],
    annotations: Path,
    times: Mapping[str, np.ndarray],
    rules: LabelRules,
    classes: Sequence[str] = EXPRESSIONS8,
    starts: Mapping[str, float] | None = None,
    excluded: Mapping[str, Sequence[Range]] | None = None,
) -> tuple[pa.Table, dict]:
    """Labels of all annotated trials of one task on the frames of their videos.

    Args:
        task: `va`, `expr` or `au`.
        trials: Trials; those without a label of the task are skipped.
        annotations: Folder that annotation paths are relative to.
        times: Seconds of every decoded frame, float64 (N,), by video.
        rules: How files are read, and differing numbers of rows and frames handled.
        classes: Expressions of the edition.
        starts: Seconds from the beginning of the media file to frame 0 by video, for annotations that say when they hold; 0 by default.
        excluded: Ranges whose frames have no label, by trial.

    Returns:
        The table with columns trial, frame, time_s, one per label (null where not valid) and `valid` (the row is usable as a whole: both
        dimensions, the class, at least one unit), and its metadata: what the join found per trial.

    Raises:
        InputError: A file is malformed, or files have different labels.
    """
    batches, joins, columns = [], {}, None
    for trial in trials:
        if not trial.labelled(task):
            continue
        path = annotations / (trial.annotation(task) or "trials.csv")
        segments = None
        if trial.clip_label(task):
            annotation = _clip_annotation(trial, task, classes, rules)
        elif is_timed(path):
            annotation, segments = _read_timed(path, trial, task, classes, rules)
        else:
            annotation = parse_annotation(path, task, classes, rules)
        if columns not in (None, annotation.columns):
            raise InputError(
                f"{path}: labels {annotation.columns}, but other files have {columns}. Do not mix editions."
            )
        columns = annotation.columns
        frame_times = times[trial.video]
        if segments is not None:
            rows = segments.at((starts or {}).get(trial.video, 0.0) + middles(frame_times))
            kind, rule, labels = (
                "timed",
                "by_time",
                np.vstack([annotation.values, annotation.values[:1] * np.nan])[rows],
            )
        elif rules.per_clip or trial.clip_label(task):
            kind, rule, labels = PER_CLIP, "repeat", _repeated(path, annotation, len(frame_times))
        else:
            kind, rule = classify(len(annotation.values), len(frame_times), rules)
            labels = join(annotation, len(frame_times), rule)
        joins[trial.trial] = _join_facts(annotation, len(frame_times), kind, rule)
        if ranges := (excluded or {}).get(trial.trial):
            inside = in_ranges(frame_times, ranges)
            joins[trial.trial]["excluded"] = int(inside.any(axis=0).sum())
            joins[trial.trial]["ranges_without_frame"] = int((~inside.any(axis=1)).sum())
            labels = np.where(inside.any(axis=0)[:, None], np.nan, labels)
        batches.append(_batch(task, trial.trial, frame_times, columns, labels))
    schema = labels_schema(task, columns or _empty_columns(task))
    table = pa.Table.from_batches(batches, schema)
    return table, {"task": task, "columns": list(columns or ()), "rules": rules.plain(), "trials": joins}


def in_ranges(times: np.ndarray, ranges: Sequence[Range]) -> np.ndarray:
    """Which frames have their middle within each range, bool (ranges, N).

    Examples:
        >>> in_ranges(np.array([0.0, 1.0, 2.0]), [Range(1.0, 3.0, "")]).tolist()
        [[False, True, True]]
    """
    begin = middles(times)
    # How long the last frame lasts is not known here: any end after its begin includes it.
    end = np.append(begin[:-1], times[-1:])
    return np.array([(each.start_s <= begin) & (end < each.end_s) for each in ranges])


def write_labels(
    output: Path,
    *,
    task: str,
    trials: Sequence[Trial],
    annotations: Path,
    frames: Mapping[str, Path],
    rules: LabelRules,
    classes: Sequence[str] = EXPRESSIONS8,
    excluded: Mapping[str, Sequence[Range]] | None = None,
) -> None:
    """Write the label table of one task.

    Args:
        output: Table to write, `labels/{task}.parquet`.
        task: `va`, `expr` or `au`.
        trials: Trials; those without a label of the task are skipped.
        annotations: Folder that annotation paths are relative to.
        frames: Frame table of every video of the trials.
        rules: How files are read, and differing numbers of rows and frames handled.
        classes: Expressions of the edition.
        excluded: Ranges whose frames have no label, by trial.
    """
    times, starts = {}, {}
    for video, path in frames.items():
        found = read_table(path, TIMES)
        times[video] = found["time_s"].to_numpy()
        starts[video] = start_in_file(metadata_of(found.schema, path))
    table, metadata = label_table(task, trials, annotations, times, rules, classes, starts, excluded)
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


def _meanings(classes: Sequence[str], table: Mapping[str, str | None]) -> dict[str, float]:
    """Class of the edition by the name, in lower case, that a file may give it; NaN for a class whose rows have no label.

    Raises:
        InputError: `labels.classes` names a class that the edition does not have.
    """
    known = {name.lower(): float(position) for position, name in enumerate(classes)}
    unknown = [name for name in table.values() if name is not None and name.lower() not in known]
    if unknown:
        raise InputError(f"labels.classes: {unknown[0]!r} is no class of corpus.edition{nearest(unknown[0], classes)}.")
    return known | {theirs.lower(): math.nan if name is None else known[name.lower()] for theirs, name in table.items()}


def _by_header(
    where: Where,
    header: Sequence[str],
    classes: Sequence[str],
    meanings: Mapping[str, float],
    table: Mapping[str, str | None],
) -> np.ndarray:
    """Class of the edition at each position of the header.

    Raises:
        InputError: There is no header, a class is unknown or named twice, or, without a table, one of the edition is missing.
    """
    names, found = ",".join(header), [name.lower() for name in header]
    if _NUMBERS.fullmatch(names) and not set("eE") & set(names):
        raise InputError(
            f"{where(-1)}: {names!r} is no header; expected the names of the classes, then a row for each frame. "
            "Without a header it is unknown what the numbers mean: add it."
        )
    unknown = [name for name in header if name.lower() not in meanings]
    absent = [] if table else [name for name in classes if name.lower() not in found]
    if unknown or absent or len(set(found)) < len(found):
        cure = f"what {unknown[0]!r} is called there" if unknown else "what each class is called there"
        raise InputError(
            f"{where(-1)}: classes {names!r}, this edition has {','.join(classes)!r}. Check the edition, or say in "
            f"labels.classes {cure}."
        )
    return np.array([meanings[name] for name in found])


def _named(where: Where, rows: Sequence[str], meanings: Mapping[str, float]) -> np.ndarray:
    """Classes (rows, 1) of rows that hold their names."""
    numbers = {**meanings, "-1": math.nan}
    names = [row.strip().lower() for row in rows]
    for row, name in enumerate(names):
        if name not in numbers:
            raise InputError(
                f"{where(row)}: {name!r} is not a label; expected -1 (none) or one of {', '.join(meanings)}. Others are named in "
                "labels.classes."
            )
    return np.array([numbers[name] for name in names]).reshape(-1, 1)


def _numbers(where: Where, rows: Sequence[str], width: int) -> np.ndarray:
    """Finite numbers (rows, width) of lines from the second on; an `InputError` that names the first line that holds anything else."""
    text = "\n".join([*rows, ""]).encode()
    if rows and not text.translate(None, _IN_NUMBERS):
        characters = np.frombuffer(text, np.uint8)
        ends = np.flatnonzero((characters == ord(",")) | (characters == ord("\n")))
        if bytes(characters[ends]) == len(rows) * ((width - 1) * b"," + b"\n"):
            # The fields one after the other, without what separates them, and where each begins: an array of texts.
            begins = np.append(0, ends - np.arange(len(ends))).astype(np.int32)
            fields = pa.py_buffer(text.translate(None, b",\n"))
            try:
                values = (
                    pa.StringArray.from_buffers(len(ends), pa.py_buffer(begins), fields).cast(pa.float64()).to_numpy()
                )
            except pa.ArrowInvalid:  # also of a number with blanks around it
                values = np.array([math.nan])
            if np.isfinite(values).all():
                return values.reshape(-1, width)
    return np.array([_row(where(row), line, width) for row, line in enumerate(rows)]).reshape(-1, width)


def _row(where: str, line: str, width: int) -> list[float]:
    try:
        values = [decimal(field) for field in line.split(",")]
    except ValueError as error:
        raise InputError(f"{where}: {line!r} is not a row of numbers ({error}).") from None
    if len(values) != width:
        raise InputError(f"{where}: {len(values)} values where {width} are expected.")
    return values


def _on_scale(where: Where, values: np.ndarray, scale: tuple[float, float]) -> np.ndarray:
    """Map to [-1, 1]; NaN for the mark of an invalid value."""
    low, high = scale
    inside = (low <= values) & (values <= high)
    beyond = np.argwhere(~inside & (values != INVALID))
    if len(beyond):
        row, column = beyond[0]
        mark = "" if low <= INVALID <= high else f", nor is it {INVALID}, which marks a value that is no label"
        raise InputError(
            f"{where(row)}: {values[row, column]:g} is not between {low:g} and {high:g}{mark}. "
            "If the data set has another scale, declare it: labels.scale."
        )
    # Exact for [-1, 1].
    return np.where(inside, (values - (low + high) / 2) / ((high - low) / 2), math.nan)


def _whole(where: Where, values: np.ndarray, highest: int) -> np.ndarray:
    """Numbers from -1 to ``highest`` as int64; an `InputError` for what is no label."""
    unknown = np.argwhere(~np.isin(values, np.arange(-1, highest + 1)))
    if len(unknown):
        row, column = unknown[0]
        raise InputError(f"{where(row)}: {values[row, column]:g} is not a label; expected -1 (none) or 0 to {highest}.")
    return values.astype(np.int64)


def _batch(task: str, trial: str, times: np.ndarray, columns: Sequence[str], labels: np.ndarray) -> pa.RecordBatch:
    """Rows of one trial."""
    known = ~np.isnan(labels)
    arrays = {
        "trial": pa.repeat(pa.scalar(trial, pa.string()), len(times)),
        "frame": pa.array(np.arange(len(times)), pa.int32()),
        "time_s": pa.array(times, pa.float64()),
    }
    values = np.where(known, labels, 0).astype(np.float32 if task == "va" else np.int8)
    for index, name in enumerate(columns):
        arrays[name] = pa.array(values[:, index], mask=~known[:, index])
    arrays["valid"] = pa.array(known.any(axis=1) if task == "au" else known.all(axis=1), pa.bool_())
    return pa.record_batch(arrays)
