"""Any other data set: a ``trials.csv`` beside the media."""

import csv
from pathlib import Path

from wildaffect.corpus.media_files import find_videos
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
    """Trials of ``root/trials.csv``: column ``media`` (path below ``root``) is needed, the others may be absent or empty.

    ``trial`` defaults to the stem of the media file, ``person`` to what the trial's suffix says; annotation paths are relative to
    ``annotations``. A trial with neither partition nor annotation is predicted only (partition ``test`` in every task).
    """
    path = root / "trials.csv"
    if not path.is_file():
        raise InputError(f"{path}: not found. corpus.layout: table needs it; see README, 'Any other data set'.")
    with path.open(newline="", encoding="utf-8-sig") as handle:
        reader = csv.DictReader(handle)
        unknown = set(reader.fieldnames or ()) - set(COLUMNS)
        if unknown or "media" not in (reader.fieldnames or ()):
            raise InputError(
                f"{path}: "
                + (f"unknown columns {sorted(unknown)}" if unknown else "column 'media' is missing")
                + f". Known columns: {', '.join(COLUMNS)}."
            )
        rows = list(reader)
    trials = [_trial(row, f"{path}, line {line}") for line, row in enumerate(rows, 2)]
    if not trials:
        raise InputError(f"{path}: has a header but no rows.")
    names = [trial.trial for trial in trials]
    doubles = sorted({name for name in names if names.count(name) > 1})
    if doubles:
        raise InputError(f"{path}: trials named more than once: {', '.join(doubles)}.")
    media: dict[str, str] = {}
    for trial in trials:
        if media.setdefault(trial.video, trial.media) != trial.media:
            raise InputError(
                f"{path}: {media[trial.video]} and {trial.media} share the stem {trial.video!r}. Rename one."
            )
        annotated = [trial.annotation(task) for task in TASKS if trial.annotation(task)]
        absent = [name for name in annotated if not (annotations / name).is_file()]
        if absent:
            raise InputError(
                f"{path}: trial {trial.trial!r} names annotation files that do not exist: {', '.join(absent)}."
            )
    findings = [
        Finding(trial.trial, trial.video, "error", "missing_media", f"{trial.media} does not exist", "trial left out")
        for trial in trials
        if not (root / trial.media).is_file()
    ]
    lost = {finding.trial for finding in findings}
    if len(lost) == len(trials):
        raise InputError(f"{path}: none of the media files exists below {root}.")
    return Corpus(tuple(trial for trial in trials if trial.trial not in lost), tuple(findings))


def new_table(root: Path) -> Path:
    """Write ``root/trials.csv`` with one ``main`` trial per video and empty partitions; :class:`InputError` if there is one."""
    path = root / "trials.csv"
    if path.exists():
        raise InputError(f"{path}: exists already and is not overwritten.")
    videos = find_videos(root)
    if not videos:
        raise InputError(f"{root}: no video files below this folder.")
    with atomic(path) as partial, partial.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, COLUMNS, restval="")
        writer.writeheader()
        writer.writerows({"trial": video, "media": media, "person": "main"} for video, media in videos.items())
    return path


def _trial(row: dict[str, str], place: str) -> Trial:
    values = {key: (value or "").strip() or None for key, value in row.items()}
    if not values["media"]:
        raise InputError(f"{place}: 'media' is empty.")
    video = Path(values["media"]).stem
    name = values.get("trial") or video
    person = values.get("person") or split_person(name)[1]
    tasks = {f"{kind}_{task}": values.get(f"{kind}_{task}") for kind in ("partition", "annotation") for task in TASKS}
    if not any(tasks.values()):
        tasks |= {f"partition_{task}": "test" for task in TASKS}
    for task in TASKS:
        if tasks[f"annotation_{task}"] and not tasks[f"partition_{task}"]:
            tasks[f"partition_{task}"] = "train"
        if tasks[f"partition_{task}"] not in (None, *PARTITIONS):
            raise InputError(
                f"{place}: partition_{task} is {tasks[f'partition_{task}']!r}, expected one of {PARTITIONS}."
            )
    if person not in PERSONS:
        raise InputError(f"{place}: person is {person!r}, expected one of {PERSONS}.")
    if set("{}/") & set(name):
        raise InputError(f"{place}: trial names must not hold braces or slashes: {name!r}.")
    return Trial(name, video, values["media"], person, **tasks)
