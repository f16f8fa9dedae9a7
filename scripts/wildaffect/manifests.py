"""Lists of files: jobs that read thousands of per-trial files name a few lists instead.

Without them the workflow graph would have an edge from every trial to every training and prediction of every fold.
"""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from wildaffect import paths
from wildaffect.corpus.trials import TRIALS
from wildaffect.features.spec import of_trial
from wildaffect.integrity import damaged, read_json, sealed
from wildaffect.tables import read_table


def write_list(files: Iterable[str], output: Path) -> None:
    """Write a list of files with size and time of each, so that the list changes whenever one of them is written again.

    Paths are stored relative to the list, so that results can be moved.
    """
    entries = []
    for path in files:
        status = Path(path).stat()
        entries.append(
            {
                "path": os.path.relpath(path, Path(output).parent),
                "bytes": status.st_size,
                "modified_ns": status.st_mtime_ns,
            }
        )
    with sealed(output) as partial:
        partial.write_text(json.dumps(entries, indent=0) + "\n")


def read_lists(lists: Iterable[str]) -> list[str]:
    """All paths in the lists, each once."""
    return list(
        dict.fromkeys(os.path.normpath(Path(path).parent / entry["path"]) for path in lists for entry in _entries(path))
    )


def files_by_trial(
    trials: Path, frames: Iterable[str], crops: Iterable[str], features: Iterable[str], persons: Iterable[str] = ()
) -> dict[str, Any]:
    """Files of a training or prediction job by trial.

    Crops, and features of one person, belong to a trial; all others to a video, which two trials may share.

    Args:
        trials: Table of trials.
        frames, crops, features, persons: Paths as in `wildaffect.paths`.

    Returns:
        `frames`, `crops` by template, `features` by id, and `persons`.
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
    """Video by trial of a table of trials."""
    return {row["trial"]: row["video"] for row in read_table(trials, TRIALS).to_pylist()}


def _entries(path: str) -> list[dict]:
    entries = read_json(path)
    if not isinstance(entries, list) or not all(
        isinstance(entry, dict) and isinstance(entry.get("path"), str) for entry in entries
    ):
        raise damaged(path, "not a list of files")
    return entries
