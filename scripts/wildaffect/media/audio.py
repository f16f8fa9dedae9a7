"""The audio of a video as mono FLAC on the video's clock: sample 0 belongs to the time of frame 0."""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import av
import numpy as np
import soundfile
import soxr

from wildaffect.integrity import Record, check, intact, sealed
from wildaffect.media.container import PacketCount, UnreadableError, audio_stream, decoded, open_media
from wildaffect.media.timestamps import Clock
from wildaffect.media.track import SILENT_PEAK, Track, dejitter, follow
from wildaffect.tables import read_metadata

SILENT_RATE = 16_000  # of files without audio
TOLERANCE_S = 0.010  # timestamps of compressed audio are rounded; a smaller step between two blocks is no gap
RATES = range(1_000, 655_351)  # other rates mean damage; the upper end is the limit of FLAC
SHORT_S = 0.5
CLIPPED_FRACTION = 0.001
# Fraction of the loud samples that cancel in the mean of the channels from which on one channel is written instead.
CANCELLED_FRACTION = 0.2
# The metadata are complete only at the end but lie in the head of the file, so space for them is reserved there.
RESERVED_COMMENT = "~" * 2048
# From this number of channels on, PyAV 18 reads past the end of a planar block's list of channels; such blocks are packed first.
PLANES = 8

_FULL_SCALE = {"u8": 2**7, "s16": 2**15, "s32": 2**31, "flt": 1, "dbl": 1}


def write_audio(
    video: str | os.PathLike, frames: str | os.PathLike, output: str | os.PathLike, stream: int | None = None
) -> None:
    """Write the audio of a video as mono FLAC on the clock of its frame table. Faults of the audio are a result, not an exception.

    The file has `round(duration_s * rate)` samples, `duration_s` being the end of the last frame: audio before frame 0 or behind the end
    is trimmed, missing audio is silence. Every decoded block of samples is placed by its timestamp: a step forward becomes silence, an
    overlap is cut from the later block; steps below 10 ms (or one tick of a coarser clock) and steps that the next block takes back are
    jitter and ignored. Where the clock of the frames restarts or jumps inside the file, the audio makes the same steps
    (`wildaffect.media.track.follow`). Channels are averaged, or the strongest is taken if they cancel each other; samples that are no
    finite numbers become 0; the rate is kept. PCM with 16 bits, with 24 if the source is lossless and has more. Of several audio streams
    one is chosen (`wildaffect.media.container.audio_stream`). Without audio the file is silence at 16 kHz; without any frame it is one
    silent sample, since FLAC cannot be empty.

    Metadata, as JSON in the FLAC comment (see `read_about`):

    - `audio_valid`: there is decoded audio within the video.
    - `rate`, `samples`, and `channels` of the source (0 without audio).
    - `offset_s`: start of the audio after frame 0; null without audio.
    - `padded_s`, `trimmed_s`: silence added and audio cut off at the ends. `gaps_s`, `overlaps_s`: the same inside.
    - `clipped_fraction`: fraction of the decoded samples with a channel at full scale. `silent`: the peak of the mono mix is below
      -60 dBFS. `failed_packets`.
    - `flags`, any of: absent, undecodable, outside (no audio within the video), late, early, short (ends 0.5 s or more before the video),
      gaps, overlaps, silent, clipped (more than 0.1 %), damaged, rate_changed (later parts are resampled block by block), unplaced,
      cancelling (one channel is used), dead_channel, not_finite.
    - Only where there is something to tell: `streams` (why this stream was chosen), `unplaced_s` ([[from, to]] where the place of the
      audio in the video is not known, so that it is not valid), `channel` (from 1, the only one used), `dead_channels` (below -60 dBFS
      beside others that are not), `not_finite` (samples).

    Args:
        video: Path of the video.
        frames: Its frame table.
        output: FLAC file to write.
        stream: Index of the audio stream to use, None: as `audio_stream` chooses.

    Raises:
        InputError: There is no such video.
    """
    clock = read_metadata(frames)
    with sealed(output) as partial:
        track = _write_stream(partial, video, clock, stream)
        if track is not None and track.cancelled > CANCELLED_FRACTION * track.loud:
            _write_stream(partial, video, clock, stream, channel=int(track.energies.argmax()))


def read_audio(path: str | os.PathLike) -> tuple[np.ndarray, int, dict[str, Any]]:
    """Read a file of `write_audio`.

    Returns:
        Samples float32 (S,) in [-1, 1], rate in Hz, metadata.

    Raises:
        InputError: The file is not one of `write_audio`.
    """
    with _open(path) as (file, metadata):
        return file.read(dtype="float32"), file.samplerate, metadata


