"""Rows of the table of videos, audio and faces, one per trial, and what overlays show of predictions."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from wildaffect.corpus.label_spaces import EXPRESSIONS8, VALENCE_AROUSAL
from wildaffect.corpus.trials import TASKS
from wildaffect.faces.previews import Values, person_colour
from wildaffect.faces.tables import SOURCES
from wildaffect.media.audio import read_about
from wildaffect.report.sources import columns_in, held_out_sources, trials_shown_from
from wildaffect.tables import read_metadata, read_table

SHOWN = {**{name: (name,) for name in VALENCE_AROUSAL}, "expression": EXPRESSIONS8}
"""What overlays show of predictions, and the columns that it is made of."""


def face_coverage(path: Path) -> dict[str, dict[str, int]]:
    """Frames by trial and source of one person table, with every source of `SOURCES`."""
    table = read_table(path, pa.schema([("trial", pa.string()), ("source", pa.string())]))
    counts = table.group_by(["trial", "source"]).aggregate([([], "count_all")]).to_pylist()
    result: dict[str, dict[str, int]] = {}
    for row in counts:
        result.setdefault(row["trial"], dict.fromkeys(SOURCES, 0))[row["source"]] += row["count_all"]
    return result


def media_rows(trials: list[Mapping], frames: Mapping, audio: Mapping, persons: Mapping) -> list[dict]:
    """Rows of the table of media.

    Args:
        trials: Rows of the table of trials.
        frames, audio, persons: Files by video.

    Returns:
        Per trial a dict with `trial`, `video`, `person`, `colour` (of one of several people), `partitions`, `media` and `audio`
        (metadata) and `faces` (frames by source); the last three are None where the stage has not run for the video.
    """
    media = {video: read_metadata(path) for video, path in frames.items()}
    audio_metadata = {video: read_about(path) for video, path in audio.items()}
    coverage = {video: face_coverage(path) for video, path in persons.items()}
    rows = []
    for trial in trials:
        video = trial["video"]
        faces = coverage.get(video)
        rows.append(
            {
                "trial": trial["trial"],
                "video": video,
                "person": trial["person"],
                "colour": "#{:02x}{:02x}{:02x}".format(*person_colour(trial["person"]))
                if trial["person"].isdigit()
                else "",
                "partitions": partitions(trial),
                "media": media.get(video),
                "audio": audio_metadata.get(video),
                "faces": None if faces is None else faces.get(trial["trial"], dict.fromkeys(SOURCES, 0)),
            }
        )
    return rows


def predicted_values(predictions: Sequence[Mapping], frames: Mapping[str, int]) -> tuple[dict[str, Values], str]:
    """What an overlay shows of predictions: valence, arousal and the likeliest expression of every trial.

    Each is of the first table that has it, among those that the pages of videos show: see `held_out_sources`.

    Args:
        predictions: Entries with system, variant, target, fold, partition and path of prediction tables.
        frames: Number of frames by trial that is shown.

    Returns:
        Values by trial that any table has frames of, and where they come from in words.
    """
    sources = held_out_sources(predictions, (*VALENCE_AROUSAL, *EXPRESSIONS8))
    values: dict[str, Values] = {}
    names: dict[str, None] = {}
    for trial, count in frames.items():
        entries = [entry for entry in predictions if trial in trials_shown_from(entry, sources)]
        found = {}
        for what, wanted in SHOWN.items():
            if entry := next((entry for entry in entries if columns_in(entry["path"], wanted)), None):
                columns = columns_in(entry["path"], wanted)
                found[what] = columns, _on_frames(entry["path"], columns, trial, count)
                names[f"{entry['system']}/{entry['variant']}"] = None
        if found:
            none = (), np.full((count, 1), np.nan)
            valence, arousal = (found.get(name, none)[1][:, 0] for name in VALENCE_AROUSAL)
            expressions, chances = found.get("expression", none)
            values[trial] = Values(valence, arousal, likeliest(chances, expressions) if expressions else ())
    return values, ", ".join(names)


def _on_frames(path: Path, columns: Sequence[str], trial: str, count: int) -> np.ndarray:
    """Columns of a trial in a prediction table, float64 (count, columns), NaN where a frame has no row."""
    fields = [("trial", pa.string()), ("frame", pa.int32()), *((name, pa.float32()) for name in columns)]
    table = read_table(path, pa.schema(fields))
    rows = table.filter(pc.equal(table["trial"], trial))
    values = np.full((count, len(columns)), np.nan)
    values[rows["frame"].to_numpy()] = np.stack([rows[name].to_numpy() for name in columns], axis=1)
    return values


def likeliest(values: np.ndarray, names: Sequence[str]) -> tuple[str, ...]:
    """Name and value of the largest of each row; empty for a row without values.

    Examples:
        >>> likeliest(np.array([[0.25, 0.75], [np.nan, np.nan]]), ("sad", "happy"))
        ('happy 75%', '')
    """
    known = np.isfinite(values).all(axis=1)
    best = np.where(known, np.where(np.isfinite(values), values, -np.inf).argmax(axis=1), 0)
    return tuple(
        f"{names[index]} {row[index]:.0%}" if there else ""
        for index, row, there in zip(best, values, known, strict=True)
    )


def partitions(trial: Mapping) -> str:
    """The partitions of a row of the table of trials in words.

    Examples:
        >>> partitions({"partition_va": "train", "partition_expr": "train", "partition_au": None})
        'train (va, expr)'
        >>> partitions({"partition_va": "train", "partition_expr": None, "partition_au": "test"})
        'train (va), test (au)'
    """
    partition_of = {task: trial[f"partition_{task}"] for task in TASKS if trial[f"partition_{task}"]}
    if len(set(partition_of.values())) == 1:
        return f"{next(iter(partition_of.values()))} ({', '.join(partition_of)})"
    return ", ".join(f"{partition} ({task})" for task, partition in partition_of.items())
