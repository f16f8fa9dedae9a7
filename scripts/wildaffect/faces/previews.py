"""Images for people: the contact sheet of a trial, the overlay of a video."""

import os
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from wildaffect.errors import InputError
from wildaffect.faces.crops import CropFile, encode_image
from wildaffect.faces.tables import DETECTED, GOOD, HELD, INTERPOLATED, NONE, TrialFaces, read_trial
from wildaffect.files import atomic
from wildaffect.media.decode import decode, prefetch
from wildaffect.media.frames import read_frames
from wildaffect.tables import read_metadata

TILE = 96
CAPTION = 14
# Border of a tile by the row's source.
COLOURS = {DETECTED: (60, 160, 75), INTERPOLATED: (70, 110, 220), HELD: (230, 160, 30), NONE: (150, 150, 150)}
# Words on crops of doubtful quality, and boxes of other people.
WARNING, OTHERS = (205, 40, 40), (190, 130, 0)
# Height of the whole frame in a contact sheet.
OVERVIEW = 480


def contact_sheet(
    crops: str | os.PathLike,
    persons: str | os.PathLike,
    video: str | os.PathLike | None = None,
    columns: int = 12,
    tiles: int = 24,
) -> bytes:
    """Draw evenly spaced frames of one trial, each with its index.

    The border's colour is the source: green detected, blue interpolated, orange held, grey none (then the tile is blank); a quality that
    is not good is written in red. If the video shows several people, the first frame with the most of them stands below, with everybody's
    track number. A trial of zero frames gives one blank tile.

    Args:
        crops: Crop file of the trial.
        persons: Table of persons of the video.
        video: The video; None: no whole frame.
        columns: Tiles side by side.
        tiles: Frames shown.

    Returns:
        JPEG bytes.
    """
    file = CropFile(crops)
    rows = read_trial(persons, file.about["trial"])
    source, quality = rows.source, rows.quality
    frames = np.unique(np.linspace(0, max(0, len(file) - 1), tiles).round().astype(int))[: len(file)]
    drawn = [_tile(file.read([frame])[0], int(frame), source[frame], quality[frame]) for frame in frames]
    drawn = drawn or [np.full((TILE + CAPTION, TILE, 3), 245, np.uint8)]
    blank = np.full_like(drawn[0], 255)
    drawn += [blank] * (-len(drawn) % columns if len(drawn) > columns else 0)
    width = min(columns, len(drawn))
    parts = [np.hstack(drawn[start : start + width]) for start in range(0, len(drawn), width)]
    about = read_metadata(persons)
    if video is not None and (overview := about.get("overview")):
        image = next(
            (image for index, image in decode(Path(video), 1, about.get("view")) if index == overview["frame"]), None
        )
        if image is None:
            raise InputError(f"{video}: has no frame {overview['frame']} any more. Run the face stage again.")
        parts.append(_overview(image, overview, int(rows.track[overview["frame"]])))
    wide = max(part.shape[1] for part in parts)
    return encode_image(np.vstack([_widened(part, wide) for part in parts]))


def write_contact_sheet(
    video: str | os.PathLike, crops: str | os.PathLike, persons: str | os.PathLike, output: str | os.PathLike
) -> None:
    """Write `contact_sheet` to a file."""
    with atomic(output) as partial:
        partial.write_bytes(contact_sheet(crops, persons, video))


def _overview(image: np.ndarray, overview: dict[str, Any], followed: int) -> np.ndarray:
    """A whole frame with everybody's box and track; green is the track ``followed`` there."""
    scale = min(1.0, OVERVIEW / image.shape[0], 12 * TILE / image.shape[1])
    size = [max(1, round(scale * length)) for length in image.shape[1::-1]]
    drawn = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    for face in overview["faces"]:
        x0, y0, x1, y1 = (round(value * scale) for value in face["box"])
        colour = COLOURS[DETECTED] if face["track"] == followed else OTHERS
        cv2.rectangle(drawn, (x0, y0), (x1, y1), colour, 2)
        _write_words(drawn, f"track {face['track']}", (max(2, x0), max(14, y0 - 6)), colour)
    _write_words(drawn, f"frame {overview['frame']}", (6, drawn.shape[0] - 8), (70, 70, 70))
    return drawn


def _widened(image: np.ndarray, width: int) -> np.ndarray:
    return cv2.copyMakeBorder(image, 0, 0, 0, width - image.shape[1], cv2.BORDER_CONSTANT, value=(255, 255, 255))


def _tile(image: np.ndarray, frame: int, source: str, quality: str) -> np.ndarray:
    tile = np.full((TILE + CAPTION, TILE, 3), 255, np.uint8)
    side = TILE - 8
    shrinks = image.shape[0] > side
    face = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    tile[4 : TILE - 4, 4 : TILE - 4] = face if source != NONE else 235
    cv2.rectangle(tile, (2, 2), (TILE - 3, TILE - 3), COLOURS[source], 2)
    cv2.putText(tile, str(frame), (4, TILE + 10), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (60, 60, 60), 1, cv2.LINE_AA)
    if quality not in ("", GOOD):
        cv2.putText(tile, quality, (TILE - 66, TILE + 10), cv2.FONT_HERSHEY_SIMPLEX, 0.36, WARNING, 1, cv2.LINE_AA)
    return tile


