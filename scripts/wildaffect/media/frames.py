"""Frame table: the decoded frames of a video in presentation order with their true times."""

import os
import re
from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import av
import numpy as np
import pyarrow as pa

from wildaffect.media.container import (
    HDR,
    Orientation,
    PacketCount,
    UnreadableError,
    decoded,
    open_media,
    oriented,
    stated_rate,
    video_stream,
)
from wildaffect.media.timestamps import (
    DECODE_TIME,
    Clock,
    durations,
    in_decoding_order,
    regularity,
    repair_clocks,
    repair_ticks,
)
from wildaffect.tables import metadata_of, read_table, write_table

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
# Headers round, and audio outlasts video; a video that ends this much before its stated length is truncated.
TOLERATED_LOSS_S = 0.5
# Formats that store no presentation times: those of their frames are guessed by whoever reads them.
DECODE_TIMED = frozenset({"avi"})
# Sizes that fewer frames have do not decide the size of the images.
SHARE_OF_FRAMES = 0.05
# Changes of size or orientation that are listed; all of them count.
LISTED_CHANGES = 20
# No frame is shown longer than this; a timestamp beyond it is damaged.
MAX_HOLD_S = 600

_DEFAULT_METADATA: dict[str, Any] = {
    "status": "ok", "reason": "", "frames": 0, "duration_s": 0.0,
    "time_base": None, "average_rate": None, "nominal_rate": None, "vfr": False, "jitter_s": 0.0,
    "rotation": 0, "mirrored": False, "width": None, "height": None, "stored_width": None, "stored_height": None,
    "resized_frames": 0, "sample_aspect": None, "codec": None, "pixel_format": None, "container": None,
    "video_start_s": None, "audio_start_s": None, "audio_streams": 0,
    "failed_packets": 0, "damaged_frames": 0, "repairs": {},
}  # fmt: skip


@dataclass(frozen=True)
class Frames:
    """A frame table.

    Attributes:
        times: Seconds from frame 0, float64 (N,).
        table: All columns, by the schema `FRAMES`.
        about: Its metadata, see `write_frame_table`.
    """

    times: np.ndarray
    table: pa.Table
    about: dict[str, Any]

    @property
    def nominal_rate(self) -> float | None:
        """Frames per second as the file states them; None if the table does not say."""
        rate = self.about.get("nominal_rate")
        return float(Fraction(rate)) if rate else None


@dataclass
class _Size:
    """The frames of one size.

    Attributes:
        count: How many there are.
        first: Metadata of the first one's image.
    """

    count: int
    first: dict[str, Any]


@dataclass
class _Stamps:
    """A few numbers of each decoded frame, so that memory does not grow with the image size."""

    pts: array = field(default_factory=lambda: array("q"))
    dts: array = field(default_factory=lambda: array("q"))
    keyframe: bytearray = field(default_factory=bytearray)
    last_duration: int = 0
    damaged: int = 0
    sizes: dict[tuple[int, int], _Size] = field(default_factory=dict)
    changes: list[dict[str, int]] = field(default_factory=list)
    changed: int = 0
    hdr: str = ""
    _shape: tuple = ()

    def add(self, frame: av.VideoFrame, turn: Orientation) -> None:
        shape = frame.width, frame.height, turn
        if shape != self._shape:
            self._change(frame, turn)
            self._shape = shape
            self._size = self.sizes[turn.upright(frame.width, frame.height)]
        self._size.count += 1
        self.pts.append(NO_STAMP if frame.pts is None else frame.pts)
        self.dts.append(NO_STAMP if frame.dts is None else frame.dts)
        self.keyframe.append(frame.key_frame)
        self.last_duration = frame.duration
        self.damaged += frame.is_corrupt
        self.hdr = self.hdr or HDR.get(int(frame.color_trc), "")

    def _change(self, frame: av.VideoFrame, turn: Orientation) -> None:
        width, height = turn.upright(frame.width, frame.height)
        image = _image_metadata(frame, turn)
        self.sizes.setdefault((width, height), _Size(0, image))
        self.changed += bool(self._shape)
        if len(self.changes) <= LISTED_CHANGES:
            change = {"frame": len(self.pts), "width": width, "height": height, "rotation": turn.rotation}
            self.changes.append(change)

    def image(self) -> dict[str, Any]:
        """Metadata of the images: they have the largest size that at least one frame in twenty has, of two equally large ones the more
        frequent."""
        least = SHARE_OF_FRAMES * len(self.pts)
        lasting = {size: found for size, found in self.sizes.items() if found.count >= least} or self.sizes
        size = max(lasting, key=lambda size: (size[0] * size[1], lasting[size].count))
        return self.sizes[size].first | {"resized_frames": len(self.pts) - self.sizes[size].count}

    def remarks(self, streams: dict[str, Any]) -> dict[str, Any]:
        """Metadata that only files have in which something is unusual; ``streams`` is the choice of the stream."""
        found: dict[str, Any] = {"streams": streams} if streams else {}
        view = {"stream": streams["used"]} if streams else {}
        if len(self.sizes) > 1:
            image = self.image()
            view |= {"width": image["width"], "height": image["height"]}
        if self.changed:
            found |= {"changes": self.changes, "changed": self.changed}
        if self.hdr:
            found["hdr"] = self.hdr
        return found | ({"view": view} if view else {})


