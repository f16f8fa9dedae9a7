"""Images for people: the contact sheet of a trial, the overlay of a video."""

import os
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from wildaffect.errors import InputError
from wildaffect.faces.crops import CropFile, encode_jpeg
from wildaffect.faces.tables import TrialFaces, read_trial
from wildaffect.files import atomic
from wildaffect.media.decode import decode
from wildaffect.media.frames import read_frames
from wildaffect.media.prefetch import prefetch
from wildaffect.tables import read_metadata

TILE = 96
CAPTION = 14
# Border of a tile by the row's source.
COLOURS = {"detected": (60, 160, 75), "interpolated": (70, 110, 220), "held": (230, 160, 30), "none": (150, 150, 150)}


def contact_sheet(crops: str | os.PathLike, persons: str | os.PathLike, columns: int = 12, tiles: int = 24) -> bytes:
    """A JPEG of ``tiles`` evenly spaced frames of one trial's crop file, each with its frame number.

    The border's colour is the source: green detected, blue interpolated, orange held, grey none (then the tile is blank).
    ``persons`` is the video's persons table. A trial of zero frames gives one blank tile.
    """
    file = CropFile(crops)
    source = read_trial(persons, file.about["trial"]).source
    frames = np.unique(np.linspace(0, max(0, len(file) - 1), tiles).round().astype(int))[: len(file)]
    drawn = [_tile(file.read([frame])[0], int(frame), source[frame]) for frame in frames]
    drawn = drawn or [np.full((TILE + CAPTION, TILE, 3), 245, np.uint8)]
    blank = np.full_like(drawn[0], 255)
    drawn += [blank] * (-len(drawn) % columns if len(drawn) > columns else 0)
    width = min(columns, len(drawn))
    return encode_jpeg(np.vstack([np.hstack(drawn[start : start + width]) for start in range(0, len(drawn), width)]))


def write_contact_sheet(crops: str | os.PathLike, persons: str | os.PathLike, output: str | os.PathLike) -> None:
    """Write :func:`contact_sheet` to a file."""
    with atomic(output) as partial:
        partial.write_bytes(contact_sheet(crops, persons))


def _tile(picture: np.ndarray, frame: int, source: str) -> np.ndarray:
    tile = np.full((TILE + CAPTION, TILE, 3), 255, np.uint8)
    side = TILE - 8
    shrinks = picture.shape[0] > side
    face = cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    tile[4 : TILE - 4, 4 : TILE - 4] = face if source != "none" else 235
    cv2.rectangle(tile, (2, 2), (TILE - 3, TILE - 3), COLOURS[source], 2)
    cv2.putText(tile, str(frame), (4, TILE + 10), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (60, 60, 60), 1, cv2.LINE_AA)
    return tile


# Longer side of the copy; larger pictures are shrunk.
MOST_PIXELS = 960
# Ticks per second of the copy: fine enough for every usual frame rate and for the times of variable ones.
CLOCK = 90_000
ENCODER = {"preset": "veryfast", "crf": "23"}


def draw_overlay(
    video: str | os.PathLike,
    frames: str | os.PathLike,
    persons: str | os.PathLike,
    output: str | os.PathLike,
    *,
    threads: int = 1,
) -> None:
    """Write an H.264 video (MP4) that shows each trial's box, points, name and source in every frame, at its true time.

    One picture is held at a time. A video without frames gives an empty file, which the format does not know.
    """
    table = read_frames(frames)
    trials = {trial: read_trial(persons, trial) for trial in read_metadata(persons)["trials"]}
    with atomic(output) as partial:
        if not table.about["frames"]:
            partial.write_bytes(b"")
            return
        _write(partial, Path(video), table.times, trials, threads)


def draw_persons(picture: np.ndarray, trials: dict[str, TrialFaces], frame: int, scale: float = 1.0) -> np.ndarray:
    """The picture uint8 (H, W, 3), already scaled by ``scale``, with what ``trials`` (name -> rows) say of ``frame``.

    Colours are those of the contact sheet: green detected, blue interpolated, orange held; absent persons are listed.
    """
    drawn = picture.copy()
    absent = 0
    for trial, rows in trials.items():
        source = str(rows.source[frame])
        colour, words = COLOURS[source], f"{trial} {source}"
        if source == "none" or np.isnan(rows.boxes[frame]).any():
            absent += 1
            _write_words(drawn, words, (6, 18 * absent), colour)
            continue
        x0, y0, x1, y1 = (round(float(value) * scale) for value in rows.boxes[frame])
        cv2.rectangle(drawn, (x0, y0), (x1, y1), colour, 2)
        dense = rows.points68[frame]
        for points, radius in ((dense, 1), (rows.points5[frame], 2)):
            for x, y in points[~np.isnan(points).any(axis=1)] * scale:
                cv2.circle(drawn, (round(float(x)), round(float(y))), radius, colour, -1, cv2.LINE_AA)
        _write_words(drawn, f"{words} track {rows.track[frame]}", (x0, max(14, y0 - 6)), colour)
    _write_words(drawn, str(frame), (6, drawn.shape[0] - 8), (70, 70, 70))
    return drawn


def _write(path: Path, video: Path, times: np.ndarray, trials: dict[str, TrialFaces], threads: int) -> None:
    stamps = np.round((times - times[0]) * CLOCK).astype(int)
    with av.open(str(path), "w", format="mp4", options={"movflags": "faststart"}) as container:
        stream, decoded = None, 0
        for frame, picture in prefetch(decode(video, threads), 2):
            if frame >= len(times):
                break
            scale = min(1.0, MOST_PIXELS / max(picture.shape[:2]))
            # The pixel format stores colour for blocks of two by two.
            wide, high = (max(2, round(scale * length) // 2 * 2) for length in picture.shape[1::-1])
            if stream is None:
                stream = container.add_stream("libx264", rate=_rate(times), options=ENCODER)
                stream.width, stream.height, stream.pix_fmt = wide, high, "yuv420p"
                stream.codec_context.time_base = Fraction(1, CLOCK)
                stream.codec_context.thread_count = threads
            small = (
                cv2.resize(picture, (wide, high), interpolation=cv2.INTER_AREA) if scale < 1 else picture[:high, :wide]
            )
            shown = av.VideoFrame.from_ndarray(draw_persons(small, trials, frame, scale), format="rgb24")
            shown.pts, shown.time_base = int(stamps[frame]), Fraction(1, CLOCK)
            container.mux(stream.encode(shown))
            decoded += 1
        if decoded != len(times):
            raise InputError(
                f"{video}: {decoded} frames decoded, its frame table has {len(times)}. Make the table again."
            )
        container.mux(stream.encode())


def _rate(times: np.ndarray) -> Fraction:
    """A usual number for players; the time stamps are what counts."""
    mean = (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 and times[-1] > times[0] else 25.0
    return Fraction(mean).limit_denominator(1001)


def _write_words(picture: np.ndarray, words: str, place: tuple[int, int], colour: tuple[int, int, int]) -> None:
    font, size = cv2.FONT_HERSHEY_SIMPLEX, 0.45
    (wide, high), below = cv2.getTextSize(words, font, size, 1)
    x, y = place
    cv2.rectangle(picture, (x - 2, y - high - 3), (x + wide + 2, y + below), colour, -1)
    cv2.putText(picture, words, place, font, size, (255, 255, 255), 1, cv2.LINE_AA)
