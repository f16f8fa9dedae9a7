"""Frame table: the decoded frames of a video in presentation order with their true times."""

import os
import re
from array import array
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import av
import numpy as np
import pyarrow as pa

from wildaffect.media.container import PacketCount, UnreadableError, decoded, open_media, video_stream
from wildaffect.media.orientation import orientation
from wildaffect.media.timestamps import DECODE_TIME, durations, regularity, repair_ticks
from wildaffect.tables import read_metadata, read_table, write_table

FRAMES = pa.schema(
    [
        ("frame", pa.int32()),
        ("pts", pa.int64()),  # as decoded, in ticks of the time base; null where the frame has none
        ("time_s", pa.float64()),  # repaired; 0 at frame 0
        ("duration_s", pa.float64()),
        ("keyframe", pa.bool_()),
        ("repair", pa.string()),  # rule that placed the frame, "" where its own timestamp did
    ]
)

# Used for a single frame in a file that states neither a duration nor a rate (FFmpeg's own default).
DEFAULT_RATE = Fraction(25)
NO_STAMP = -(2**63)
# Headers round and sound outlasts the picture; a video that ends this much before its stated length is cut off.
TOLERATED_LOSS_S = 0.5
# No frame is shown longer than this; a timestamp that says so is damaged.
MAX_HOLD_S = 600

_ABOUT: dict[str, Any] = {
    "status": "ok", "reason": "", "frames": 0, "duration_s": 0.0,
    "time_base": None, "average_rate": None, "nominal_rate": None, "vfr": False, "jitter_s": 0.0,
    "rotation": 0, "mirrored": False, "width": None, "height": None, "stored_width": None, "stored_height": None,
    "resized_frames": 0, "sample_aspect": None, "codec": None, "pixel_format": None, "container": None,
    "video_start_s": None, "audio_start_s": None, "audio_streams": 0,
    "failed_packets": 0, "damaged_frames": 0, "repairs": {},
}  # fmt: skip


@dataclass(frozen=True)
class Frames:
    """A frame table: ``times`` float64 (N,) seconds from frame 0, all columns, and what is known about the video."""

    times: np.ndarray
    table: pa.Table
    about: dict[str, Any]


@dataclass
class _Stamps:
    """What is kept of each decoded frame: a few numbers, so that memory stays flat."""

    pts: array = field(default_factory=lambda: array("q"))
    dts: array = field(default_factory=lambda: array("q"))
    keyframe: bytearray = field(default_factory=bytearray)
    last_duration: int = 0
    damaged: int = 0
    resized: int = 0
    first: dict[str, Any] = field(default_factory=dict)

    def add(self, frame: av.VideoFrame) -> None:
        if not self.first:
            self.first = _picture_facts(frame)
        self.pts.append(NO_STAMP if frame.pts is None else frame.pts)
        self.dts.append(NO_STAMP if frame.dts is None else frame.dts)
        self.keyframe.append(frame.key_frame)
        self.last_duration = frame.duration
        self.damaged += frame.is_corrupt
        self.resized += (frame.width, frame.height) != (self.first["stored_width"], self.first["stored_height"])


def write_frame_table(video: str | os.PathLike, output: str | os.PathLike) -> None:
    """Decode ``video`` once and write its frame table (schema :data:`FRAMES`) to ``output``.

    The metadata says: ``status`` "ok", "truncated" (part of the video could not be decoded; ``reason`` says how much)
    or "unreadable" (zero rows; ``reason`` says why); ``frames``; ``duration_s`` (end of the last frame);
    ``time_base``, ``nominal_rate`` (as fractions, the latter the file's claim); ``average_rate`` ((frames - 1) / time
    of the last frame); ``vfr`` and ``jitter_s`` (see :func:`wildaffect.media.timestamps.regularity`); ``rotation``
    (degrees counterclockwise) and ``mirrored``, both already applied to ``width`` and ``height``; ``stored_width``,
    ``stored_height``; ``resized_frames`` (scaled to the first one's size); ``sample_aspect`` (pixel width:height as
    stored, null if unknown); ``codec``, ``pixel_format``, ``container``; ``video_start_s`` and ``audio_start_s`` on
    the container's clock (null if there is none; codecs may begin with a block that is not heard, so the start of the
    sound is only known by decoding it); ``audio_streams``; ``failed_packets``, ``damaged_frames`` (decoded with
    concealed errors) and ``repairs`` ({rule: frames}).

    A video with faults is a result, not an exception. Raises :class:`wildaffect.errors.InputError` where there is no
    such file.
    """
    about, stamps, tally = dict(_ABOUT), _Stamps(), PacketCount()
    try:
        with open_media(video) as container:
            about |= _container_facts(container)
            stream = video_stream(container)
            about |= _stream_facts(stream)
            rate = stream.guessed_rate or stream.average_rate or DEFAULT_RATE
            base, start = stream.time_base, stream.start_time
            step = 1 / rate / base
            for frame in decoded(container, stream, tally):
                stamps.add(frame)
            claimed_s = _claimed_seconds(container, stream)
    except UnreadableError as error:
        write_table(output, FRAMES.empty_table(), FRAMES, about | {"status": "unreadable", "reason": f"{error}."})
        return

    pts = np.frombuffer(stamps.pts, np.int64)
    ticks, rules = _ticks(pts, np.frombuffer(stamps.dts, np.int64), float(step), float(MAX_HOLD_S / base), start)
    times = (ticks - ticks[:1]) * float(base)
    shown = durations(times, float(stamps.last_duration * base) or None, float(step * base))
    found_s = float(ticks[-1] - ticks[0] + max(stamps.last_duration, step)) * base if len(pts) else 0.0
    about |= stamps.first | _status(len(pts), tally.failed, stamps.damaged, claimed_s - found_s)
    about["frames"] = len(pts)
    about["repairs"] = {str(rule): int((rules == rule).sum()) for rule in sorted(set(rules) - {""})}
    about["failed_packets"], about["damaged_frames"] = tally.failed, stamps.damaged
    about["resized_frames"] = stamps.resized
    if len(pts):
        about["duration_s"] = float(times[-1] + shown[-1])
        about["average_rate"] = (len(pts) - 1) / float(times[-1]) if len(pts) > 1 else 1 / float(shown[0])
        about["video_start_s"] = float(ticks[0] * float(base))
        about["vfr"], about["jitter_s"] = regularity(times)
    table = pa.table(
        {
            "frame": np.arange(len(pts), dtype=np.int32),
            "pts": pa.array(pts, mask=pts == NO_STAMP),
            "time_s": times,
            "duration_s": shown,
            "keyframe": np.frombuffer(stamps.keyframe, bool),
            "repair": pa.array(rules, pa.string()),
        }
    )
    write_table(output, table, FRAMES, about)


