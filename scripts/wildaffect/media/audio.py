"""The sound of a video as mono FLAC on the video's clock: sample 0 belongs to the time of frame 0."""

import json
import os
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import av
import numpy as np
import soundfile
import soxr

from wildaffect.errors import InputError
from wildaffect.files import atomic
from wildaffect.media.container import PacketCount, UnreadableError, decoded, open_media, sound_stream
from wildaffect.media.track import Track, dejitter
from wildaffect.tables import read_metadata

SILENT_RATE = 16_000  # of files that have no sound
TOLERANCE_S = 0.010  # timestamps of compressed sound are rounded; a smaller step between two blocks is no gap
RATES = range(1_000, 655_351)  # others are damage; the upper end is the limit of FLAC
SHORT_S = 0.5
CLIPPED_FRACTION = 0.001
SILENT_PEAK = 0.001  # -60 dBFS
# The description is complete only at the end but stands in the head of the file, so room is kept for it there.
COMMENT_ROOM = "~" * 2048
# PyAV 18 reads past the end of a planar block's list of channels from this number on, so such blocks are packed first.
PLANES = 8

_FULL_SCALE = {"u8": 2**7, "s16": 2**15, "s32": 2**31, "flt": 1, "dbl": 1}


def write_audio(video: str | os.PathLike, frames: str | os.PathLike, output: str | os.PathLike) -> None:
    """Write the sound of ``video`` as mono FLAC on the clock of its frame table ``frames``.

    The file has ``round(duration_s * rate)`` samples, ``duration_s`` being the end of the last frame: sound before
    frame 0 or behind the end is cut off, missing sound is silence. Every decoded block of samples stands where its
    timestamp says: a step forward becomes silence, an overlap is cut from the later block; steps below 10 ms (or one
    tick of a coarser clock) and steps that the next block takes back are jitter and ignored. Channels are averaged; the
    rate is kept. PCM with 16 bits, with 24 if the source is lossless and has more. Of several sound streams the first
    that has a decoder is taken. Without any sound the file is silence at 16 kHz; without any frame it is one silent
    sample, since FLAC cannot be empty.

    The FLAC comment describes the file (see :func:`read_audio`): ``audio_valid`` (there is decoded sound within the
    video), ``rate``, ``samples``, ``channels`` of the source (0 without sound), ``offset_s`` (start of the sound after
    frame 0; null without sound), ``padded_s`` (silence added at the ends), ``trimmed_s`` (sound cut off at the ends),
    ``gaps_s`` (silence inside), ``overlaps_s``, ``clipped_fraction`` (of the sound, samples with a channel at full
    scale), ``silent`` (peak of the mono mix below -60 dBFS), ``failed_packets``, and ``flags``, any of: absent,
    undecodable, outside (no sound within the video), late, early, short (ends 0.5 s or more before the video), gaps,
    overlaps, silent, clipped (more than 0.1 %), damaged, rate_changed (later parts resampled block by block).

    Sound with faults is a result, not an exception. Raises :class:`wildaffect.errors.InputError` where there is no
    such video.
    """
    clock = read_metadata(frames)
    tally, flag = PacketCount(), "absent"
    with atomic(output) as partial:
        try:
            with open_media(video) as container:
                stream = sound_stream(container)
                if stream is not None:
                    if clock["frames"] and _write_sound(partial, container, stream, clock, tally):
                        return
                    flag = "undecodable" if clock["frames"] else "outside"
        except UnreadableError:
            pass  # the frame table says why
        _write_silence(partial, clock["duration_s"], flag, tally)


def read_audio(path: str | os.PathLike) -> tuple[np.ndarray, int, dict[str, Any]]:
    """Read (samples float32 (S,) in [-1, 1], rate in Hz, description) written by :func:`write_audio`.

    Raises :class:`wildaffect.errors.InputError` if ``path`` is no such file.
    """
    try:
        with soundfile.SoundFile(path) as sound:
            return sound.read(dtype="float32"), sound.samplerate, json.loads(sound.comment)
    except (soundfile.SoundFileError, json.JSONDecodeError) as error:
        raise InputError(f"{path}: not a FLAC file of this pipeline ({error}). Delete it and run again.") from error


def read_about(path: str | os.PathLike) -> dict[str, Any]:
    """The description of a file of :func:`write_audio`, without its samples."""
    try:
        with soundfile.SoundFile(path) as sound:
            return json.loads(sound.comment)
    except (soundfile.SoundFileError, json.JSONDecodeError) as error:
        raise InputError(f"{path}: not a FLAC file of this pipeline ({error}). Delete it and run again.") from error


