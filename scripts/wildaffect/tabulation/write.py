"""Tables by frame, by person and video, and by segment, of everything that a run predicted.

Values of frames without a face are missing. Summaries are over trusted frames (`wildaffect.faces.quality.distrust`).
"""

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from wildaffect.corpus.label_spaces import AU_THRESHOLD, VALENCE_AROUSAL
from wildaffect.errors import InputError
from wildaffect.faces.quality import MEASURES, REASONS, distrust
from wildaffect.faces.quality import SCHEMA as QUALITY
from wildaffect.faces.tables import NONE, absent_trials, read_trial
from wildaffect.features.store import open_array, read_valid
from wildaffect.files import atomic
from wildaffect.media.frames import read_frames
from wildaffect.names import check_name
from wildaffect.tables import read_table
from wildaffect.tabulation import dictionary
from wildaffect.tabulation.dictionary import Column, above_name, quantile_name, summary_columns, value_column
from wildaffect.tabulation.segments import RELATIVE, Segment, read_segments, speech_turns, windows
from wildaffect.tabulation.values import Values
from wildaffect.textfiles import safe_cell

log = logging.getLogger(__name__)

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
BASELINES = {
    "none": "Values are as they were predicted.",
    "median": "Columns that end in _relative are values minus the person's median over all trusted frames.",
    "zscore": "Columns that end in _relative are values minus the person's mean, divided by the standard deviation, over all trusted "
    "frames.",
    "opening": "Columns that end in _relative are values minus the mean of the trusted frames in the first {baseline_s:g} s of the "
    "person's videos.",
}
TRUSTED = (
    "A frame is not trusted where there is no face or a repeated detection, where the landmarks are of no use, and where the face is "
    "smaller than {min_face_px:g} pixels, turned by more than {max_yaw:g} degrees, nodded by more than {max_pitch:g}, less sharp than "
    "{min_sharpness:g}, darker than {min_brightness:g} or brighter than {max_brightness:g}; the first that applies is given. What was not "
    "measured is no reason. Summaries of values are over trusted frames."
)


@dataclass(frozen=True)
class Inputs:
    """Files of a run.

    Attributes:
        video_of: Video of each trial, in the order of the tables.
        subjects: Person of trials whose subject is known.
        frames, persons, speech: File by video; no speech: none was asked for.
        quality: File by trial.
        predictions: Entries with system, variant, target, fold, partition and path.
        segments: Table of segments that the user gives.
    """

    video_of: Mapping[str, str]
    frames: Mapping[str, Path]
    persons: Mapping[str, Path]
    quality: Mapping[str, Path]
    predictions: Sequence[Mapping[str, Any]]
    speech: Mapping[str, Path] = field(default_factory=dict)
    subjects: Mapping[str, str] = field(default_factory=dict)
    segments: Path | None = None


def write_tables(
    frames: Path, videos: Path, segments: Path, text: Path, data: Path, inputs: Inputs, settings: Mapping[str, Any]
) -> None:
    """Write all tables. One trial is in memory at a time, beside the predictions.

    Args:
        frames: Folder of one CSV per trial.
        videos: CSV with a row per trial.
        segments: CSV with a row per segment of each trial.
        text: Dictionary of the columns, for people.
        data: The same for programs.
        inputs: Files.
        settings: The section ``tables`` of the configuration.
    """
    values = Values(inputs.predictions)
    given = read_segments(inputs.segments, inputs.video_of) if inputs.segments else {}
    scales = _scales(inputs, values, settings)
    names = [*values.columns, *(f"{name}{RELATIVE}" for name in values.columns if settings["baseline"] != "none")]
    thresholds = thresholds_of(values, names, settings["thresholds"])
    of_videos, of_segments = [], []
    for trial, table in _trials(inputs, values, settings):
        person = table["person"].iloc[0] if len(table) else inputs.subjects.get(trial, trial)
        table = _with_relative(table, values, scales.get(person), settings["baseline"])
        _write_csv(frames / f"{check_name(trial, 'the table of trials')}.csv", table)
        who = {"trial": trial, "video": inputs.video_of[trial], "person": person}
        of_videos.append(who | summary(table, names, thresholds))
        _tell_trust(trial, of_videos[-1])
        parts = [*_segments(table, settings["window_s"]), *given.get(trial, ())]
        numbers: Counter[str] = Counter()
        for part in parts:
            inside = table[(table["time_s"] >= part.start_s) & (table["time_s"] < part.end_s)]
            about = {"kind": part.kind, "segment": numbers[part.kind], "label": part.label}
            numbers[part.kind] += 1
            times = {"start_s": part.start_s, "end_s": part.end_s}
            of_segments.append(who | about | times | summary(inside, names, thresholds))
    columns = columns_of(values, names, thresholds, settings, speech=bool(inputs.speech))
    for path, name, rows in ((videos, "videos", of_videos), (segments, "segments", of_segments)):
        _write_csv(path, pd.DataFrame(rows, columns=[column.name for column in columns[name]]))
    dictionary.write_dictionary(text, data, columns, _remarks(settings))


