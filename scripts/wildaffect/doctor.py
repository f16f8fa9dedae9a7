"""Self-check of an installation: every part that a pipeline run relies on, tried on a tiny input."""

import importlib
import os
import sys
import tempfile
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np

from wildaffect.errors import InputError
from wildaffect.job import check_interpreter
from wildaffect.provenance import main_versions

RATE = 16000


def check_installation() -> list[tuple[str, bool, str]]:
    """Check every part; one that fails does not stop the others.

    Returns:
        Per part its name, whether it works, and what was found or the error.
    """
    parts: dict[str, Callable[[], str]] = {
        "versions": _versions,
        "folders": _folders,
        "decoding": _decoding,
        "audio features": _opensmile,
        "dlib models": _dlib,
        "torch": _torch,
        "onnxruntime": _onnxruntime,
    }
    results = []
    for name, check in parts.items():
        try:
            results.append((name, True, check()))
        except Exception as error:  # a broken installation may fail in any way; the message is the result
            results.append((name, False, f"{type(error).__name__}: {error}"))
    return results


def _versions() -> str:
    return ", ".join(f"{name} {version}" for name, version in main_versions().items())


def _folders() -> str:
    """Where Snakemake keeps its files and starts jobs from."""
    check_interpreter(sys.executable)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=cache):
            return f"{sys.executable}, {cache}"
    except OSError as error:
        raise InputError(
            f"{cache}: Snakemake cannot keep its cache there ({error.strerror}). Name another folder: export XDG_CACHE_HOME=FOLDER"
        ) from error


def _decoding() -> str:
    """Write a clip of ten frames and read its frame table."""
    import av

    from wildaffect.media.frames import read_frames, write_frame_table

    with tempfile.TemporaryDirectory() as folder:
        clip, table = Path(folder) / "clip.mp4", Path(folder) / "frames.parquet"
        with av.open(str(clip), "w") as container:
            stream = container.add_stream("libx264", rate=Fraction(30000, 1001))
            stream.width = stream.height = 64
            for value in range(10):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(np.full((64, 64, 3), 20 * value, np.uint8))))
            container.mux(stream.encode())
        write_frame_table(clip, table)
        times = read_frames(table).times
    if not np.allclose(times, np.arange(10) * 1001 / 30000, atol=1e-6):
        raise ValueError(f"ten frames at 29.97 per second came back at {times.round(4).tolist()} s")
    return "10 of 10 frames at the right times"


def _opensmile() -> str:
    import opensmile

    smile = opensmile.Smile(opensmile.FeatureSet.eGeMAPSv02, opensmile.FeatureLevel.LowLevelDescriptors)
    tone = 0.3 * np.sin(2 * np.pi * 220 * np.arange(RATE) / RATE).astype(np.float32)
    return f"openSMILE gives {smile.process_signal(tone, RATE).shape[1]} descriptors"


def _dlib() -> str:
    from wildaffect.faces.detectors import open_detector
    from wildaffect.faces.options import DlibOptions

    about = open_detector("dlib", "hog", DlibOptions(), "cpu", 1, None).about
    return ", ".join(about["files"])


def _torch() -> str:
    torch = importlib.import_module("torch")
    cards = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return f"devices: cpu{''.join(f', {card}' for card in cards)}"


def _onnxruntime() -> str:
    onnxruntime = importlib.import_module("onnxruntime")
    return f"providers: {', '.join(onnxruntime.get_available_providers())}"