def _write_sound(
    path: Path,
    container: av.container.InputContainer,
    stream: av.AudioStream,
    clock: dict[str, Any],
    tally: PacketCount,
) -> bool:
    """Copy the stream onto the clock; False, with nothing written, if no block of it can be used."""
    blocks = decoded(container, stream, tally)
    first = next(blocks, None)
    if first is None or first.sample_rate not in RATES:
        return False
    rate, channels = first.sample_rate, first.layout.nb_channels
    fine = stream.codec.lossless and not stream.codec.lossy and _base_format(first) in ("s32", "flt", "dbl")
    with _new_file(path, rate, "PCM_24" if fine else "PCM_16") as sound:
        track = Track(sound, _length(clock["duration_s"], rate))
        tolerance = round(max(TOLERANCE_S, float(stream.time_base)) * rate)
        rates = set()
        stamped = _stamped(chain([first], blocks), stream, clock["video_start_s"], rate, rates)
        for start, samples in dejitter(stamped, tolerance):
            track.add(start, samples)
        track.close()
    about = _description(rate, track.length, channels, tally)
    about |= {
        "audio_valid": track.heard > 0,
        "offset_s": track.offset / rate,
        "padded_s": (track.head + track.tail) / rate,
        "trimmed_s": track.trimmed / rate,
        "gaps_s": track.gaps / rate,
        "overlaps_s": track.overlaps / rate,
        "clipped_fraction": track.clipped / max(track.heard, 1),
        "silent": track.peak < SILENT_PEAK,
    }
    found = {
        "outside": not track.heard,
        "late": about["offset_s"] > TOLERANCE_S,
        "early": about["offset_s"] < -TOLERANCE_S,
        "short": track.tail / rate >= SHORT_S,
        "gaps": track.gaps,
        "overlaps": track.overlaps,
        "silent": about["silent"],
        "clipped": about["clipped_fraction"] > CLIPPED_FRACTION,
        "damaged": tally.failed,
        "rate_changed": len(rates) > 1,
    }
    _describe(path, about | {"flags": [flag for flag, holds in found.items() if holds]})
    return True


def _write_silence(path: Path, duration_s: float, flag: str, tally: PacketCount) -> None:
    with _new_file(path, SILENT_RATE, "PCM_16") as sound:
        track = Track(sound, _length(duration_s, SILENT_RATE))
        track.close()
    padded = {"padded_s": track.length / SILENT_RATE, "flags": [flag]}
    _describe(path, _description(SILENT_RATE, track.length, 0, tally) | padded)


def _description(rate: int, samples: int, channels: int, tally: PacketCount) -> dict[str, Any]:
    return {
        "audio_valid": False, "rate": rate, "samples": samples, "channels": channels, "offset_s": None,
        "padded_s": 0.0, "trimmed_s": 0.0, "gaps_s": 0.0, "overlaps_s": 0.0, "clipped_fraction": 0.0, "silent": True,
        "failed_packets": tally.failed, "flags": [],
    }  # fmt: skip


def _length(duration_s: float, rate: int) -> int:
    return max(1, round(duration_s * rate))


def _base_format(block: av.AudioFrame) -> str:
    return block.format.name.removesuffix("p")


def _samples(block: av.AudioFrame) -> np.ndarray:
    """Samples float64 (channels, S) in [-1, 1] of a decoded block in any format."""
    channels, found = block.layout.nb_channels, _base_format(block)
    name = found if found in _FULL_SCALE else "dbl"
    if name != found or (block.format.is_planar and channels >= PLANES):
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
    """(position on the video's clock by timestamp, None without one; samples at ``rate``); collects source ``rates``."""
    tick_s = float(stream.time_base)
    for block in blocks:
        samples = _samples(block)
        rates.add(block.sample_rate)
        if block.sample_rate != rate:
            samples = soxr.resample(samples.T, block.sample_rate, rate).T
        yield None if block.pts is None else round((block.pts * tick_s - video_start_s) * rate), samples


def _new_file(path: Path, rate: int, subtype: str) -> soundfile.SoundFile:
    sound = soundfile.SoundFile(path, "w", samplerate=rate, channels=1, format="FLAC", subtype=subtype)
    sound.comment = COMMENT_ROOM
    return sound


def _describe(path: Path, about: dict[str, Any]) -> None:
    """Put the description into the room kept in the comment, which no checksum of FLAC covers (RFC 9639, 8.6)."""
    text = json.dumps(about, sort_keys=True).encode().ljust(len(COMMENT_ROOM))
    with path.open("r+b") as file:
        place = file.read(2 * len(COMMENT_ROOM)).index(COMMENT_ROOM.encode())
        file.seek(place)
        file.write(text)
