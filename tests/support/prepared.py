"""Files of the media stage for made-up videos: frame tables and audio."""

import json

import numpy as np
import pyarrow as pa
import soundfile

from wildaffect.media.frames import FRAMES
from wildaffect.tables import write_table


def frame_table(path, times, **about):
    """Write the frame table of a video with frames at ``times``; ``about`` is added to its metadata."""
    times = np.asarray(times, float)
    n = len(times)
    duration = float(times[-1] + (times[-1] - times[0]) / max(1, n - 1)) if n else 0.0
    columns = {
        "frame": np.arange(n, dtype=np.int32),
        "pts": np.arange(n),
        "time_s": times,
        "duration_s": np.full(n, 0.04),
        "keyframe": np.ones(n, bool),
        "repair": pa.array([""] * n, pa.string()),
    }
    known = {"average_rate": n / duration if n else None, "nominal_rate": None, "status": "ok"}
    write_table(path, pa.table(columns), FRAMES, known | about)
    return path


def sealed_audio(path, samples, rate=48000, **said):
    """Write the audio of a video as the media stage does; ``said`` replaces what is said of it."""
    about = {"audio_valid": True, "rate": rate, "samples": len(samples), "offset_s": 0.0, "padded_s": 0.0} | said
    with soundfile.SoundFile(path, "w", samplerate=rate, channels=1, subtype="PCM_16") as file:
        file.comment = json.dumps(about)
        file.write(samples)
    return path
