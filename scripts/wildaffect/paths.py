"""What the names of result files mean, read back from paths."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from wildaffect.corpus.trials import TRIALS
from wildaffect.features.names import of_trial
from wildaffect.tables import read_table


def by_folder(paths: Iterable[str]) -> dict[str, dict[str, Path]]:
    """``{folder: {stem: path}}``: crops by template and trial, features by id and video."""
    found: dict[str, dict[str, Path]] = {}
    for path in map(Path, paths):
        found.setdefault(path.parent.name, {})[path.stem] = path
    return found


def by_video(paths: Iterable[str]) -> dict[str, Path]:
    """``{video: path}`` of files that lie in a folder named after the video."""
    return {path.parent.name: path for path in map(Path, paths)}


def by_stem(paths: Iterable[str]) -> dict[str, Path]:
    """``{stem: path}``: label tables by task, contact sheets by trial."""
    return {path.stem: path for path in map(Path, paths)}


def instance_entries(paths: Iterable[str]) -> list[dict]:
    """System, variant, target, fold (``"0"``, … or ``"ensemble"``) and path of files ``…/{system}/{variant}/{target}/fold{k}/{name}``."""
    entries = []
    for path in map(Path, paths):
        system, variant, target, fold = path.parts[-5:-1]
        entry = {"system": system, "variant": variant, "target": target, "fold": fold.removeprefix("fold")}
        entries.append({**entry, "path": path})
    return entries


def prediction_entries(paths: Iterable[str]) -> list[dict]:
    """Like :func:`instance_entries`, with the partition that the file name says."""
    return [{**entry, "partition": entry["path"].stem} for entry in instance_entries(paths)]


def run_folders(paths: Iterable[str]) -> list[dict]:
    """Like :func:`instance_entries`, with the folder of the file as path."""
    return [{**entry, "path": entry["path"].parent} for entry in instance_entries(paths)]


def samples_by_trial(
    trials: Path, frames: Iterable[str], crops: Iterable[str], features: Iterable[str], persons: Iterable[str] = ()
) -> dict[str, Any]:
    """Files of a training or prediction job keyed by trial: ``frames``, ``crops`` by template, ``features`` by id and ``persons``.

    Crops, and features that show one person, belong to a trial; all else to a video, which two trials may share. ``trials`` is the
    trials table.
    """
    videos = video_of_trial(trials)

    def of_trials(by_name: Mapping[str, Path]) -> dict[str, Path]:
        return {trial: by_name[video] for trial, video in videos.items() if video in by_name}

    return {
        "frames": of_trials(by_video(frames)),
        "crops": by_folder(crops),
        "features": {
            feature: files if of_trial(feature) else of_trials(files) for feature, files in by_folder(features).items()
        },
        "persons": of_trials(by_video(persons)),
    }


def video_of_trial(trials: Path) -> dict[str, str]:
    """``{trial: video}`` of a trials table."""
    return {row["trial"]: row["video"] for row in read_table(trials, TRIALS).to_pylist()}
