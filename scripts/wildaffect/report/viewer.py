"""A page per video: the video, and everything known about its persons on one time axis.

Pages that are opened from a disk may not fetch files, so the data of a page are typed arrays in a script beside it. Lengths and levels of
detail are the business of the script that draws (`templates/viewer.js`).
"""

import base64
import os
import shutil
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pandas as pd
import pyarrow as pa

from wildaffect.corpus.label_spaces import AU8, AU12, EXPRESSIONS8, VALENCE_AROUSAL
from wildaffect.errors import InputError
from wildaffect.faces.quality import MEASURES, REASONS, distrust
from wildaffect.faces.quality import SCHEMA as QUALITY
from wildaffect.faces.tables import NONE, SOURCES, read_trial
from wildaffect.features.store import open_array, read_valid
from wildaffect.files import atomic
from wildaffect.media.frames import read_frames
from wildaffect.report import page
from wildaffect.report.sources import columns_in, held_out_sources, series_name, trials_shown_from
from wildaffect.report.traces import frame_index
from wildaffect.scoring.read import KEYS
from wildaffect.tables import read_table

COLUMNS = tuple(dict.fromkeys((*VALENCE_AROUSAL, *EXPRESSIONS8, *AU12, *AU8)))
"""Columns of predictions and labels that pages show."""
VIDEOS, SHARED = "videos", ("viewer.js", "viewer.css")
UNLABELLED = 255
"""A frame without a label of an expression, in an array of the numbers of classes."""
FACES = pa.schema([("trial", pa.string()), ("frame", pa.int32()), ("source", pa.string()), ("track", pa.int32())])


@dataclass(frozen=True)
class Shown:
    """What a page per video needs besides the tables that the report reads anyway.

    Attributes:
        media: The video's file, by video.
        overlays: Copies with faces and values drawn in, by video; they may be written later than the page.
        quality: Measures of the faces, by trial; may lack some.
        speech: The feature `speech`, by video; may lack some.
        trust: Which frames are trusted, see `wildaffect.faces.quality.distrust`.
    """

    media: Mapping[str, Path]
    overlays: Mapping[str, Path]
    quality: Mapping[str, Path]
    speech: Mapping[str, Path]
    trust: Mapping[str, float]


def write_pages(
    folder: Path,
    rows: Sequence[Mapping[str, Any]],
    shown: Shown,
    *,
    frames: Mapping[str, Path],
    persons: Mapping[str, Path],
    labels: Mapping[str, Path],
    predictions: Sequence[Mapping],
    sheets: Mapping[str, Path],
    title: str,
) -> dict[str, dict[str, Any]]:
    """Write `videos/<video>/index.html`, `data.js` and contact sheets for every video with frames, and the files that they share.

    Args:
        folder: Folder of the report.
        rows: Rows of the table of media (`wildaffect.report.media.media_rows`), without people who are not there.
        shown: Further files.
        frames, persons: File by video.
        labels: Label table by task.
        predictions: Entries with system, variant, target, fold, partition and path of prediction tables.
        sheets: JPEG contact sheet by trial; may lack some.
        title: Title of the report.

    Returns:
        What is said of each trial in the overview: `summary`, and the addresses of its `page` and its `sheet` (empty without one).

    Raises:
        InputError: Tables do not belong to these videos.
    """
    for name in SHARED:
        with atomic(folder / name) as partial:
            shutil.copyfile(page.TEMPLATES / name, partial)
    predicted, labelled = predicted_values(predictions), labelled_values(labels)
    people: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        people[row["video"]].append(row)
    found = {}
    for video, trials in people.items():
        if video not in frames or not (table := read_frames(frames[video])).table.num_rows:
            continue
        times, durations = table.times, table.table["duration_s"].to_numpy()
        faces = faces_of(persons.get(video), len(times))
        described: list[dict[str, Any]] = []
        drawn: list[tuple[str, str]] = []
        data = {
            "video": video,
            "media": media_of(folder / VIDEOS / video, video, shown, table.about),
            "times": packed(times, np.float64),
            "end": float(times[-1] + durations[-1]),
            "variable": bool(table.about["vfr"]),
            "speech": speech_of(shown.speech.get(video), len(times)),
            "sources": SOURCES,
            "reasons": ("", *REASONS),
            "classes": EXPRESSIONS8,
            "persons": described,
        }
        for row in trials:
            trial = row["trial"]
            face, track = faces.get(trial, (None, None))
            trusted = trust_of(trial, persons.get(video), shown, len(times))
            values = {series: on_frames(part, len(times), face) for series, part in predicted.get(trial, {}).items()}
            truth = labelled_on_frames(labelled.get(trial, {}), len(times))
            described.append(
                {
                    "trial": trial,
                    "colour": row["colour"],
                    "face": None if face is None else packed(face, np.uint8),
                    "track": None if track is None else packed(track, np.int16),
                    "trust": None if trusted is None else packed(trusted, np.uint8),
                    "predictions": {
                        series: {name: packed(value, np.float32) for name, value in columns.items()}
                        for series, columns in values.items()
                    },
                    "labels": {name: packed(value, value.dtype.type) for name, value in truth.items()},
                }
            )
            here = f"{VIDEOS}/{quote(video)}"
            found[trial] = summary(values, trusted) | {"page": f"{here}/index.html", "sheet": ""}
            if trial in sheets and Path(sheets[trial]).exists():
                with atomic(folder / VIDEOS / video / f"{trial}.jpg") as partial:
                    shutil.copyfile(sheets[trial], partial)
                drawn.append((trial, quote(f"{trial}.jpg")))
                found[trial]["sheet"] = f"{here}/{quote(f'{trial}.jpg')}"
        with atomic(folder / VIDEOS / video / "data.js") as partial:
            partial.write_text(f"show({page.json_block(data)});\n", encoding="utf-8")
        with atomic(folder / VIDEOS / video / "index.html") as partial:
            partial.write_text(page.render_viewer(video=video, title=title, sheets=drawn), encoding="utf-8")
    return found


