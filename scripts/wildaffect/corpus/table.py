"""Any other data set: a table `trials.csv` beside the media."""

import csv
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from wildaffect.cells import plain_cell, safe_cell
from wildaffect.corpus.folder import find_videos
from wildaffect.corpus.trials import PARTITIONS, PERSONS, TASKS, Corpus, Finding, Trial, split_person
from wildaffect.errors import InputError
from wildaffect.files import atomic

COLUMNS = (
    "trial",
    "media",
    "person",
    *(f"partition_{task}" for task in TASKS),
    *(f"annotation_{task}" for task in TASKS),
)


def scan(root: Path, annotations: Path) -> Corpus:
    """Trials of `root/trials.csv`.

    Column `media` (path below `root`) is needed, the others may be absent or empty. `trial` defaults to the stem of the media file and
    `person` to the suffix of the trial's name; annotation paths are relative to `annotations`. A trial with neither partition nor
    annotation is only predicted (partition `test` in every task); an annotated one without a partition is a training trial. A trial
    whose media file does not exist is left out and becomes a finding.

    Raises:
        InputError: The table is missing, malformed or ambiguous, an annotation file or every media file is missing.
    """
    path = root / "trials.csv"
    trials = [_trial(row, f"{path}, line {line}") for line, row in enumerate(_read_rows(path), 2)]
    if not trials:
        raise InputError(f"{path}: has a header but no rows.")
    _check_names(path, trials)
    _check_stems(path, trials)
    _check_annotations(path, trials, annotations)
    missing = {trial for trial in trials if not (root / trial.media).is_file()}
    if len(missing) == len(trials):
        raise InputError(f"{path}: none of the media files exists below {root}.")
    present = tuple(trial for trial in trials if trial not in missing)
    return Corpus(present, tuple(_missing_media(trial) for trial in trials if trial in missing))


def new_table(root: Path) -> Path:
    """Write `root/trials.csv` with one `main` trial per video and empty partitions.

    Returns:
        Path of the table.

    Raises:
        InputError: There is such a table already, or no video.
    """
    path = root / "trials.csv"
    if os.path.lexists(path):
        raise InputError(f"{path}: exists already and is not overwritten.")
    videos = find_videos(root)
    if not videos:
        raise InputError(f"{root}: no video files below this folder.")
    with atomic(path) as partial, partial.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, COLUMNS, restval="")
        writer.writeheader()
        writer.writerows(
            {"trial": safe_cell(video), "media": safe_cell(media), "person": "main"} for video, media in videos.items()
        )
    return path


def _read_rows(path: Path) -> list[dict[str, str]]:
    """Rows of the table, columns checked."""
    if not path.is_file():
        raise InputError(f"{path}: not found. corpus.layout: table needs it; see README, 'Any other data set'.")
    with path.open(newline="", encoding="utf-8-sig") as handle:
        reader = csv.DictReader(handle)
        columns = reader.fieldnames or ()
        unknown = sorted(set(columns) - set(COLUMNS))
        if unknown:
            raise InputError(f"{path}: unknown columns {unknown}. Known columns: {', '.join(COLUMNS)}.")
        if "media" not in columns:
            raise InputError(f"{path}: column 'media' is missing. Known columns: {', '.join(COLUMNS)}.")
        return list(reader)


def _trial(row: Mapping[str, str], line: str) -> Trial:
    """The trial of one row, defaults filled in; `line` names file and line in messages."""
    values = {key: plain_cell((value or "").strip()) or None for key, value in row.items()}
    if not values["media"]:
        raise InputError(f"{line}: 'media' is empty.")
    video = Path(values["media"]).stem
    name = values.get("trial") or video
    if set("{}/") & set(name):
        raise InputError(f"{line}: trial names must not contain braces or slashes: {name!r}.")
    person = values.get("person") or split_person(name)[1]
    if person not in PERSONS:
        raise InputError(f"{line}: person is {person!r}, expected one of {PERSONS}.")
    return Trial(name, video, values["media"], person, **_partitions(values, line), **_annotations(values))


def _annotations(values: Mapping[str, str | None]) -> dict[str, str | None]:
    return {f"annotation_{task}": values.get(f"annotation_{task}") for task in TASKS}


def _partitions(values: Mapping[str, str | None], line: str) -> dict[str, str | None]:
    """Partition of every task: as given; else `train` where annotated; `test` everywhere if the row names no task at all."""
    annotated = {task: values.get(f"annotation_{task}") for task in TASKS}
    given = {task: values.get(f"partition_{task}") for task in TASKS}
    for task, partition in given.items():
        if partition not in (None, *PARTITIONS):
            raise InputError(f"{line}: partition_{task} is {partition!r}, expected one of {PARTITIONS}.")
    if not any(annotated.values()) and not any(given.values()):
        return {f"partition_{task}": "test" for task in TASKS}
    return {f"partition_{task}": given[task] or ("train" if annotated[task] else None) for task in TASKS}


def _check_names(path: Path, trials: Sequence[Trial]) -> None:
    """No two trials share a name."""
    counts = Counter(trial.trial for trial in trials)
    repeated = sorted(name for name, count in counts.items() if count > 1)
    if repeated:
        raise InputError(f"{path}: trials named more than once: {', '.join(repeated)}.")


def _check_stems(path: Path, trials: Sequence[Trial]) -> None:
    """No two media files share a stem."""
    media: dict[str, str] = {}
    for trial in trials:
        if media.setdefault(trial.video, trial.media) != trial.media:
            raise InputError(
                f"{path}: {media[trial.video]} and {trial.media} share the stem {trial.video!r}. Rename one."
            )


def _check_annotations(path: Path, trials: Sequence[Trial], annotations: Path) -> None:
    """Every annotation file exists."""
    for trial in trials:
        named = [name for task in TASKS if (name := trial.annotation(task))]
        missing = [name for name in named if not (annotations / name).is_file()]
        if missing:
            raise InputError(
                f"{path}: trial {trial.trial!r} names annotation files that do not exist: {', '.join(missing)}."
            )


def _missing_media(trial: Trial) -> Finding:
    detail = f"{trial.media} does not exist"
    return Finding(trial.trial, trial.video, "error", "missing_media", detail, "trial left out")
