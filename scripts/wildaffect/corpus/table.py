"""Any other data set: a table `trials.csv` beside the media."""

import csv
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from wildaffect.config import nearest
from wildaffect.corpus.folder import find_videos, one_content, printable, remembered_contents, unusable, video_name
from wildaffect.corpus.label_spaces import VALENCE_AROUSAL
from wildaffect.corpus.trials import PARTITIONS, PERSONS, TASKS, Corpus, Finding, Trial, split_person
from wildaffect.errors import InputError
from wildaffect.files import atomic
from wildaffect.names import check_name
from wildaffect.textfiles import plain_cell, read_rows, safe_cell

STREAMS = ("video_stream", "audio_stream")
COLUMNS = (
    "trial",
    "media",
    "person",
    "subject",
    "group",
    "condition",
    "partition",
    *(f"partition_{task}" for task in TASKS),
    *(f"annotation_{task}" for task in TASKS),
    *VALENCE_AROUSAL,
    "expression",
    *STREAMS,
)
NEW_COLUMNS = ("trial", "media", "person", "subject", "partition", *(f"annotation_{task}" for task in TASKS))
"""What `new_table` writes: all that most data sets need."""

PARTITION_FOLDERS = {
    "train": ("train", "training", "trn"),
    "validation": ("validation", "valid", "val", "dev", "devel", "development"),
    "test": ("test", "testing", "tst"),
}
"""Names of folders that stand for a partition, in any case and with `set` or `data` at their end."""


def scan(root: Path, annotations: Path, results: Path | None = None) -> Corpus:
    """Trials of `root/trials.csv`.

    Column `media` (path below `root`) is needed, the others may be absent or empty. `trial` defaults to the stem of the media file and
    `person` to the suffix of the trial's name; annotation paths are relative to `annotations`. `partition` holds for the tasks whose own
    column is empty: `test` for all, `train` and `validation` for those annotated. A trial with neither partition nor annotation is only
    predicted (partition `test` in every task); an annotated one without a partition is a training trial. Trials of one `subject`, or of
    one `group` of any other kind, are never divided by folds; `condition` divides the tables of the report alone. `valence` and
    `arousal`, or `expression`, label the whole clip instead of an annotation file. A trial whose media file does not exist is left out
    and becomes a finding. Different media files may have one stem if their trials have names; videos are then named by their paths.
    `video_stream` and `audio_stream` are the indices of the streams to use among all streams of the file, as `ffprobe` counts.

    Raises:
        InputError: The table is missing, malformed or ambiguous, an annotation file or every media file is missing.
    """
    path = root / "trials.csv"
    if not path.is_file():
        raise InputError(f"{path}: not found. corpus.layout: table needs it; see README, 'Any other data set'.")
    trials = [_trial(row, where) for where, row in read_rows(path, COLUMNS, ("media",))]
    if not trials:
        raise InputError(f"{path}: has a header but no rows.")
    _check_names(path, trials)
    _check_annotations(path, trials, annotations)
    trials = [replace(trial, media=_as_stored(root, str(trial.media))) for trial in trials]
    trials = _told_apart(root, trials, results)
    _check_stems(path, trials)
    missing = {trial for trial in trials if not (root / trial.media).is_file()}
    if len(missing) == len(trials):
        raise InputError(f"{path}: none of the media files exists below {root}.")
    present = tuple(trial for trial in trials if trial not in missing)
    findings = [_missing_media(root, trial) for trial in trials if trial in missing]
    return Corpus(present, (*findings, *map(_unlabelled, filter(_is_unlabelled, present))))


def new_table(root: Path) -> Path:
    """Write `root/trials.csv` with one `main` trial per video; its partition is the one that a folder is named after, else empty.

    Returns:
        Path of the table.

    Raises:
        InputError: There is such a table already, or no video.
    """
    path = root / "trials.csv"
    if os.path.lexists(path):
        raise InputError(f"{path}: exists already and is not overwritten.")
    videos = find_videos(root).media
    if not videos:
        raise InputError(f"{root}: no video files below this folder.")
    foreign = [printable(media) for media in videos.values() if printable(media) != media]
    if foreign:
        raise InputError(f"{root}: these names are no UTF-8 text and fit in no table. Rename: {', '.join(foreign)}")
    with atomic(path) as partial, partial.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, NEW_COLUMNS, restval="")
        writer.writeheader()
        for video, media in videos.items():
            names = {"trial": safe_cell(video), "media": safe_cell(media)}
            writer.writerow({**names, "person": "main", "partition": folder_partition(media)})
    return path