def _tell_trust(trial: str, row: Mapping[str, Any]) -> None:
    """How many frames are trusted, and why the others are not, in the log."""
    counted = {reason: row[f"frames_{reason}"] for reason in REASONS}
    why = ", ".join(f"{count} {reason}" for reason, count in counted.items() if count)
    log.info(
        "%s: %d of %d frames are trusted%s", trial, row["trusted_frames"], row["frames"], f" ({why})" if why else ""
    )


def _trials(inputs: Inputs, values: Values, settings: Mapping[str, Any]) -> Iterator[tuple[str, pd.DataFrame]]:
    absent = {trial for path in inputs.persons.values() for trial in absent_trials(path)}
    for trial in (trial for trial in inputs.video_of if trial not in absent):
        yield trial, frame_table(trial, inputs, values, settings["trust"])


def frame_table(trial: str, inputs: Inputs, values: Values, rule: Mapping[str, float]) -> pd.DataFrame:
    """The rows of one trial, one per decoded frame.

    Args:
        trial: Name of the trial.
        inputs: Files of the run.
        values: Predicted values.
        rule: What is trusted, see `wildaffect.faces.quality.distrust`.
    """
    video = inputs.video_of[trial]
    frames = read_frames(inputs.frames[video])
    count = len(frames.times)
    faces = read_trial(inputs.persons[video], trial)
    quality = read_table(inputs.quality[trial], QUALITY)
    for kind, rows in (("faces", len(faces.source)), ("measures", len(quality))):
        if rows != count:
            raise InputError(
                f"trial {trial}: {rows} rows of {kind}, but {count} frames. Delete the files and run again."
            )
    measures = {name: quality[name].to_numpy(zero_copy_only=False).astype(np.float64) for name in MEASURES}
    predicted, source = values.of(trial, count)
    why = distrust(faces.source, faces.quality, measures, rule)
    columns: dict[str, Any] = {
        "trial": trial,
        "video": video,
        "person": inputs.subjects.get(trial, trial),
        "frame": np.arange(count),
        "time_s": frames.times,
        "duration_s": frames.table["duration_s"].to_numpy(),
        **predicted,
        "source": source,
        "face": faces.source.astype(object),
        **measures,
    }
    if inputs.speech:
        speech = np.array(open_array(inputs.speech[video]), np.float64)
        heard = read_valid(inputs.speech[video])
        columns["speech_probability"] = np.where(heard, speech[:, 0], np.nan)
        columns["speech"] = np.where(heard, speech[:, 1], np.nan)
    return pd.DataFrame(
        columns | {"trusted": (why == "").astype(int), "distrust": why.astype(object)}, index=range(count)
    )


def _segments(table: pd.DataFrame, window_s: float) -> list[Segment]:
    """Windows and turns of speech of one trial."""
    if table.empty:
        return []
    times, durations = table["time_s"].to_numpy(), table["duration_s"].to_numpy()
    found = windows(float(times[-1] + durations[-1]), window_s) if window_s else []
    return found + (speech_turns(times, durations, table["speech"].to_numpy() == 1) if "speech" in table else [])


