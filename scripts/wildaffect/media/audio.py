"""The audio of a video as mono FLAC on the video's clock: sample 0 belongs to the time of frame 0."""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import av
import numpy as np
import soundfile
import soxr

from wildaffect.integrity import Record, check, intact, sealed
from wildaffect.media.container import PacketCount, UnreadableError, audio_stream, decoded, open_media
from wildaffect.media.track import Track, dejitter
from wildaffect.tables import read_metadata

SILENT_RATE = 16_000  # of files without audio
TOLERANCE_S = 0.010  # timestamps of compressed audio are rounded; a smaller step between two blocks is no gap
RATES = range(1_000, 655_351)  # other rates mean damage; the upper end is the limit of FLAC
SHORT_S = 0.5
CLIPPED_FRACTION = 0.001
SILENT_PEAK = 0.001  # -60 dBFS
# The metadata are complete only at the end but lie in the head of the file, so space for them is reserved there.
RESERVED_COMMENT = "~" * 2048
# From this number of channels on, PyAV 18 reads past the end of a planar block's list of channels; such blocks are packed first.
PLANES = 8

_FULL_SCALE = {"u8": 2**7, "s16": 2**15, "s32": 2**31, "flt": 1, "dbl": 1}


def write_audio(video: str | os.PathLike, frames: str | os.PathLike, output: str | os.PathLike) -> None:
    """Write the audio of a video as mono FLAC on the clock of its frame table. Faults of the audio are a result, not an exception.

    The file has `round(duration_s * rate)` samples, `duration_s` being the end of the last frame: audio before frame 0 or behind the end
    is trimmed, missing audio is silence. Every decoded block of samples is placed by its timestamp: a step forward becomes silence, an
    overlap is cut from the later block; steps below 10 ms (or one tick of a coarser clock) and steps that the next block takes back are
    jitter and ignored. Channels are averaged; the rate is kept. PCM with 16 bits, with 24 if the source is lossless and has more. Of
    several audio streams the first that has a decoder is used. Without audio the file is silence at 16 kHz; without any frame it is one
    silent sample, since FLAC cannot be empty.

    Metadata, as JSON in the FLAC comment (see `read_about`):

    - `audio_valid`: there is decoded audio within the video.
    - `rate`, `samples`, and `channels` of the source (0 without audio).
    - `offset_s`: start of the audio after frame 0; null without audio.
    - `padded_s`, `trimmed_s`: silence added and audio cut off at the ends. `gaps_s`, `overlaps_s`: the same inside.
    - `clipped_fraction`: fraction of the decoded samples with a channel at full scale. `silent`: the peak of the mono mix is below
      -60 dBFS. `failed_packets`.
    - `flags`, any of: absent, undecodable, outside (no audio within the video), late, early, short (ends 0.5 s or more before the video),
      gaps, overlaps, silent, clipped (more than 0.1 %), damaged, rate_changed (later parts are resampled block by block).

    Args:
        video: Path of the video.
        frames: Its frame table.
        output: FLAC file to write.

    Raises:
        InputError: There is no such video.
    """
    clock = read_metadata(frames)
    count, flag = PacketCount(), "absent"
    with sealed(output) as partial:
        try:
            with open_media(video) as container:
                stream = audio_stream(container)
                if stream is not None:
                    if clock["frames"] and _write_stream(partial, container, stream, clock, count):
                        return
                    flag = "undecodable" if clock["frames"] else "outside"
        except UnreadableError:
            pass  # the frame table has the reason
        _write_silence(partial, clock["duration_s"], flag, count)


def read_audio(path: str | os.PathLike) -> tuple[np.ndarray, int, dict[str, Any]]:
    """Read a file of `write_audio`.

    Returns:
        Samples float32 (S,) in [-1, 1], rate in Hz, metadata.

    Raises:
        InputError: The file is not one of `write_audio`.
    """
    with _open(path) as (file, metadata):
        return file.read(dtype="float32"), file.samplerate, metadata


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


def _write_stream(
    path: Path,
    container: av.container.InputContainer,
    stream: av.AudioStream,
    clock: Mapping[str, Any],
    count: PacketCount,
) -> bool:
    """Write the stream on the clock of the video; False, with nothing written, if no block of it can be used."""
    blocks = decoded(container, stream, count)
    first = next(blocks, None)
    if first is None or first.sample_rate not in RATES:
        return False
    rate, channels = first.sample_rate, first.layout.nb_channels
    fine = stream.codec.lossless and not stream.codec.lossy and _base_format(first) in ("s32", "flt", "dbl")
    with _new_file(path, rate, "PCM_24" if fine else "PCM_16") as file:
        track = Track(file, _length(clock["duration_s"], rate))
        tolerance = round(max(TOLERANCE_S, float(stream.time_base)) * rate)
        rates: set[int] = set()
        stamped = _stamped(chain([first], blocks), stream, clock["video_start_s"], rate, rates)
        for start, samples in dejitter(stamped, tolerance):
            track.add(start, samples)
        track.close()
    metadata = _metadata(rate, track.length, channels, count) | _measured(track, rate)
    _store_metadata(path, metadata | {"flags": _flags(track, metadata, rates)})
    return True


def _write_silence(path: Path, duration_s: float, flag: str, count: PacketCount) -> None:
    with _new_file(path, SILENT_RATE, "PCM_16") as file:
        track = Track(file, _length(duration_s, SILENT_RATE))
        track.close()
    padded = {"padded_s": track.length / SILENT_RATE, "flags": [flag]}
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


def _flags(track: Track, metadata: Mapping[str, Any], rates: set[int]) -> list[str]:
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
        "rate_changed": len(rates) > 1,
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
    blocks: Iterable[av.AudioFrame], stream: av.AudioStream, video_start_s: float, rate: int, rates: set[int]
) -> Iterator[tuple[int | None, np.ndarray]]:
    """Yield position on the video's clock by timestamp (None without one) and samples at `rate`; source rates are added to `rates`."""
    tick_s = float(stream.time_base)
    for block in blocks:
        samples = _samples(block)
        rates.add(block.sample_rate)
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