def fill_in() -> str:
    """What a person writes into a new table."""
    return f"""written. Fill in
  partition         {", ".join(PARTITIONS)}, or nothing; taken from folders named so (train/, val/, dev/, test/)
  annotation_va     path of a text file: the line valence,arousal, then a row of two numbers for each frame; -5 marks a row without label
  annotation_expr   the line with the names of the classes, then a row with the position of one of them (from 0) for each frame; -1: none
  annotation_au     the line with the names of action units, such as AU1,AU2,AU4, then a row of 0 and 1 for each frame; -1: none
  valence, arousal, expression   (columns of your own) numbers and a class that hold for the whole clip, instead of a file
  subject           who it shows, if several videos show one person: folds never divide them
and set corpus.layout: table and corpus.root. Other scales, class names and labels of whole clips: block labels of config.yaml."""


def folder_partition(media: str) -> str:
    """Partition that a folder of a path is named after, the innermost one; empty where none is.

    Examples:
        >>> folder_partition("Train/a.mp4"), folder_partition("mine/dev_set/x/b.mp4"), folder_partition("test.mp4")
        ('train', 'validation', '')
    """
    for folder in reversed(Path(media).parts[:-1]):
        word = re.sub(r"[\W_]*(set|data|split)?$", "", folder.lower())
        for partition, words in PARTITION_FOLDERS.items():
            if word in words:
                return partition
    return ""


def _trial(row: Mapping[str, str], line: str) -> Trial:
    """The trial of one row, defaults filled in; `line` names file and line in messages."""
    values = {key: plain_cell(value) or None for key, value in row.items()}
    if not values["media"]:
        raise InputError(f"{line}: 'media' is empty.")
    video = video_name(Path(values["media"]).stem)
    name = values.get("trial") or video
    if set("{}/") & set(name):
        raise InputError(f"{line}: trial names must not contain braces or slashes: {name!r}.")
    check_name(name, line)
    person = values.get("person") or split_person(name)[1]
    if person not in PERSONS:
        raise InputError(f"{line}: person is {person!r}, expected one of {PERSONS}.")
    clip = _clip_labels(values, line)
    tasks = _partitions(values, clip, line) | _annotations(values) | clip
    bound = {column: values.get(column) for column in ("subject", "group", "condition")}
    streams = {column: _stream(values, column, line) for column in STREAMS}
    return Trial(name, video, values["media"], person, **tasks, **bound, **streams)


def _stream(values: Mapping[str, str | None], column: str, line: str) -> str | None:
    given = values.get(column)
    if given is not None and not (given.isascii() and given.isdigit()):
        raise InputError(f"{line}: {column} is {given!r}, expected the index of a stream (0, 1, ...) or nothing.")
    return given


def _as_stored(root: Path, media: str) -> str:
    """The path as the file system has it: composed and decomposed characters look the same in a table."""
    forms = (media, unicodedata.normalize("NFC", media), unicodedata.normalize("NFD", media))
    return next((form for form in forms if (root / form).exists()), media)


def _annotations(values: Mapping[str, str | None]) -> dict[str, str | None]:
    return {f"annotation_{task}": values.get(f"annotation_{task}") for task in TASKS}


def _clip_labels(values: Mapping[str, str | None], line: str) -> dict[str, str | None]:
    """Labels of the whole clip, as rows of an annotation file."""
    given = [values.get(name) for name in VALENCE_AROUSAL]
    if any(given) and not all(given):
        raise InputError(f"{line}: valence and arousal are given together or not at all.")
    labels = {"clip_va": f"{given[0]},{given[1]}" if all(given) else None, "clip_expr": values.get("expression")}
    for task in ("va", "expr"):
        if labels[f"clip_{task}"] and values.get(f"annotation_{task}"):
            raise InputError(f"{line}: has both annotation_{task} and a label of the whole clip; leave one out.")
    return labels