def write_frame_table(video: str | os.PathLike, output: str | os.PathLike, stream: int | None = None) -> None:
    """Decode a video once and write its frame table (schema `FRAMES`). A video with faults is a result, not an exception.

    Metadata of the table:

    - `status`: "ok", "truncated" (part of the video could not be decoded) or "unreadable" (zero rows); `reason` explains the latter two.
    - `frames`, and `duration_s` (end of the last frame).
    - `time_base` and `nominal_rate` (see `wildaffect.media.container.stated_rate`) as fractions; `average_rate`: (frames - 1) / time of the
      last frame.
    - `vfr` and `jitter_s`: see `wildaffect.media.timestamps.regularity`.
    - `rotation` (degrees counterclockwise) and `mirrored`, both already applied to `width` and `height`; `stored_width` and
      `stored_height`; `resized_frames` (of another size, fitted into this one); `sample_aspect` (pixel width:height as stored, null if
      unknown); `codec`, `pixel_format`, `container`.
    - `video_start_s` and `audio_start_s` on the container's clock (null if there is none; codecs may begin with a block that is not
      played, so the true start of the audio is only known by decoding it); `audio_streams`.
    - `failed_packets`, `damaged_frames` (decoded with concealed errors) and `repairs` ({rule: frames}).

    Only where there is something to tell:

    - `streams`: why this video stream was chosen, see `wildaffect.media.container.video_stream`.
    - `changes`: frames from which on size or orientation are others, the first 20 of `changed`.
    - `hdr`: `PQ` or `HLG`; images are tone-mapped, see `wildaffect.media.decode.decode`.
    - `view`: what `decode` has to know: `stream`, `width`, `height`.
    - `clocks`: a clock that restarts or jumps inside the file, as `wildaffect.media.timestamps.Clock` in seconds of the container.

    Args:
        video: Path of the video.
        output: Parquet file to write.
        stream: Index of the video stream to use, None: as `wildaffect.media.container.video_stream` chooses.

    Raises:
        InputError: There is no such video.
    """
    metadata, stamps, count = dict(_DEFAULT_METADATA), _Stamps(), PacketCount()
    try:
        with open_media(video) as container:
            metadata |= _container_metadata(container)
            source, choice = video_stream(container, stream)
            metadata |= _stream_metadata(source)
            rate = source.guessed_rate or source.average_rate or DEFAULT_RATE
            base, start = source.time_base, source.start_time
            step = 1 / rate / base
            for frame, turn in oriented(decoded(container, source, count)):
                stamps.add(frame, turn)
            stated_s = _stated_seconds(container, source)
    except UnreadableError as error:
        write_table(output, FRAMES.empty_table(), FRAMES, metadata | {"status": "unreadable", "reason": f"{error}."})
        return

    pts, dts = np.frombuffer(stamps.pts, np.int64), np.frombuffer(stamps.dts, np.int64)
    if metadata["container"] in DECODE_TIMED:
        start = _own_decode_time(pts, count.first)
    if _decode_timed(metadata["container"], pts, dts):
        ticks, rules, clocks = _decode_ticks(dts, float(step), float(MAX_HOLD_S / base), start)
    else:
        ticks, rules, clocks = repair_clocks(pts, pts != NO_STAMP, float(step), float(MAX_HOLD_S / base))
        if metadata["container"] in DECODE_TIMED and start is not None and len(ticks):
            ticks = ticks + (start - ticks[0])
    times = (ticks - ticks[:1]) * float(base)
    shown = durations(times, float(stamps.last_duration * base) or None, float(step * base))
    decoded_s = float(ticks[-1] - ticks[0] + max(stamps.last_duration, step)) * base if len(pts) else 0.0
    # Stated lengths may count what a clock jumped over.
    reached_s = max(decoded_s, float((np.ptp(pts[pts != NO_STAMP]) + step) * base) if (pts != NO_STAMP).any() else 0.0)
    metadata |= stamps.remarks(choice)
    metadata |= _status(len(pts), count.failed, stamps.damaged, stated_s - reached_s)
    metadata["frames"] = len(pts)
    metadata["repairs"] = {str(rule): int((rules == rule).sum()) for rule in sorted(set(rules) - {""})}
    metadata["failed_packets"], metadata["damaged_frames"] = count.failed, stamps.damaged
    if len(pts):
        metadata |= stamps.image()
        metadata["duration_s"] = float(times[-1] + shown[-1])
        metadata["average_rate"] = (len(pts) - 1) / float(times[-1]) if len(pts) > 1 else 1 / float(shown[0])
        metadata["video_start_s"] = float(ticks[0] * float(base))
        metadata["vfr"], metadata["jitter_s"] = regularity(times)
    if len(clocks) > 1:
        metadata["clocks"] = [_in_seconds(clock, float(base)) for clock in clocks]
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
    write_table(output, table, FRAMES, metadata)