# Longer side of the copy; larger images are shrunk.
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

    One image is held at a time. A video without frames gives an empty file, as the format has no such video.

    Args:
        video: The video.
        frames: Its frame table.
        persons: Its table of persons.
        output: Video to write.
        threads: Threads that decode and encode.

    Raises:
        InputError: If the video no longer has the frames of the table.
    """
    table = read_frames(frames)
    trials = {trial: read_trial(persons, trial) for trial in read_metadata(persons)["trials"]}
    with atomic(output) as partial:
        if not table.about["frames"]:
            partial.write_bytes(b"")
            return
        images = decode(Path(video), threads, table.about.get("view"))
        _write(partial, Path(video), images, table.times, trials, threads)


def draw_persons(image: np.ndarray, trials: dict[str, TrialFaces], frame: int, scale: float = 1.0) -> np.ndarray:
    """Draw what the tables say about one frame. Colours are those of the contact sheet; absent persons are listed.

    Args:
        image: RGB uint8 (H, W, 3), already scaled by ``scale``.
        trials: Faces by trial.
        frame: Index of the frame.
        scale: Pixels of ``image`` per pixel of the tables.

    Returns:
        A copy with boxes, points and names.
    """
    drawn = image.copy()
    absent = 0
    for trial, rows in trials.items():
        source = str(rows.source[frame])
        colour, words = COLOURS[source], f"{trial} {source}"
        if source == NONE or np.isnan(rows.boxes[frame]).any():
            absent += 1
            _write_words(drawn, words, (6, 18 * absent), colour)
            continue
        x0, y0, x1, y1 = (round(float(value) * scale) for value in rows.boxes[frame])
        cv2.rectangle(drawn, (x0, y0), (x1, y1), colour, 2)
        dense = rows.points68[frame]
        for points, radius in ((dense, 1), (rows.points5[frame], 2)):
            for x, y in points[~np.isnan(points).any(axis=1)] * scale:
                cv2.circle(drawn, (round(float(x)), round(float(y))), radius, colour, -1, cv2.LINE_AA)
        quality = str(rows.quality[frame])
        doubt = "" if quality == GOOD else f" {quality}"
        _write_words(drawn, f"{words} track {rows.track[frame]}{doubt}", (x0, max(14, y0 - 6)), colour)
    _write_words(drawn, str(frame), (6, drawn.shape[0] - 8), (70, 70, 70))
    return drawn


def _write(
    path: Path,
    video: Path,
    images: Iterable[tuple[int, np.ndarray]],
    times: np.ndarray,
    trials: dict[str, TrialFaces],
    threads: int,
) -> None:
    stamps = np.round((times - times[0]) * CLOCK).astype(int)
    with av.open(str(path), "w", format="mp4", options={"movflags": "faststart"}) as container:
        stream: Any = None
        decoded = 0
        for frame, image in prefetch(images, 2):
            if frame >= len(times):
                break
            scale = min(1.0, MOST_PIXELS / max(image.shape[:2]))
            # The pixel format stores colour for blocks of two by two.
            wide, high = (max(2, round(scale * length) // 2 * 2) for length in image.shape[1::-1])
            if stream is None:
                stream = container.add_stream("libx264", rate=_rate(times), options=ENCODER)
                stream.width, stream.height, stream.pix_fmt = wide, high, "yuv420p"
                stream.codec_context.time_base = Fraction(1, CLOCK)
                stream.codec_context.thread_count = threads
            small = cv2.resize(image, (wide, high), interpolation=cv2.INTER_AREA) if scale < 1 else image[:high, :wide]
            shown = av.VideoFrame.from_ndarray(draw_persons(small, trials, frame, scale), format="rgb24")
            shown.pts, shown.time_base = int(stamps[frame]), Fraction(1, CLOCK)
            container.mux(stream.encode(shown))
            decoded += 1
        if decoded != len(times):
            raise InputError(
                f"{video}: {decoded} frames decoded, its frame table has {len(times)}. Delete the table and run again."
            )
        container.mux(stream.encode())


def _rate(times: np.ndarray) -> Fraction:
    """A usual number for players; the time stamps are what counts."""
    mean = (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 and times[-1] > times[0] else 25.0
    return Fraction(mean).limit_denominator(1001)


def _write_words(image: np.ndarray, words: str, position: tuple[int, int], colour: tuple[int, int, int]) -> None:
    font, size = cv2.FONT_HERSHEY_SIMPLEX, 0.45
    (wide, high), below = cv2.getTextSize(words, font, size, 1)
    x, y = position
    cv2.rectangle(image, (x - 2, y - high - 3), (x + wide + 2, y + below), colour, -1)
    cv2.putText(image, words, position, font, size, (255, 255, 255), 1, cv2.LINE_AA)
