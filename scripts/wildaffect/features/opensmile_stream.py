"""openSMILE fed and emptied piece by piece.

Its Python package takes a whole signal, answers with a table, and keeps both several times over (2.4 GB for an hour). Here the same library
with the same descriptors gets its sound in blocks, keeps five seconds of it, and hands its rows out as they come. The values are those of
the package, bit by bit.
"""

import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import opensmile
from opensmile.core.lib import OpenSMILE

from wildaffect.features.store import Rows, Spool, pieces
from wildaffect.features.waveform import RATE

SHORTEST = 960  # samples; openSMILE answers nothing for less, so shorter signals are padded with silence
HOP = RATE // 100
_BLOCK = RATE // 2  # well below the five seconds of the source, which takes no block that it has no room for
_SOURCE, _SINK = "extsource", "extsink"
_OWN = Path(__file__).parent / "config"
_PACKAGE = Path(opensmile.__file__).parent / "core" / "config"
_OPTIONS = {
    "sink": _PACKAGE / "shared" / "standard_external_data_output_single.conf.inc",
    "bufferModeRbConf": _PACKAGE / "shared" / "BufferModeRb.conf.inc",
    "bufferModeRbLagConf": _PACKAGE / "shared" / "BufferModeRbLag.conf.inc",
    "sampleRate": RATE,
    "nBits": 16,
}


def parameters(feature_set: str) -> dict:
    """What ``about.json`` says of the low-level descriptors of ``feature_set``."""
    return {
        "rate_hz": RATE,
        "hop_s": 0.01,
        "window_s": "0.06 for pitch, jitter, shimmer and harmonics; 0.02 or 0.025 for the rest",
        "set": feature_set,
        "level": "low-level descriptors, smoothed over 3 rows",
        "opensmile": opensmile.__version__,
    }


def descriptors(speech: Rows, dim: int, config: str, level: str, *included: str, shortest: int = SHORTEST) -> Spool:
    """Rows float32 (R, dim) of the configuration ``config`` for int16 (S,) at 16 kHz; row r starts at r * 10 ms.

    ``level`` names the level they leave from; for the package's descriptors, the levels that are put side by side. ``included`` are the
    files of the package that describe these. Signals of less than ``shortest`` samples are followed by silence, which gives finite values.
    """
    files = {name: _PACKAGE / path for name, path in zip(("basic", "extended"), included, strict=False)}
    levels = {"sinkLevel": "lld", "levels": level} if included else {"sinkLevel": level}
    flat = {"source": _OWN / "source.conf.inc", "bufferModeConf": _OWN / "ring.conf.inc"}
    smile = OpenSMILE()
    smile.initialize(str(_OWN / config), _OPTIONS | flat | levels | files)
    rows, speech = Spool(np.float32, (dim,)), _long_enough(speech, shortest)
    try:
        _run(smile, speech, rows)
    finally:
        smile.free()
    due = 1 + (len(speech) - SHORTEST) // HOP
    if len(rows) < due:
        raise RuntimeError(f"openSMILE answered {len(rows)} rows to {len(speech)} samples, at least {due} were due")
    return rows


def _run(smile: OpenSMILE, speech: Rows, rows: Spool) -> None:
    """Feed ``speech`` while another thread computes, and move its rows to ``rows``."""
    found: deque[np.ndarray] = deque()
    # What the callback raises is lost, so it does nothing that can fail.
    smile.external_sink_set_callback(_SINK, lambda row: found.append(row.copy()))
    with ThreadPoolExecutor(1) as aside:
        running = aside.submit(smile.run)
        try:
            for block in pieces(speech, _BLOCK):
                while not smile.external_audio_source_write_data(_SOURCE, block.tobytes()):
                    if running.done():
                        running.result()
                    time.sleep(0.001)
                _empty(found, rows)
        finally:  # without an end the other thread would wait for ever
            smile.external_audio_source_set_eoi(_SOURCE)
        running.result()
    _empty(found, rows)


def _empty(found: deque[np.ndarray], rows: Spool) -> None:
    while found:
        rows.append(np.stack([found.popleft() for _ in range(len(found))]))


def _long_enough(speech: Rows, shortest: int) -> Rows:
    return np.pad(speech[:], (0, shortest - len(speech))) if len(speech) < shortest else speech


class Functionals:
    """The functionals of a feature set of the package over one piece of sound after the other; use in a ``with`` block.

    The configuration is read once, which saves about a tenth of the time.
    """

    def __init__(self, feature_set: str) -> None:
        config = _PACKAGE / f"{opensmile.FeatureSet[feature_set].value}.conf"
        source = _PACKAGE / "shared" / "standard_external_wave_input.conf.inc"
        whole = _PACKAGE / "shared" / "FrameModeFunctionals.conf.inc"
        self._smile = OpenSMILE()
        self._smile.initialize(
            str(config), _OPTIONS | {"source": source, "frameModeFunctionalsConf": whole, "sinkLevel": "func"}
        )

    def __enter__(self) -> "Functionals":
        return self

    def __exit__(self, *error: object) -> None:
        self._smile.free()

    def __call__(self, speech: np.ndarray) -> np.ndarray:
        """float32 (dim,) of int16 (S,) at 16 kHz, S of any size."""
        found: list[np.ndarray] = []
        self._smile.external_sink_set_callback(_SINK, lambda row: found.append(row.copy()))
        self._smile.external_audio_source_write_data(_SOURCE, _long_enough(speech, SHORTEST).tobytes())
        self._smile.external_audio_source_set_eoi(_SOURCE)
        self._smile.run()
        self._smile.reset()
        return found[0]
