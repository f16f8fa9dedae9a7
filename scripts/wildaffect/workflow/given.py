"""Files that a person gives besides the corpus, as inputs of jobs, and settings without where they are.

A job knows a given file by what is in it; so its record must not say where it lay.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from wildaffect.faces.detectors.packs import pack_files

PLACES = frozenset({"results_dir", "models_dir", "root", "annotations", "official_root", "path", "trained"})
"""Keys of the configuration that name folders, or files by a pattern."""


def detector_files(config: Mapping[str, Any]) -> list[str]:
    """Files of the detector's networks; empty for a detector that comes with its package."""
    faces = config["faces"]
    if faces["source"] != "detect" or faces["backend"] != "retinaface":
        return []
    return [str(path) for path in pack_files(faces["model"], Path(config["models_dir"])).values()]


def official_folders(root: str, kind: str, trials: Iterable[str]) -> list[str]:
    """The organisers' images of ``trials``, as far as they are there; ``kind`` is ``cropped_aligned`` or ``cropped``."""
    folders = (Path(root, kind, trial) for trial in trials)
    return [str(folder) for folder in folders if folder.is_dir()]


def given_values(settings: Any) -> list[str]:
    """Files that values of ``settings`` name, however deep, in order: initial weights in a recipe."""
    if isinstance(settings, Mapping):
        return [path for value in settings.values() for path in given_values(value)]
    return [settings] if isinstance(settings, str) and Path(settings).is_file() else []


def without_given(settings: Any) -> Any:
    """``settings`` without files and folders: what is in them counts, not where they are."""
    if isinstance(settings, Mapping):
        return {key: without_given(value) for key, value in settings.items() if key not in PLACES}
    return None if given_values(settings) else settings