def read_frames(path: str | os.PathLike) -> Frames:
    """Read a frame table; :class:`wildaffect.errors.InputError` if it is none."""
    table = read_table(path, FRAMES)
    return Frames(table["time_s"].to_numpy(), table, read_metadata(path))


def _ticks(
    pts: np.ndarray, dts: np.ndarray, step: float, longest: float, start: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """Frame times in ticks and repair rules. Files that carry decode times only (AVI) are timed by these.

    Decode times run ahead of or behind the presentation by the decoder's delay, a constant: the first frame is moved
    to the stream's start where the file states it.
    """
    if len(pts) and (pts == NO_STAMP).all() and (dts != NO_STAMP).any():
        ticks, rules = repair_ticks(dts, dts != NO_STAMP, step, longest)
        rules[rules == ""] = DECODE_TIME
        return ticks + ((start - ticks[0]) if start is not None else 0), rules
    return repair_ticks(pts, pts != NO_STAMP, step, longest)


def _container_facts(container: av.container.InputContainer) -> dict[str, Any]:
    sounds = container.streams.audio
    starts = [float(sound.start_time * sound.time_base) for sound in sounds if sound.start_time is not None]
    return {
        "container": container.format.name,
        "audio_streams": len(sounds),
        "audio_start_s": starts[0] if starts else None,
    }


def _stream_facts(stream: av.VideoStream) -> dict[str, Any]:
    rate, aspect = stream.guessed_rate, stream.sample_aspect_ratio
    return {
        "time_base": str(stream.time_base),
        "nominal_rate": str(rate) if rate else None,
        "sample_aspect": f"{aspect.numerator}:{aspect.denominator}" if aspect else None,
        "codec": stream.codec.canonical_name,
    }


def _picture_facts(frame: av.VideoFrame) -> dict[str, Any]:
    turn = orientation(frame)
    width, height = (frame.height, frame.width) if turn.transpose else (frame.width, frame.height)
    return {
        "rotation": turn.rotation,
        "mirrored": turn.mirrored,
        "width": width,
        "height": height,
        "stored_width": frame.width,
        "stored_height": frame.height,
        "pixel_format": frame.format.name,
    }


def _claimed_seconds(container: av.container.InputContainer, stream: av.VideoStream) -> float:
    """Length of the video stream that the file's headers promise; 0 if they promise none."""
    claims = [0.0]
    if stream.duration is not None:
        claims.append(float(stream.duration * stream.time_base))
    if container.format.name == "avi" and stream.average_rate:
        # The duration an AVI reader gives shrinks with the file, the header's number of frames does not.
        claims.append(float(stream.frames / stream.average_rate))
    tag = re.fullmatch(r"(\d+):(\d+):(\d+(?:\.\d*)?)", stream.metadata.get("DURATION", ""))  # Matroska
    if tag:
        claims.append(int(tag[1]) * 3600 + int(tag[2]) * 60 + float(tag[3]))
    return max(claims)


def _status(frames: int, failed: int, damaged: int, missing_s: float) -> dict[str, str]:
    """Status and reason of a file that could be opened."""
    faults = []
    if failed:
        faults.append(f"{failed} packet{'s' * (failed > 1)} could not be read or decoded")
    if damaged:
        faults.append(f"{damaged} of {frames} frames decoded with errors")
    if missing_s > TOLERATED_LOSS_S:
        faults.append(f"the last {missing_s:.2f} s of the stated length are missing")
    if not frames:
        return {"status": "unreadable", "reason": f"{', '.join(['no frame could be decoded', *faults])}."}
    return {"status": "truncated", "reason": f"{', '.join(faults)}."} if faults else {}