def read_frames(path: str | os.PathLike) -> Frames:
    """Read a frame table.

    Raises:
        InputError: The file is not a frame table.
    """
    table = read_table(path, FRAMES)
    return Frames(table["time_s"].to_numpy(), table, metadata_of(table.schema, path))


def kept_view(about: Mapping[str, Any]) -> dict[str, Any]:
    """`{"view": …}` of a frame table's metadata for those of a table made from it; empty without one."""
    return {"view": about["view"]} if "view" in about else {}


def _decode_timed(container: str, pts: np.ndarray, dts: np.ndarray) -> bool:
    """Whether decoding times tell more than presentation times: those are absent, guessed, or in the order of decoding."""
    timed = dts != NO_STAMP
    if not timed.any():
        return False
    if container in DECODE_TIMED:
        known = timed & (pts != NO_STAMP)
        guessed_right = known.any() and np.ptp(pts[known] - dts[known]) == 0 and (pts != NO_STAMP).all()
        return not guessed_right
    return bool((pts == NO_STAMP).all()) or in_decoding_order(pts, dts, NO_STAMP)


def _own_decode_time(pts: np.ndarray, first: tuple[int | None, int | None] | None) -> int | None:
    """When the packet of the first frame was due: that is when a file without presentation times shows it.

    Args:
        pts: Presentation times of the frames, guessed by adding one delay to all decoding times.
        first: Presentation and decoding time of the first packet, of which no frame need have come.
    """
    guessed, due = first or (None, None)
    if due is None or guessed is None or not len(pts) or pts[0] == NO_STAMP:
        return due
    return int(pts[0]) - (guessed - due)


def _decode_ticks(
    dts: np.ndarray, step: float, longest: float, start: int | None
) -> tuple[np.ndarray, np.ndarray, list[Clock]]:
    """Frame times in ticks, repair rules and clocks by decoding times.

    These differ from presentation times by the decoder's delay, a constant: the first frame is moved to the start of the stream where the
    file states it. The last frames leave the decoder without a time.
    """
    ticks, rules = repair_ticks(dts, dts != NO_STAMP, step, longest)
    rules[rules == ""] = DECODE_TIME
    return ticks + ((start - ticks[0]) if start is not None else 0), rules, []


def _in_seconds(clock: Clock, base: float) -> dict[str, float]:
    return {
        "frame": clock.frame, "begin_s": clock.begin * base, "end_s": clock.end * base, "shift_s": clock.shift * base,
    }  # fmt: skip


def _container_metadata(container: av.container.InputContainer) -> dict[str, Any]:
    streams = container.streams.audio
    starts = [float(stream.start_time * stream.time_base) for stream in streams if stream.start_time is not None]
    return {
        "container": container.format.name,
        "audio_streams": len(streams),
        "audio_start_s": starts[0] if starts else None,
    }


def _stream_metadata(stream: av.VideoStream) -> dict[str, Any]:
    aspect = stream.sample_aspect_ratio
    return {
        "time_base": str(stream.time_base),
        "nominal_rate": str(stated_rate(stream)),
        "sample_aspect": f"{aspect.numerator}:{aspect.denominator}" if aspect else None,
        "codec": stream.codec.canonical_name,
    }


def _image_metadata(frame: av.VideoFrame, turn: Orientation) -> dict[str, Any]:
    width, height = turn.upright(frame.width, frame.height)
    return {
        "rotation": turn.rotation,
        "mirrored": turn.mirrored,
        "width": width,
        "height": height,
        "stored_width": frame.width,
        "stored_height": frame.height,
        "pixel_format": frame.format.name,
    }


def _stated_seconds(container: av.container.InputContainer, stream: av.VideoStream) -> float:
    """Length of the video stream that the file's headers state; 0 if they state none."""
    lengths = [0.0]
    if stream.duration is not None:
        lengths.append(float(stream.duration * stream.time_base))
    if container.format.name == "avi" and stream.average_rate:
        # The duration that an AVI reader reports shrinks with the file, the header's number of frames does not.
        lengths.append(float(stream.frames / stream.average_rate))
    tag = re.fullmatch(r"(\d+):(\d+):(\d+(?:\.\d*)?)", stream.metadata.get("DURATION", ""))  # Matroska
    if tag:
        lengths.append(int(tag[1]) * 3600 + int(tag[2]) * 60 + float(tag[3]))
    return max(lengths)


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
