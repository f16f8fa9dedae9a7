"""Images for people: the contact sheet of a trial, the overlay of a video."""

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from wildaffect.errors import InputError
from wildaffect.faces.crops import CropFile, encode_image
from wildaffect.faces.tables import DETECTED, GOOD, HELD, INTERPOLATED, NONE, TrialFaces, absent_trials, read_trial
from wildaffect.files import atomic
from wildaffect.media.audio import read_about, read_blocks
from wildaffect.media.decode import decode, prefetch
from wildaffect.media.frames import read_frames
from wildaffect.progress import counted
from wildaffect.tables import read_metadata

TILE = 96
CAPTION = 14
# Border of a tile by the row's source.
COLOURS = {DETECTED: (60, 160, 75), INTERPOLATED: (70, 110, 220), HELD: (230, 160, 30), NONE: (150, 150, 150)}
# Words on crops of doubtful quality, and boxes of other people.
WARNING, OTHERS = (205, 40, 40), (190, 130, 0)
# Of several people, by number; they begin again where there are more.
PEOPLE = (
    (31, 119, 180),
    (214, 39, 40),
    (44, 140, 44),
    (200, 100, 0),
    (148, 103, 189),
    (0, 140, 150),
    (200, 80, 160),
    (130, 90, 60),
)
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
    is not good is written in red. One of several people has a colour of their own in a corner. If the video shows several
    people, the first frame with the most of them stands below, with everybody's track number. A trial of zero frames gives one blank tile.

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
    about = read_metadata(persons)
    colours = people_colours(about["trials"])
    own = colours.get(file.about["trial"])
    source, quality = rows.source, rows.quality
    frames = np.unique(np.linspace(0, max(0, len(file) - 1), tiles).round().astype(int))[: len(file)]
    drawn = [_tile(file.read([frame])[0], int(frame), source[frame], quality[frame], own) for frame in frames]
    drawn = drawn or [np.full((TILE + CAPTION, TILE, 3), 245, np.uint8)]
    blank = np.full_like(drawn[0], 255)
    drawn += [blank] * (-len(drawn) % columns if len(drawn) > columns else 0)
    width = min(columns, len(drawn))
    parts = [np.hstack(drawn[start : start + width]) for start in range(0, len(drawn), width)]
    if video is not None and (overview := about.get("overview")):
        image = next(
            (image for index, image in decode(Path(video), 1, about.get("view")) if index == overview["frame"]), None
        )
        if image is None:
            raise InputError(f"{video}: has no frame {overview['frame']} any more. Run the face stage again.")
        people = {
            track: (f"#{facts['person']}", colours[trial])
            for trial, facts in about["trials"].items()
            for track in facts["tracks"]
            if trial in colours
        }
        parts.append(_overview(image, overview, int(rows.track[overview["frame"]]), people))
    wide = max(part.shape[1] for part in parts)
    return encode_image(np.vstack([_widened(part, wide) for part in parts]))


def write_contact_sheet(
    video: str | os.PathLike, crops: str | os.PathLike, persons: str | os.PathLike, output: str | os.PathLike
) -> None:
    """Write `contact_sheet` to a file."""
    with atomic(output) as partial:
        partial.write_bytes(contact_sheet(crops, persons, video))


def people_colours(trials: Mapping[str, Mapping[str, Any]]) -> dict[str, tuple[int, int, int]]:
    """Colour of each of several people, of what a table of persons says of its trials; empty where no trial has a number."""
    numbers = {trial: facts["person"] for trial, facts in trials.items() if facts["person"].isdigit()}
    return {trial: person_colour(number) for trial, number in numbers.items()}


def person_colour(number: str) -> tuple[int, int, int]:
    """Colour of one of several people.

    Examples:
        >>> person_colour("1") == PEOPLE[0] == person_colour("9")
        True
    """
    return PEOPLE[(int(number) - 1) % len(PEOPLE)]


