"""The signals that the audio features analyse: mono, 16 bit, at 16 kHz (LFAN spec 2.4) or 44.1 kHz (TSAV spec 2.7)."""

import os

import numpy as np

from wildaffect.errors import InputError
from wildaffect.features.store import Spool

RATE = 16_000
_BLOCK = 1 << 20


def read_speech(audio: str | os.PathLike, rate: int = RATE) -> Spool:
    """Samples of a mono audio file of any rate; sample 0 stays sample 0.

    Decoded, resampled (soxr, high quality) and rounded block by block onto the disk: 115 MB per hour at 16 kHz, none of it in memory. Full
    scale is clipped, never wrapped. The published pipelines resample with FFmpeg instead, so where the rate changes single samples may
    differ from theirs.

    Args:
        audio: Path of the file.
        rate: Sampling rate of the result in Hz.

    Returns:
        int16 (S,) on disk.

    Raises:
        InputError: The file cannot be read or is not mono.
    """
    # Planning imports the features, but reads no audio.
    import soundfile
    import soxr

    speech = Spool(np.int16)
    try:
        with soundfile.SoundFile(audio) as file:
            if file.channels != 1:
                raise InputError(f"{audio}: has {file.channels} channels, expected mono. Make it again from the video.")
            convert = (
                _passed if file.samplerate == rate else soxr.ResampleStream(file.samplerate, rate, 1).resample_chunk
            )
            for block in file.blocks(_BLOCK, dtype="float32"):
                speech.append(_rounded(convert(block)))
            speech.append(_rounded(convert(np.zeros(0, np.float32), last=True)))
    except soundfile.LibsndfileError as error:
        raise InputError(f"{audio}: not a readable audio file ({error}). Delete it and run again.") from error
    return speech


def _passed(block: np.ndarray, last: bool = False) -> np.ndarray:
    return block


def _rounded(block: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(block * 32768.0), -32768, 32767).astype(np.int16)