def read_blocks(path: str | os.PathLike, size: int) -> Iterator[np.ndarray]:
    """The samples of `read_audio`, at most ``size`` at a time."""
    with _open(path) as (file, _):
        yield from file.blocks(size, dtype="float32")


def read_about(path: str | os.PathLike) -> dict[str, Any]:
    """The metadata of a file of `write_audio`, without its samples.

    Raises:
        InputError: The file is not one of `write_audio`.
    """
    with _open(path) as (_, metadata):
        return metadata


@contextmanager
def _open(path: str | os.PathLike) -> Iterator[tuple[soundfile.SoundFile, dict[str, Any]]]:
    check(path)
    with intact(path, "a FLAC file of this pipeline"), soundfile.SoundFile(path) as file:
        yield file, Record(json.loads(file.comment), path)


@dataclass
class _Source:
    """What the decoded blocks of a stream were.

    Attributes:
        rates: Sample rates.
        not_finite: Samples that are no finite numbers.
    """

    rates: set[int] = field(default_factory=set)
    not_finite: int = 0


def _write_stream(
    path: Path, video: str | os.PathLike, clock: Mapping[str, Any], wanted: int | None, channel: int | None = None
) -> Track | None:
    """Write the audio on the clock of the video, the mean of all channels or one of them; silence, and None, if there is none to use."""
    count, flag = PacketCount(), "absent"
    streams: dict[str, Any] = {}
    try:
        with open_media(video) as container:
            chosen = audio_stream(container, wanted)
            if chosen is None:
                flag = "undecodable" if container.streams.audio or wanted is not None else "absent"
            elif not clock["frames"]:
                flag = "outside"
            else:
                stream, streams = chosen
                track = _write_blocks(path, decoded(container, stream, count), stream, clock, count, streams, channel)
                if track is not None:
                    return track
                flag = "undecodable"
    except UnreadableError:
        pass  # the frame table has the reason
    _write_silence(path, clock["duration_s"], flag, count, streams)
    return None


def _write_blocks(
    path: Path,
    blocks: Iterator[av.AudioFrame],
    stream: av.AudioStream,
    clock: Mapping[str, Any],
    count: PacketCount,
    streams: Mapping[str, Any],
    channel: int | None,
) -> Track | None:
    """Write the decoded blocks; None, with nothing written, if none can be used."""
    first = next(blocks, None)
    if first is None or first.sample_rate not in RATES:
        return None
    rate, channels = first.sample_rate, first.layout.nb_channels
    fine = stream.codec.lossless and not stream.codec.lossy and _base_format(first) in ("s32", "flt", "dbl")
    source, unplaced = _Source(), list[int]()
    with _new_file(path, rate, "PCM_24" if fine else "PCM_16") as file:
        track = Track(file, _length(clock["duration_s"], rate), channel)
        tolerance = round(max(TOLERANCE_S, float(stream.time_base)) * rate)
        stamped = _stamped(chain([first], blocks), stream, clock["video_start_s"], rate, source)
        for start, samples in follow(dejitter(stamped, tolerance), _clocks(clock, rate), rate, unplaced):
            track.add(start, samples)
        track.close()
    metadata = _metadata(rate, track.length, channels, count) | _measured(track, rate)
    metadata |= _remarks(track, source, unplaced, streams, channel)
    _store_metadata(path, metadata | {"flags": _flags(track, metadata, source)})
    return track


def _clocks(clock: Mapping[str, Any], rate: int) -> list[Clock]:
    """The clocks of the frames in samples from frame 0; none if there is one only."""
    start = clock["video_start_s"]
    return [
        Clock(one["frame"], (one["begin_s"] - start) * rate, (one["end_s"] - start) * rate, one["shift_s"] * rate)
        for one in clock.get("clocks", ())
    ]


def _write_silence(path: Path, duration_s: float, flag: str, count: PacketCount, streams: Mapping[str, Any]) -> None:
    with _new_file(path, SILENT_RATE, "PCM_16") as file:
        track = Track(file, _length(duration_s, SILENT_RATE))
        track.close()
    padded = {"padded_s": track.length / SILENT_RATE, "flags": [flag]} | ({"streams": streams} if streams else {})
    _store_metadata(path, _metadata(SILENT_RATE, track.length, 0, count) | padded)


def _metadata(rate: int, samples: int, channels: int, count: PacketCount) -> dict[str, Any]:
    """Metadata of a file without any decoded audio."""
    return {
        "audio_valid": False, "rate": rate, "samples": samples, "channels": channels, "offset_s": None,
        "padded_s": 0.0, "trimmed_s": 0.0, "gaps_s": 0.0, "overlaps_s": 0.0, "clipped_fraction": 0.0, "silent": True,
        "failed_packets": count.failed, "flags": [],
    }  # fmt: skip