def _overview(
    image: np.ndarray,
    overview: dict[str, Any],
    followed: int,
    people: Mapping[int, tuple[str, tuple[int, int, int]]],
) -> np.ndarray:
    """A whole frame with everybody's box and track; the one ``followed`` is green, or each of ``people`` has a name and a colour."""
    scale = min(1.0, OVERVIEW / image.shape[0], 12 * TILE / image.shape[1])
    size = [max(1, round(scale * length)) for length in image.shape[1::-1]]
    drawn = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    for face in overview["faces"]:
        x0, y0, x1, y1 = (round(value * scale) for value in face["box"])
        colour = COLOURS[DETECTED] if face["track"] == followed and not people else OTHERS
        name, colour = people.get(face["track"], ("", colour))
        cv2.rectangle(drawn, (x0, y0), (x1, y1), colour, 2)
        _write_words(drawn, f"{name} track {face['track']}".strip(), (max(2, x0), max(14, y0 - 6)), colour)
    _write_words(drawn, f"frame {overview['frame']}", (6, drawn.shape[0] - 8), (70, 70, 70))
    return drawn


def _widened(image: np.ndarray, width: int) -> np.ndarray:
    return cv2.copyMakeBorder(image, 0, 0, 0, width - image.shape[1], cv2.BORDER_CONSTANT, value=(255, 255, 255))


def _tile(
    image: np.ndarray, frame: int, source: str, quality: str, own: tuple[int, int, int] | None = None
) -> np.ndarray:
    tile = np.full((TILE + CAPTION, TILE, 3), 255, np.uint8)
    side = TILE - 8
    shrinks = image.shape[0] > side
    face = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    tile[4 : TILE - 4, 4 : TILE - 4] = face if source != NONE else 235
    cv2.rectangle(tile, (2, 2), (TILE - 3, TILE - 3), COLOURS[source], 2)
    if own:
        cv2.rectangle(tile, (4, 4), (15, 15), own, -1)
    cv2.putText(tile, str(frame), (4, TILE + 10), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (60, 60, 60), 1, cv2.LINE_AA)
    if quality not in ("", GOOD):
        cv2.putText(tile, quality, (TILE - 66, TILE + 10), cv2.FONT_HERSHEY_SIMPLEX, 0.36, WARNING, 1, cv2.LINE_AA)
    return tile


# Longer side of the copy; larger images are shrunk.
MOST_PIXELS = 960
# Ticks per second of the copy: fine enough for every usual frame rate and for the times of variable ones.
CLOCK = 90_000
ENCODER = {"preset": "superfast", "crf": "24"}
# Frames that the trail of valence and arousal goes back, and the least side of its square.
TRAIL, SQUARE = 50, 84
INK, PAPER = (70, 70, 70), (245, 245, 245)
# Rates of AAC that browsers play; other audio is resampled to the last.
AAC_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
BLOCK = 1 << 14


@dataclass(frozen=True)
class Values:
    """What is predicted for one trial.

    Attributes:
        valence, arousal: float (N,), NaN where there is no prediction.
        words: What else is to be said of each frame; empty for nothing.
    """

    valence: np.ndarray
    arousal: np.ndarray
    words: tuple[str, ...] = ()


def draw_overlay(
    video: str | os.PathLike,
    frames: str | os.PathLike,
    persons: str | os.PathLike,
    output: str | os.PathLike,
    *,
    audio: str | os.PathLike | None = None,
    values: Mapping[str, Values] | None = None,
    title: str = "",
    threads: int = 1,
) -> None:
    """Write an H.264 video (MP4) that shows each trial's box, points, name and source in every frame, at its true time.

    With ``values`` it shows them, and where valence and arousal were in the last frames. Of several people each has a colour, else the
    colour is that of the source. One image is held at a time. A video without frames gives an empty file, as the format has no such video.

    Args:
        video: The video.
        frames: Its frame table.
        persons: Its table of persons.
        output: Video to write.
        audio: Its audio on the clock of the frame table; None, or audio that is not valid: none.
        values: Predictions by trial.
        title: Where they come from.
        threads: Threads that decode and encode.

    Raises:
        InputError: If the video no longer has the frames of the table.
    """
    table = read_frames(frames)
    known = read_metadata(persons)["trials"]
    absent = absent_trials(persons)
    trials = {trial: read_trial(persons, trial) for trial in known if trial not in absent}
    drawing = Drawing(trials, people_colours(known), values or {}, title)
    with atomic(output) as partial:
        if not table.about["frames"]:
            partial.write_bytes(b"")
            return
        images = decode(Path(video), threads, table.about.get("view"))
        _write(partial, Path(video), images, table.times, drawing, audio, threads)


