"""Lists of files, which stand between thousands of per-trial files and the jobs that read them.

Without them the workflow would keep an edge from every trial to every training and prediction of every fold.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from wildaffect import paths
from wildaffect.corpus.trials import TRIALS
from wildaffect.errors import InputError
from wildaffect.features.registry import of_trial
from wildaffect.files import atomic
from wildaffect.tables import read_table


def write_list(files: Iterable[str], output: Path) -> None:
    """Write ``files`` with size and time of each file, so that the list changes whenever one of them was made anew."""
    entries = []
    for path in files:
        status = Path(path).stat()
        entries.append({"path": str(path), "bytes": status.st_size, "modified_ns": status.st_mtime_ns})
    with atomic(output) as partial:
        partial.write_text(json.dumps(entries, indent=0) + "\n")


def read_lists(lists: Iterable[str]) -> list[str]:
    """All paths in ``lists``, each once."""
    return list(dict.fromkeys(entry["path"] for path in lists for entry in _entries(path)))


def files_by_trial(
    trials: Path, frames: Iterable[str], crops: Iterable[str], features: Iterable[str], persons: Iterable[str] = ()
) -> dict[str, Any]:
    """Files of a training or prediction job by trial: ``frames``, ``crops`` by template, ``features`` by id and ``persons``.

    Crops, and features that show one person, belong to a trial; all else to a video, which two trials may share.

    Args:
        trials: The trials table.
    """
    videos = video_of_trial(trials)

    def of_trials(by_name: Mapping[str, Path]) -> dict[str, Path]:
        return {trial: by_name[video] for trial, video in videos.items() if video in by_name}

    return {
        "frames": of_trials(paths.keyed(paths.FRAMES, frames)),
        "crops": paths.keyed(paths.CROPS, crops),
        "features": {
            feature: files if of_trial(feature) else of_trials(files)
            for feature, files in paths.keyed(paths.FEATURE, features).items()
        },
        "persons": of_trials(paths.keyed(paths.PERSONS, persons)),
    }


def video_of_trial(trials: Path) -> dict[str, str]:
    """``{trial: video}`` of a trials table."""
    return {row["trial"]: row["video"] for row in read_table(trials, TRIALS).to_pylist()}


def _entries(path: str) -> list[dict]:
    try:
        return json.loads(Path(path).read_text())
    except ValueError as error:
        raise InputError(f"{path}: not a readable list of files ({error}). Delete it and run again.") from error