def _partitions(values: Mapping[str, str | None], clip: Mapping[str, str | None], line: str) -> dict[str, str | None]:
    """Partition of every task: as given for it, else as given for all; else `train` where annotated, and `test` where no task is named."""
    for column in ("partition", *(f"partition_{task}" for task in TASKS)):
        partition = values.get(column)
        if partition not in (None, *PARTITIONS):
            raise InputError(f"{line}: {column} is {partition!r}{nearest(str(partition), PARTITIONS)}.")
    common = values.get("partition")
    annotated = {task: values.get(f"annotation_{task}") or clip.get(f"clip_{task}") for task in TASKS}
    given = {task: values.get(f"partition_{task}") for task in TASKS}
    if not any((common, *annotated.values(), *given.values())):
        common = "test"
    return {
        f"partition_{task}": given[task]
        or (common if common == "test" else (common or "train") if annotated[task] else None)
        for task in TASKS
    }


def _check_names(path: Path, trials: Sequence[Trial]) -> None:
    """No two trials share a name."""
    counts = Counter(trial.trial for trial in trials)
    repeated = sorted(name for name, count in counts.items() if count > 1)
    if repeated:
        raise InputError(f"{path}: trials named more than once: {', '.join(repeated)}.")


def _streams(trial: Trial) -> tuple[str | None, str | None]:
    return trial.video_stream, trial.audio_stream


def _told_apart(root: Path, trials: Sequence[Trial], results: Path | None) -> list[Trial]:
    """Different media files of one stem become videos named by their paths; copies of one file become one video."""
    media_of: dict[str, dict[str, None]] = {}
    for trial in trials:
        media_of.setdefault(trial.video, {})[trial.media] = None
    contents = remembered_contents(results)
    renamed: dict[str, tuple[str, str]] = {}
    for video, media in media_of.items():
        if len(media) == 1:
            continue
        files = [Path(name) for name in media]
        copies = all((root / file).is_file() for file in files) and one_content(root, files, contents)
        for file, name in zip(files, media, strict=True):
            parts = [part for part in file.with_suffix("").parts if part not in ("..", "/")]
            renamed[name] = (video, next(iter(media))) if copies else (video_name("_".join(parts)), name)
    return [
        replace(trial, video=renamed[trial.media][0], media=renamed[trial.media][1])
        if trial.media in renamed
        else trial
        for trial in trials
    ]


def _check_stems(path: Path, trials: Sequence[Trial]) -> None:
    """No two media files are one video, and trials of one use the same streams."""
    media: dict[str, str] = {}
    streams: dict[str, tuple] = {}
    for trial in trials:
        if media.setdefault(trial.video, trial.media) != trial.media:
            raise InputError(
                f"{path}: {media[trial.video]} and {trial.media} would both be the video {trial.video!r}. Rename one."
            )
        if streams.setdefault(trial.video, _streams(trial)) != _streams(trial):
            raise InputError(
                f"{path}: rows of {trial.media} name different streams. All trials of a video use the same."
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


def _is_unlabelled(trial: Trial) -> bool:
    """Some task shall learn from the trial or be validated on it, but nothing is annotated; or no task uses it."""
    return not any(trial.partition(task) == "test" or trial.labelled(task) for task in TASKS)


def _unlabelled(trial: Trial) -> Finding:
    detail = "trials.csv names a partition for training or validation, but no annotation or label"
    return Finding(trial.trial, trial.video, "warning", "no_annotation", detail, "not trained on")


def _missing_media(root: Path, trial: Trial) -> Finding:
    path = root / trial.media
    detail = f"{trial.media} does not exist" if not os.path.lexists(path) else f"{trial.media}: {unusable(path)}"
    return Finding(trial.trial, trial.video, "error", "missing_media", detail, "trial left out")