def _measured(track: Track, rate: int) -> dict[str, Any]:
    return {
        "audio_valid": track.decoded > 0,
        "offset_s": (track.offset or 0) / rate,
        "padded_s": (track.head + track.tail) / rate,
        "trimmed_s": track.trimmed / rate,
        "gaps_s": track.gaps / rate,
        "overlaps_s": track.overlaps / rate,
        "clipped_fraction": track.clipped / max(track.decoded, 1),
        "silent": track.peak < SILENT_PEAK,
    }


def _remarks(
    track: Track, source: _Source, unplaced: list[int], streams: Mapping[str, Any], channel: int | None
) -> dict[str, Any]:
    """Metadata that only files have in which something is unusual."""
    rate = track.file.samplerate
    dead = [number for number, peak in enumerate(track.peaks, 1) if peak < SILENT_PEAK <= track.peaks.max()]
    unknown = [[max(0, min(unplaced)) / rate, track.length / rate]] if unplaced else []
    remarks = {
        "streams": streams,
        "unplaced_s": unknown if unknown and unknown[0][0] < unknown[0][1] else [],
        "channel": None if channel is None else channel + 1,
        "dead_channels": dead,
        "not_finite": source.not_finite,
    }
    return {name: value for name, value in remarks.items() if value}


def _flags(track: Track, metadata: Mapping[str, Any], source: _Source) -> list[str]:
    flags = {
        "outside": not track.decoded,
        "late": metadata["offset_s"] > TOLERANCE_S,
        "early": metadata["offset_s"] < -TOLERANCE_S,
        "short": track.tail / metadata["rate"] >= SHORT_S,
        "gaps": track.gaps,
        "overlaps": track.overlaps,
        "silent": metadata["silent"],
        "clipped": metadata["clipped_fraction"] > CLIPPED_FRACTION,
        "damaged": metadata["failed_packets"],
        "rate_changed": len(source.rates) > 1,
        "unplaced": "unplaced_s" in metadata,
        "cancelling": "channel" in metadata,
        "dead_channel": "dead_channels" in metadata,
        "not_finite": "not_finite" in metadata,
    }
    return [flag for flag, holds in flags.items() if holds]


def _length(duration_s: float, rate: int) -> int:
    return max(1, round(duration_s * rate))


def _base_format(block: av.AudioFrame) -> str:
    return block.format.name.removesuffix("p")


def _samples(block: av.AudioFrame) -> np.ndarray:
    """Samples float64 (channels, S) in [-1, 1] of a decoded block in any format."""
    channels, stored = block.layout.nb_channels, _base_format(block)
    name = stored if stored in _FULL_SCALE else "dbl"
    if name != stored or (block.format.is_planar and channels >= PLANES):
        packer = av.AudioResampler(format=name, layout=block.layout, rate=block.sample_rate)
        values = np.concatenate([part.to_ndarray() for part in packer.resample(block) + packer.resample(None)], axis=1)
    else:
        values = block.to_ndarray()
    if len(values) != channels:  # packed: one row, channels alternating
        values = values.reshape(-1, channels).T
    values = values.astype(np.float64) / _FULL_SCALE[name]
    return values - 1 if name == "u8" else values


def _stamped(
    blocks: Iterable[av.AudioFrame], stream: av.AudioStream, video_start_s: float, rate: int, source: _Source
) -> Iterator[tuple[int | None, np.ndarray]]:
    """Yield position on the video's clock by timestamp (None without one) and samples at `rate`; what they were goes to `source`."""
    tick_s = float(stream.time_base)
    for block in blocks:
        samples = _samples(block)
        source.rates.add(block.sample_rate)
        if not np.isfinite(samples).all():
            source.not_finite += int((~np.isfinite(samples)).sum())
            samples = np.where(np.isfinite(samples), samples, 0)
        if block.sample_rate != rate:
            samples = soxr.resample(samples.T, block.sample_rate, rate).T
        yield None if block.pts is None else round((block.pts * tick_s - video_start_s) * rate), samples


def _new_file(path: Path, rate: int, subtype: str) -> soundfile.SoundFile:
    file = soundfile.SoundFile(path, "w", samplerate=rate, channels=1, format="FLAC", subtype=subtype)
    file.comment = RESERVED_COMMENT
    return file


def _store_metadata(path: Path, metadata: Mapping[str, Any]) -> None:
    """Write the metadata into the space reserved in the comment, which no checksum of FLAC covers (RFC 9639, 8.6)."""
    text = json.dumps(metadata, sort_keys=True).encode().ljust(len(RESERVED_COMMENT))
    with path.open("r+b") as file:
        position = file.read(2 * len(RESERVED_COMMENT)).index(RESERVED_COMMENT.encode())
        file.seek(position)
        file.write(text)
