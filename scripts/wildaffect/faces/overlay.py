"""A copy of a video with boxes, points and names drawn in, for a person to look at."""

import os
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from wildaffect.errors import InputError
from wildaffect.faces.ahead import ahead
from wildaffect.faces.rows import Rows, read_trial
from wildaffect.faces.sheet import COLOURS
from wildaffect.files import atomic
from wildaffect.media.decode import decode
from wildaffect.media.frames import read_frames
from wildaffect.tables import read_metadata

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


def draw_persons(picture: np.ndarray, trials: dict[str, Rows], frame: int, scale: float = 1.0) -> np.ndarray:
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


def _write(path: Path, video: Path, times: np.ndarray, trials: dict[str, Rows], threads: int) -> None:
    stamps = np.round((times - times[0]) * CLOCK).astype(int)
    with av.open(str(path), "w", format="mp4", options={"movflags": "faststart"}) as container:
        stream, decoded = None, 0
        for frame, picture in ahead(decode(video, threads), 2):
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