@dataclass(frozen=True)
class Drawing:
    """What is drawn into a video.

    Attributes:
        trials: Faces by trial.
        colours: Colour by trial, for several people.
        values: Predictions by trial.
        title: Where they come from.
    """

    trials: Mapping[str, TrialFaces]
    colours: Mapping[str, tuple[int, int, int]] = field(default_factory=dict)
    values: Mapping[str, Values] = field(default_factory=dict)
    title: str = ""


def draw_persons(image: np.ndarray, drawing: Drawing, frame: int, scale: float = 1.0) -> np.ndarray:
    """Draw what the tables say about one frame. Colours are those of the contact sheet; absent persons are listed.

    Args:
        image: RGB uint8 (H, W, 3), already scaled by ``scale``.
        drawing: What is drawn.
        frame: Index of the frame.
        scale: Pixels of ``image`` per pixel of the tables.

    Returns:
        A copy with boxes, points, names and values.
    """
    drawn = image.copy()
    absent = 0
    for trial, rows in drawing.trials.items():
        source = str(rows.source[frame])
        name = f"#{trial.rpartition('#')[2]}" if trial in drawing.colours else trial
        colour, words = drawing.colours.get(trial, COLOURS[source]), f"{name} {source}"
        if source == NONE or np.isnan(rows.boxes[frame]).any():
            absent += 1
            _write_words(drawn, words, (6, 18 * absent), colour)
            continue
        x0, y0, x1, y1 = (round(float(value) * scale) for value in rows.boxes[frame])
        cv2.rectangle(drawn, (x0, y0), (x1, y1), colour, 2 if source == DETECTED or trial not in drawing.colours else 1)
        dense = rows.points68[frame]
        for points, radius in ((dense, 1), (rows.points5[frame], 2)):
            for x, y in points[~np.isnan(points).any(axis=1)] * scale:
                cv2.circle(drawn, (round(float(x)), round(float(y))), radius, colour, -1, cv2.LINE_AA)
        quality = str(rows.quality[frame])
        doubt = "" if quality == GOOD else f" {quality}"
        _write_words(drawn, f"{words} track {rows.track[frame]}{doubt}", (x0, max(14, y0 - 6)), colour)
        for line, text in enumerate(value_words(drawing.values.get(trial), frame)):
            _write_words(drawn, text, (x0, min(drawn.shape[0] - 4, y1 + 16 + 18 * line)), colour)
    _write_words(drawn, f"{frame} {drawing.title}".strip(), (6, drawn.shape[0] - 8), INK)
    _draw_trails(drawn, drawing, frame)
    return drawn


def value_words(values: Values | None, frame: int) -> list[str]:
    """Lines that say what is predicted for one frame."""
    if values is None:
        return []
    pair = values.valence[frame], values.arousal[frame]
    numbers = [
        f"{name} {value:+.2f}" for name, value in zip(("valence", "arousal"), pair, strict=True) if value == value
    ]
    return [line for line in (" ".join(numbers), *([values.words[frame]] if values.words else [])) if line]