def summary(table: pd.DataFrame, names: Sequence[str], thresholds: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """What is said of a stretch of frames.

    Args:
        table: Rows of a frame table.
        names: Value columns.
        thresholds: Of each value.
    """
    trusted = table[table["trusted"] == 1]
    faces = int((table["face"] != NONE).sum())
    found: dict[str, Any] = {
        "frames": len(table),
        "seconds": table["duration_s"].sum(),
        "faces": faces,
        "coverage": faces / len(table) if len(table) else np.nan,
        "trusted_frames": len(trusted),
        "trusted_s": trusted["duration_s"].sum(),
        **{f"frames_{reason}": int((table["distrust"] == reason).sum()) for reason in REASONS},
    }
    if "speech" in table:
        known = table["speech"].notna()
        found["speech_s"] = table["duration_s"][table["speech"] == 1].sum() if known.any() else np.nan
    for name in names:
        values = trusted[name].dropna()
        found[f"{name}_n"] = len(values)
        found[f"{name}_mean"] = values.mean()
        found[f"{name}_sd"] = values.std()
        found |= {quantile_name(name, q): values.quantile(q) for q in QUANTILES}
        found |= {
            above_name(name, limit): trusted["duration_s"][trusted[name] > limit].sum()
            for limit in thresholds.get(name, ())
        }
    return found


def thresholds_of(
    values: Values, names: Sequence[str], asked: Mapping[str, Sequence[float]]
) -> dict[str, Sequence[float]]:
    """Limits of each value: those ``asked`` for by its name or by what is predicted.

    Without any they are 0 for valence and arousal and for relative values, and 0.5 for the others.
    """
    found: dict[str, Sequence[float]] = {}
    for name in names:
        plain = name.removesuffix(RELATIVE)
        column = values.columns[plain][3]
        usual = (0.0,) if name != plain or column in VALENCE_AROUSAL else (AU_THRESHOLD,)
        found[name] = tuple(asked.get(name, asked.get(column, usual) if name == plain else usual))
    return found


def _scales(inputs: Inputs, values: Values, settings: Mapping[str, Any]) -> dict[str, pd.DataFrame]:
    """Per person, what is subtracted from each value (row ``minus``) and what it is divided by (row ``by``)."""
    method = settings["baseline"]
    parts: dict[str, list[pd.DataFrame]] = {}
    if method == "none":
        return {}
    for _, table in _trials(inputs, values, settings):
        chosen = table[table["trusted"] == 1]
        if method == "opening":
            chosen = chosen[chosen["time_s"] < settings["baseline_s"]]
        if len(chosen):
            parts.setdefault(chosen["person"].iloc[0], []).append(chosen[[*values.columns]])
    found = {}
    for person, tables in parts.items():
        known = pd.concat(tables)
        minus = known.median() if method == "median" else known.mean()
        by = known.std() if method == "zscore" else minus * 0 + 1
        found[person] = pd.DataFrame({"minus": minus, "by": by.where(by > 0)}).T
    return found


def _with_relative(table: pd.DataFrame, values: Values, scale: pd.DataFrame | None, baseline: str) -> pd.DataFrame:
    """The table with the values relative to the person's baseline behind the values; missing where there is none."""
    if baseline == "none":
        return table
    relative = {
        f"{name}{RELATIVE}": (table[name] - scale.loc["minus", name]) / scale.loc["by", name]
        if scale is not None
        else np.nan
        for name in values.columns
    }
    at = table.columns.get_loc("source")
    new = pd.DataFrame(relative, index=table.index)
    return pd.concat([table.iloc[:, :at], new, table.iloc[:, at:]], axis=1)


def columns_of(
    values: Values,
    names: Sequence[str],
    thresholds: Mapping[str, Sequence[float]],
    settings: Mapping[str, Any],
    *,
    speech: bool,
) -> dict[str, list[Column]]:
    """Columns of each table, in its order."""
    shown = [value_column(name, column, "/".join(source)) for name, (*source, column) in values.columns.items()]
    if settings["baseline"] != "none":
        shown += [
            Column(
                f"{name}{RELATIVE}",
                f"{name} relative to the person's baseline ({settings['baseline']})",
                missing=dictionary.EMPTY,
            )
            for name in values.columns
        ]
    spoken = dictionary.SPEECH if speech else ()
    summaries = [
        *dictionary.COUNTS, *([dictionary.SPOKEN] if speech else []), *summary_columns(names, thresholds, QUANTILES)
    ]  # fmt: skip
    return {
        "frames": [
            *dictionary.TRIAL,
            *dictionary.TIME,
            *shown,
            dictionary.SOURCE,
            *dictionary.FACE,
            *spoken,
            *dictionary.TRUST,
        ],
        "videos": [*dictionary.TRIAL, *summaries],
        "segments": [*dictionary.TRIAL, *dictionary.SEGMENT, *summaries],
    }


def _remarks(settings: Mapping[str, Any]) -> list[str]:
    """What holds for all tables: their form, what is trusted, and what values are relative to."""
    return [
        "A row of `frames/<trial>.csv` is a decoded frame, of `videos.csv` a person in a video, of `segments.csv` a stretch of a video. "
        "Cells are separated by commas, decimals have a point, texts are UTF-8.",
        TRUSTED.format(**settings["trust"]),
        BASELINES[settings["baseline"]].format(**settings),
    ]


def _write_csv(path: Path, table: pd.DataFrame) -> None:
    """A table without its index; texts cannot be taken for formulas by spreadsheets."""
    safe = table.copy()
    for name in safe.columns:
        if safe[name].dtype.kind not in "fiub":
            safe[name] = [safe_cell(cell) for cell in safe[name]]
    with atomic(path) as partial:
        safe.to_csv(partial, index=False, float_format="%.9g", lineterminator="\n")
