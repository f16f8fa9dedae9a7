"""Any other data set: a table `trials.csv` beside the media."""

import csv
import os
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from wildaffect.cells import plain_cell, safe_cell
from wildaffect.corpus.folder import find_videos, one_content, printable, remembered_contents, unusable, video_name
from wildaffect.corpus.trials import PARTITIONS, PERSONS, TASKS, Corpus, Finding, Trial, split_person
from wildaffect.errors import InputError
from wildaffect.files import atomic
from wildaffect.integrity import foreign
from wildaffect.names import check_name

STREAMS = ("video_stream", "audio_stream")
COLUMNS = (
    "trial",
    "media",
    "person",
    *(f"partition_{task}" for task in TASKS),
    *(f"annotation_{task}" for task in TASKS),
    *STREAMS,
)


def scan(root: Path, annotations: Path, results: Path | None = None) -> Corpus:
    """Trials of `root/trials.csv`.

    Column `media` (path below `root`) is needed, the others may be absent or empty. `trial` defaults to the stem of the media file and
    `person` to the suffix of the trial's name; annotation paths are relative to `annotations`. A trial with neither partition nor
    annotation is only predicted (partition `test` in every task); an annotated one without a partition is a training trial. A trial
    whose media file does not exist is left out and becomes a finding. Different media files may have one stem if their trials have
    names; videos are then named by their paths. `video_stream` and `audio_stream` are the indices of the streams to
    use among all streams of the file, as `ffprobe` counts.

    Raises:
        InputError: The table is missing, malformed or ambiguous, an annotation file or every media file is missing.
    """
    path = root / "trials.csv"
    trials = [_trial(row, f"{path}, line {line}") for line, row in enumerate(_read_rows(path), 2)]
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
    return Corpus(present, tuple(_missing_media(root, trial) for trial in trials if trial in missing))


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
    videos = find_videos(root).media
    if not videos:
        raise InputError(f"{root}: no video files below this folder.")
    foreign = [printable(media) for media in videos.values() if printable(media) != media]
    if foreign:
        raise InputError(f"{root}: these names are no UTF-8 text and fit in no table. Rename: {', '.join(foreign)}")
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
    with (
        foreign(path, "a CSV table in UTF-8", "Save it as CSV UTF-8."),
        path.open(newline="", encoding="utf-8-sig") as handle,
    ):
        reader = csv.DictReader(handle)
        columns = reader.fieldnames or ()
        unknown = sorted(set(columns) - set(COLUMNS))
        if unknown:
            raise InputError(f"{path}: unknown columns {unknown}. Known columns: {', '.join(COLUMNS)}.")
        if len(set(columns)) < len(columns):
            raise InputError(f"{path}: a column is named twice: {', '.join(columns)}.")
        if "media" not in columns:
            raise InputError(f"{path}: column 'media' is missing. Known columns: {', '.join(COLUMNS)}.")
        return list(reader)


def _trial(row: Mapping[str, str], line: str) -> Trial:
    """The trial of one row, defaults filled in; `line` names file and line in messages."""
    if None in row:
        raise InputError(f"{line}: more values than columns; put names with commas into quotation marks.")
    values = {key: plain_cell((value or "").strip()) or None for key, value in row.items()}
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
    streams = {column: _stream(values, column, line) for column in STREAMS}
    return Trial(name, video, values["media"], person, **_partitions(values, line), **_annotations(values), **streams)


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


def _missing_media(root: Path, trial: Trial) -> Finding:
    path = root / trial.media
    detail = f"{trial.media} does not exist" if not os.path.lexists(path) else f"{trial.media}: {unusable(path)}"
    return Finding(trial.trial, trial.video, "error", "missing_media", detail, "trial left out")