def _draw_trails(image: np.ndarray, drawing: Drawing, frame: int) -> None:
    """A square in the lower right corner: valence to the right, arousal up, the last frames of each trial as a line that ends in a dot."""
    trails = {
        trial: np.stack([values.valence, values.arousal], axis=1)[max(0, frame - TRAIL) : frame + 1]
        for trial, values in drawing.values.items()
        if trial in drawing.trials and (np.isfinite(values.valence) & np.isfinite(values.arousal)).any()
    }
    side = max(SQUARE, min(image.shape[:2]) // 5)
    if not trails or side + 12 > min(image.shape[:2]):
        return
    bottom, right = image.shape[0] - 6, image.shape[1] - 6
    area = image[bottom - side : bottom, right - side : right]
    area[:] = (area // 4 + np.array(PAPER, np.uint8) // 4 * 3).astype(np.uint8)
    cv2.rectangle(area, (0, 0), (side - 1, side - 1), INK, 1)
    cv2.line(area, (side // 2, 2), (side // 2, side - 3), (170, 170, 170), 1)
    cv2.line(area, (2, side // 2), (side - 3, side // 2), (170, 170, 170), 1)
    for text, corner in (("valence", (side - 42, side // 2 - 3)), ("arousal", (side // 2 + 3, 11))):
        cv2.putText(area, text, corner, cv2.FONT_HERSHEY_SIMPLEX, 0.32, INK, 1, cv2.LINE_AA)
    for trial, trail in trails.items():
        colour = drawing.colours.get(trial, COLOURS[DETECTED])
        ends = np.round((np.clip(trail, -1, 1) * (1, -1) + 1) / 2 * (side - 9) + 4)
        for start, end in pairwise(ends):
            if np.isfinite([*start, *end]).all():
                cv2.line(area, tuple(map(int, start)), tuple(map(int, end)), colour, 1, cv2.LINE_AA)
        if np.isfinite(ends[-1]).all():
            cv2.circle(area, tuple(map(int, ends[-1])), 4, colour, -1, cv2.LINE_AA)


def _write(
    path: Path,
    video: Path,
    images: Iterable[tuple[int, np.ndarray]],
    times: np.ndarray,
    drawing: Drawing,
    audio: str | os.PathLike | None,
    threads: int,
) -> None:
    stamps = np.round((times - times[0]) * CLOCK).astype(int)
    with av.open(str(path), "w", format="mp4", options={"movflags": "faststart"}) as container:
        stream: Any = None
        decoded = 0
        for frame, image in counted(prefetch(images, 2), len(times), "frames"):
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
                packets = _audio_packets(container, audio)
                ahead = next(packets, None)
            # Where no pixel is left out, two by two are enough: a fifth of the time of averaging areas.
            how = cv2.INTER_LINEAR if scale > 0.5 else cv2.INTER_AREA
            small = cv2.resize(image, (wide, high), interpolation=how) if scale < 1 else image[:high, :wide]
            drawn = cv2.cvtColor(draw_persons(small, drawing, frame, scale), cv2.COLOR_RGB2YUV_I420)
            shown = av.VideoFrame.from_ndarray(drawn, format="yuv420p")
            shown.pts, shown.time_base = int(stamps[frame]), Fraction(1, CLOCK)
            container.mux(stream.encode(shown))
            # Both streams in step, so that none is held back in memory.
            while ahead is not None and ahead.pts * ahead.time_base <= times[frame] - times[0]:
                container.mux(ahead)
                ahead = next(packets, None)
            decoded += 1
        if decoded != len(times):
            raise InputError(
                f"{video}: {decoded} frames decoded, its frame table has {len(times)}. Delete the table and run again."
            )
        container.mux(stream.encode())
        while ahead is not None:
            container.mux(ahead)
            ahead = next(packets, None)


def _audio_packets(container: Any, audio: str | os.PathLike | None) -> Iterator[av.Packet]:
    """Packets of a new AAC stream of ``container`` that begins with frame 0; none, and no stream, without valid audio."""
    about = read_about(audio) if audio is not None else {"audio_valid": False}
    if audio is None or not about["audio_valid"]:
        return iter(())
    rate = about["rate"]
    stream = container.add_stream("aac", rate=rate if rate in AAC_RATES else AAC_RATES[-1], layout="mono")
    resampler = av.AudioResampler(format="fltp", layout="mono", rate=stream.rate)

    def packets() -> Iterator[av.Packet]:
        start = 0
        for samples in read_blocks(audio, BLOCK):
            block = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
            block.sample_rate, block.pts, block.time_base = rate, start, Fraction(1, rate)
            start += len(samples)
            yield from (packet for frame in resampler.resample(block) for packet in stream.encode(frame))
        yield from (packet for frame in resampler.resample(None) for packet in stream.encode(frame))
        yield from stream.encode(None)

    return packets()


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
