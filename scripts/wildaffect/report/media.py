"""What the page says about videos, sound and faces, one row per trial, and the contact sheets."""

import base64
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa

from wildaffect.errors import InputError
from wildaffect.media.audio import read_about
from wildaffect.tables import read_metadata, read_table

SOURCES = ("detected", "interpolated", "held", "none")
SHEET_BYTES_PER_PAGE = 16 * 2**20
SHEET_BYTES_LEAST = 4 * 2**10
SHEET_QUALITIES = (85, 70, 55, 40)


def face_coverage(path: Path) -> dict[str, dict[str, int]]:
    """Number of frames per source and trial of one person table, every source of `SOURCES` present."""
    table = read_table(path, pa.schema([("trial", pa.string()), ("source", pa.string())]))
    counts = table.group_by(["trial", "source"]).aggregate([([], "count_all")]).to_pylist()
    result: dict[str, dict[str, int]] = {}
    for row in counts:
        result.setdefault(row["trial"], dict.fromkeys(SOURCES, 0))[row["source"]] += row["count_all"]
    return result


def media_rows(trials: list[Mapping], frames: Mapping, audio: Mapping, persons: Mapping) -> list[dict]:
    """One row per trial: ``trial``, ``video``, ``partitions``, ``media`` and ``audio`` descriptions, ``faces`` counts.

    ``media``, ``audio`` and ``faces`` are None where the stage has not run for that video.
    """
    about_video = {video: read_metadata(path) for video, path in frames.items()}
    about_audio = {video: read_about(path) for video, path in audio.items()}
    coverage = {video: face_coverage(path) for video, path in persons.items()}
    rows = []
    for trial in trials:
        video = trial["video"]
        found = coverage.get(video)
        rows.append(
            {
                "trial": trial["trial"],
                "video": video,
                "person": trial["person"],
                "partitions": partitions(trial),
                "media": about_video.get(video),
                "audio": about_audio.get(video),
                "faces": None if found is None else found.get(trial["trial"], dict.fromkeys(SOURCES, 0)),
            }
        )
    return rows


def partitions(trial: Mapping) -> str:
    """The partitions of a trial in words: ``validation`` or, where tasks differ, ``va validation, expr train``."""
    found = {task: trial[f"partition_{task}"] for task in ("va", "expr", "au") if trial[f"partition_{task}"]}
    if len(set(found.values())) == 1:
        return f"{next(iter(found.values()))} ({', '.join(found)})"
    return ", ".join(f"{value} ({task})" for task, value in found.items())


def contact_sheets(sheets: Mapping[str, Path]) -> tuple[dict[str, str], int]:
    """Contact sheets as ``data:`` addresses per trial, and how many were reduced to keep the page small.

    All sheets together have at most `SHEET_BYTES_PER_PAGE` bytes (but each at least `SHEET_BYTES_LEAST`); a larger
    one is stored again with lower JPEG quality and then at smaller size until it fits.
    """
    limit = max(SHEET_BYTES_LEAST, SHEET_BYTES_PER_PAGE // max(len(sheets), 1))
    result, reduced = {}, 0
    for trial, path in sheets.items():
        data = Path(path).read_bytes()
        if len(data) > limit:
            data, reduced = smaller_jpeg(data, limit, path), reduced + 1
        result[trial] = "data:image/jpeg;base64," + base64.b64encode(data).decode()
    return result, reduced


def smaller_jpeg(data: bytes, limit: int, path: Path) -> bytes:
    """The same picture as JPEG in at most ``limit`` bytes, or 32 pixels wide if that is still too much."""
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if picture is None:
        raise InputError(f"{path}: not a readable picture. Delete it and run again.")
    while True:
        for quality in SHEET_QUALITIES:
            encoded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
            if len(encoded) <= limit or picture.shape[1] <= 32:
                return encoded
        picture = cv2.resize(picture, None, fx=0.75, fy=0.75, interpolation=cv2.INTER_AREA)
