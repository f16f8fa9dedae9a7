"""Fixtures of the golden tests."""

import numpy as np
import pytest

from wildaffect.features.signal import read_speech


@pytest.fixture(scope="session")
def speech_folder(shared):
    """Features that the published tools computed from a recording of speech, which lies beside them and is not part of the project."""
    folder = shared / "golden" / "audio"
    if not (folder / "speech16k.wav").is_file():
        pytest.skip(f"the recording is not part of the project and not there either: {folder / 'speech16k.wav'}")
    return folder


@pytest.fixture(scope="session")
def speech(speech_folder) -> np.ndarray:
    """The recording: int16 (64000,) at 16 kHz."""
    return read_speech(speech_folder / "speech16k.wav")[:]
