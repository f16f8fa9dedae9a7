"""openSMILE fed and emptied piece by piece.

Its Python package takes a whole signal, returns a table, and keeps both several times over (2.4 GB for an hour). Here the same library
with the same descriptors gets its audio in blocks, keeps five seconds of it, and hands its rows out as they come. The values are those of
the package, bit by bit. The package is imported where it is used, because planning imports the features.
"""

import time
from collections import deque
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from wildaffect.features.signal import RATE
from wildaffect.features.store import Rows, Spool, pieces

if TYPE_CHECKING:
    from opensmile.core.lib import OpenSMILE

NOTICE = (
    "Computed with openSMILE (audEERING GmbH), whose research licence covers private, research and educational use, "
    "also of the extracted values; commercial products need a licence from audEERING. "
    "Cite F. Eyben, M. Wöllmer, B. Schuller, openSMILE, ACM Multimedia 2010."
)
SHORTEST = 960  # samples; openSMILE gives no row for less, so shorter signals are padded with silence
HOP = RATE // 100
_BLOCK = RATE // 2  # well below the five seconds of the source, which takes no block that it has no room for
_SOURCE, _SINK = "extsource", "extsink"
_CONFIG = Path(__file__).parent / "config"


def version() -> str:
    """Version of the openSMILE package."""
    return metadata.version("opensmile")


def parameters(feature_set: str) -> dict[str, Any]:
    """What ``about.json`` says of the low-level descriptors of ``feature_set``."""
    return {
        "rate_hz": RATE,
        "hop_s": 0.01,
        "window_s": "0.06 for pitch, jitter, shimmer and harmonics; 0.02 or 0.025 for the rest",
        "set": feature_set,
        "level": "low-level descriptors, smoothed over 3 rows",
        "opensmile": version(),
    }


def descriptors(speech: Rows, dim: int, config: Path, level: str, *included: str, shortest: int = SHORTEST) -> Spool:
    """Low-level descriptors every 10 ms.

    Args:
        speech: int16 (S,) at 16 kHz.
        dim: Number of descriptors.
        config: The configuration file.
        level: The level that the rows leave from; for the package's descriptors, the levels that are put side by side.
        *included: Files of the package that describe these levels.
        shortest: Signals of fewer samples are followed by silence, which gives finite values.

    Returns:
        float32 (R, dim) on disk; row r starts at r * 10 ms.
    """
    files = {name: _package() / path for name, path in zip(("basic", "extended"), included, strict=False)}
    levels = {"sinkLevel": "lld", "levels": level} if included else {"sinkLevel": level}
    buffers = {"source": _CONFIG / "source.conf.inc", "bufferModeConf": _CONFIG / "ring.conf.inc"}
    smile = _opened(config, buffers | levels | files)
    rows, speech = Spool(np.float32, (dim,)), _long_enough(speech, shortest)
    try:
        _run(smile, speech, rows)
    finally:
        smile.free()
    due = 1 + (len(speech) - SHORTEST) // HOP
    if len(rows) < due:
        raise RuntimeError(f"openSMILE gave {len(rows)} rows for {len(speech)} samples, expected at least {due}")
    return rows


def _package() -> Path:
    """Folder of the package's configuration files."""
    import opensmile

    return Path(opensmile.__file__).parent / "core" / "config"


def _opened(config: Path, options: Mapping[str, Any]) -> "OpenSMILE":
    from opensmile.core.lib import OpenSMILE

    shared = _package() / "shared"
    common = {
        "sink": shared / "standard_external_data_output_single.conf.inc",
        "bufferModeRbConf": shared / "BufferModeRb.conf.inc",
        "bufferModeRbLagConf": shared / "BufferModeRbLag.conf.inc",
        "sampleRate": RATE,
        "nBits": 16,
    }
    smile = OpenSMILE()
    smile.initialize(str(config), {**common, **options})
    return smile


def _run(smile: "OpenSMILE", speech: Rows, rows: Spool) -> None:
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
    """The functionals of a feature set of the package over one piece of audio after the other; use in a ``with`` block.

    The configuration is read once, which saves about a tenth of the time.

    Args:
        feature_set: Name of the set, a member of ``opensmile.FeatureSet``.
    """

    def __init__(self, feature_set: str) -> None:
        from opensmile import FeatureSet

        source = _package() / "shared" / "standard_external_wave_input.conf.inc"
        whole = _package() / "shared" / "FrameModeFunctionals.conf.inc"
        self._smile = _opened(
            _package() / f"{FeatureSet[feature_set].value}.conf",
            {"source": source, "frameModeFunctionalsConf": whole, "sinkLevel": "func"},
        )

    def __enter__(self) -> "Functionals":
        return self

    def __exit__(self, *error: object) -> None:
        self._smile.free()

    def __call__(self, speech: np.ndarray) -> np.ndarray:
        """float32 (dim,) of int16 (S,) at 16 kHz, S of any size."""
        found: list[np.ndarray] = []
        self._smile.external_sink_set_callback(_SINK, lambda row: found.append(row.copy()))
        self._smile.external_audio_source_write_data(_SOURCE, _long_enough(speech, SHORTEST)[:].tobytes())
        self._smile.external_audio_source_set_eoi(_SOURCE)
        self._smile.run()
        self._smile.reset()
        return found[0]