def packed(values: np.ndarray, kind: type) -> str:
    """An array as base64 of its little-endian bytes, whose type the reader knows.

    Examples:
        >>> packed(np.array([1, 2]), np.uint8)
        'AQI='
    """
    return base64.b64encode(np.ascontiguousarray(values, np.dtype(kind).newbyteorder("<")).tobytes()).decode()


def media_of(folder: Path, video: str, shown: Shown, about: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Files of a video that a browser may play, as addresses relative to the page's folder; which of them it can play only it knows.

    `offset` is the time in the file of frame 0, as browsers count: from where the first of its streams begins.
    """
    starts = [about[name] for name in ("video_start_s", "audio_start_s") if about.get(name) is not None]
    offset = about["video_start_s"] - min(starts) if about.get("video_start_s") is not None else 0.0
    files = []
    if path := shown.media.get(video):
        files.append({"name": "video", "url": address(path, folder), "offset": offset, "codec": about.get("codec")})
    if path := shown.overlays.get(video):
        files.append({"name": "faces drawn in", "url": address(path, folder), "offset": 0.0, "codec": "h264"})
    return files


def address(path: Path, folder: Path) -> str:
    """The address of a file for a page in a folder, relative, so that both can be moved together."""
    return quote(Path(os.path.relpath(path, folder)).as_posix())


def predicted_values(predictions: Sequence[Mapping]) -> dict[str, dict[str, tuple[pd.DataFrame, Path]]]:
    """Held-out rows of prediction tables by trial and series, with the table that they come from."""
    sources = held_out_sources(predictions, COLUMNS)
    found: dict[str, dict[str, tuple[pd.DataFrame, Path]]] = defaultdict(dict)
    for entry in predictions:
        if not (trials := trials_shown_from(entry, sources)):
            continue
        path = Path(entry["path"])
        names = columns_in(path, COLUMNS)
        fields = [("trial", pa.string()), ("frame", pa.int32()), *((name, pa.float32()) for name in names)]
        table = read_table(path, pa.schema(fields)).to_pandas()
        for trial, rows in table[table["trial"].isin(trials)].groupby("trial", sort=False):
            found[str(trial)][series_name(entry)] = rows, path
    return found


def labelled_values(labels: Mapping[str, Path]) -> dict[str, dict[str, tuple[pd.DataFrame, Path]]]:
    """Valid rows of label tables by trial and task, with their table."""
    found: dict[str, dict[str, tuple[pd.DataFrame, Path]]] = defaultdict(dict)
    for task, path in labels.items():
        names = columns_in(path, ("expression", *COLUMNS))
        kinds = {"expression": pa.int8()}
        fields = [(name, kinds.get(name, pa.float32() if task == "va" else pa.int8())) for name in names]
        keys = [("trial", pa.string()), ("frame", pa.int32()), ("valid", pa.bool_())]
        table = read_table(path, pa.schema(keys + fields)).to_pandas()
        for trial, rows in table[table["valid"]].groupby("trial", sort=False):
            found[str(trial)][task] = rows[["trial", "frame", *names]], path
    return found


def on_frames(part: tuple[pd.DataFrame, Path], count: int, face: np.ndarray | None) -> dict[str, np.ndarray]:
    """Predicted columns spread over all frames, float32 (count,) each; NaN where there is no row, or no face to predict from."""
    rows, path = part
    at = frame_index(rows, count, path)
    found = {}
    for name in rows.columns:
        if name in KEYS:
            continue
        spread = np.full(count, np.nan, np.float32)
        spread[at] = rows[name].to_numpy(np.float32, na_value=np.nan)
        found[name] = spread if face is None else np.where(face == SOURCES.index(NONE), np.float32(np.nan), spread)
    return found


def labelled_on_frames(parts: Mapping[str, tuple[pd.DataFrame, Path]], count: int) -> dict[str, np.ndarray]:
    """Label columns spread over all frames: float32, and for expressions uint8 with `UNLABELLED`."""
    found: dict[str, np.ndarray] = {}
    for rows, path in parts.values():
        at = frame_index(rows, count, path)
        for name in rows.columns.drop(["trial", "frame"]):
            values = rows[name].to_numpy(np.float32, na_value=np.nan)
            found[name] = np.full(count, np.nan, np.float32)
            found[name][at] = values
    if "expression" in found:
        classes = found["expression"]
        found["expression"] = np.where(np.isfinite(classes), classes, UNLABELLED).astype(np.uint8)
    return found


def faces_of(path: Path | None, count: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """By trial where the face of each frame comes from, as uint8 numbers of `SOURCES`, and its track, int16."""
    if path is None:
        return {}
    found = {}
    for trial, rows in read_table(path, FACES).to_pandas().groupby("trial", sort=False):
        at = frame_index(rows, count, path)
        source, track = np.full(count, SOURCES.index(NONE), np.uint8), np.full(count, -1, np.int16)
        source[at] = rows["source"].map({name: index for index, name in enumerate(SOURCES)}).to_numpy()
        track[at] = np.minimum(rows["track"].to_numpy(), np.iinfo(np.int16).max)
        found[str(trial)] = source, track
    return found


def trust_of(trial: str, persons: Path | None, shown: Shown, count: int) -> np.ndarray | None:
    """Why each frame is not trusted, uint8: 0 where it is, else one more than the index of `REASONS`; None where nothing was measured."""
    if persons is None or trial not in shown.quality:
        return None
    faces, table = read_trial(persons, trial), read_table(shown.quality[trial], QUALITY)
    if not len(faces.source) == len(table) == count:
        raise InputError(
            f"trial {trial}: {len(table)} rows of measures, but {count} frames. Delete the files and run again."
        )
    measures = {name: table[name].to_numpy(zero_copy_only=False).astype(np.float64) for name in MEASURES}
    why = distrust(faces.source, faces.quality, measures, shown.trust)
    return np.select([why == reason for reason in REASONS], range(1, len(REASONS) + 1), 0).astype(np.uint8)


def speech_of(path: Path | None, count: int) -> dict[str, str] | None:
    """Probability of speech, float32 (NaN where it is not known), and whether somebody speaks, uint8."""
    if path is None:
        return None
    values, known = np.array(open_array(path), np.float32), read_valid(path)
    if len(values) != count:
        raise InputError(f"{path}: {len(values)} rows, but {count} frames. Delete the file and run again.")
    probability = np.where(known, values[:, 0], np.float32(np.nan))
    return {"probability": packed(probability, np.float32), "speaking": packed(known & (values[:, 1] == 1), np.uint8)}


def summary(values: Mapping[str, Mapping[str, np.ndarray]], trusted: np.ndarray | None) -> dict[str, Any]:
    """What the overview says of a trial, over frames with a face.

    Returns:
        `valence` and `arousal` (mean and standard deviation, None where nothing predicts them) and `expression` (the most frequent of the
        likeliest, and its fraction), each of the first series that has it; `trusted` (fraction of the frames, or None). Of values nothing
        is said if no frame is trusted.
    """
    found: dict[str, Any] = {"valence": None, "arousal": None, "expression": None, "trusted": None}
    if trusted is not None:
        found["trusted"] = float((trusted == 0).mean())
        if not found["trusted"]:
            return found
    for columns in values.values():
        for name in VALENCE_AROUSAL:
            if name in columns and found[name] is None and np.isfinite(columns[name]).any():
                known = columns[name][np.isfinite(columns[name])].astype(np.float64)
                found[name] = float(known.mean()), float(known.std())
        names = [name for name in EXPRESSIONS8 if name in columns]
        if len(names) > 1 and found["expression"] is None:
            table = np.stack([columns[name] for name in names], axis=1)
            table = table[np.isfinite(table).all(axis=1)]
            if len(table):
                counts = np.bincount(table.argmax(axis=1), minlength=len(names))
                found["expression"] = names[int(counts.argmax())], float(counts.max() / len(table))
    return found
