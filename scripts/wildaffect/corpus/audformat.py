"""Layout `audformat`: a database of the format of that name, with tables as CSV or Parquet. Its pickles are never read."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wildaffect.corpus.folder import VIDEO_SUFFIXES, printable, unusable, video_name
from wildaffect.corpus.timed import known_name, media_of_table, read_segments, task_columns
from wildaffect.corpus.trials import PARTITIONS, PERSONS, TASKS, Corpus, Finding, Trial
from wildaffect.errors import InputError
from wildaffect.files import read_yaml
from wildaffect.names import check_name

HEADER = "db.yaml"
SPLITS = {"train": "train", "validation": "dev", "test": "test"}
"""Type of the split of each partition."""
ROLE_TABLES = {"labels": "labels.{person}", "predictions": "predictions.{person}"}
"""Tables of an export by what is in them; those of labels are read."""
TRIALS = "trials"
"""Misc table of an export that names the trials."""


def scan(root: Path, results: Path | None = None) -> Corpus:
    """A trial per video file that a table names, or per row of the misc table ``trials`` of an export.

    Labels are columns whose name or scheme is ``valence`` and ``arousal``, ``expression`` or ``emotion``, or an action unit, unless their
    rater is a machine; of several tables the first that has a file's labels of a task counts. Labels of whole files are labels of clips.
    The partition is the split of the table; without one a labelled trial is trained on, any other predicted.

    Raises:
        InputError: There is no database, a table is missing, malformed or kept as a pickle alone, or no table names a video.
    """
    path = root / HEADER
    if not path.is_file():
        raise InputError(f"{path}: not found. corpus.layout: audformat needs the folder of a database in corpus.root.")
    header = read_yaml(path)
    if not isinstance(header, Mapping) or not isinstance(header.get("tables") or {}, Mapping):
        raise InputError(f"{path}: not the header of an audformat database.")
    tables = {name: _Table(root, name, about, header) for name, about in (header.get("tables") or {}).items()}
    trials = (_exported if TRIALS in (header.get("misc_tables") or {}) else _by_file)(root, tables)
    findings = []
    present = []
    for trial in trials:
        if reason := unusable(root / trial.media):
            detail = f"{printable(trial.media)}: {reason}"
            findings.append(Finding(trial.trial, trial.video, "error", "missing_media", detail, "trial left out"))
        else:
            present.append(trial)
    if not present:
        raise InputError(
            f"{path}: no table names a video that is there. Check corpus.root, and that the media lie below it."
        )
    return Corpus(tuple(present), tuple(findings))


class _Table:
    """A table and what its header says."""

    def __init__(self, root: Path, name: str, about: Mapping[str, Any], header: Mapping[str, Any]) -> None:
        self.path = table_path(root, name)
        self.name = name
        self.filewise = about.get("type") == "filewise"
        split = (header.get("splits") or {}).get(about.get("split_id")) or {}
        self.partition = {theirs: ours for ours, theirs in SPLITS.items()}.get(split.get("type", ""))
        raters = header.get("raters") or {}
        human = [
            column
            for column, info in (about.get("columns") or {}).items()
            if ((raters.get((info or {}).get("rater_id")) or {}).get("type") != "machine")
        ]
        self.columns = [known_name(column) for column in human]

    def labels(self, task: str, media: str) -> dict[str, str]:
        """What a trial of a media file gets for ``task`` from this table: a file or a label of the clip; empty for none."""
        if not (columns := task_columns(task, self.columns)):
            return {}
        segments = read_segments(self.path, media)
        cells = [segments.cells.get(column, ()) for column in columns]
        rows = [row for row in zip(*cells, strict=True) if any(row)]
        if not rows:
            return {}
        if self.filewise and task != "au":
            return {f"clip_{task}": ",".join(rows[0])} if all(rows[0]) else {}
        return {f"annotation_{task}": self.path.name}


def table_path(root: Path, name: str) -> Path:
    """File of a table.

    Raises:
        InputError: There is none that is no pickle.
    """
    check_name(name, str(root / HEADER))
    for suffix in (".csv", ".parquet"):
        if (path := root / f"db.{name}{suffix}").is_file():
            return path
    raise InputError(
        f"{root / HEADER}: neither db.{name}.csv nor db.{name}.parquet is there; pickles are not read. Save the table as CSV."
    )


def _check_below(root: Path, media: str) -> None:
    """`InputError` for a path of a media file that leads out of the folder, or nowhere."""
    if not media or Path(media).is_absolute() or ".." in Path(media).parts:
        raise InputError(f"{root / HEADER}: {media!r} is no path of a media file below the folder. Correct the table.")


def _by_file(root: Path, tables: Mapping[str, _Table]) -> list[Trial]:
    splits: dict[str, str | None] = {}
    for table in tables.values():
        for media in media_of_table(table.path):
            splits[media] = splits.get(media) or table.partition
    trials: list[Trial] = []
    videos: dict[str, str] = {}
    for media, partition in sorted(splits.items()):
        if Path(media).suffix.lower() not in VIDEO_SUFFIXES:
            continue
        _check_below(root, media)
        video = video_name(Path(media).stem)
        if videos.setdefault(video, media) != media:
            video = video_name("_".join(Path(media).with_suffix("").parts))
            if videos.setdefault(video, media) != media:
                raise InputError(
                    f"{root / HEADER}: {videos[video]} and {media} would both be the video {video!r}. Rename one."
                )
        found: dict[str, Any] = {}
        for task in TASKS:
            found |= next((labels for table in tables.values() if (labels := table.labels(task, media))), {})
        tasks = [task for task in TASKS if {f"annotation_{task}", f"clip_{task}"} & found.keys()]
        for task in TASKS:
            labelled = partition if partition == "test" or task in tasks else None
            found[f"partition_{task}"] = labelled or (
                "train" if task in tasks else None if tasks or partition else "test"
            )
        trials.append(Trial(video, video, media, **found))
    return trials


def _exported(root: Path, tables: Mapping[str, _Table]) -> list[Trial]:
    """Trials of the misc table of an export."""
    import pandas as pd  # the planning of other corpora does without

    path = table_path(root, TRIALS)
    try:
        table = pd.read_csv(path, dtype=str) if path.suffix == ".csv" else pd.read_parquet(path).reset_index()
        rows = table.astype(object).where(table.notna(), None).to_dict("records")
        needed = ("trial", "file", "video", "person", *(f"partition_{task}" for task in TASKS))
        if missing := [name for name in needed if name not in table]:
            raise ValueError(f"it has no column {missing[0]!r}")
    except (ValueError, OSError) as error:
        raise InputError(f"{path}: not a readable table of trials ({error}). Export the results again.") from None
    trials = []
    for row in rows:
        partitions = {f"partition_{task}": row[f"partition_{task}"] for task in TASKS}
        if wrong := [value for value in partitions.values() if value not in (None, *PARTITIONS)]:
            raise InputError(f"{path}: partition is {wrong[0]!r}, expected one of {', '.join(PARTITIONS)}.")
        table_of = tables.get(ROLE_TABLES["labels"].format(person=row["person"]))
        labels: dict[str, str] = {}
        for task in TASKS:
            labels |= table_of.labels(task, row["file"]) if table_of else {}
        names = [check_name(row[key], str(path)) for key in ("trial", "video")]
        _check_below(root, row["file"] or "")
        if row["person"] not in PERSONS and not str(row["person"]).isdigit():
            raise InputError(f"{path}: person is {row['person']!r}, expected one of {', '.join(PERSONS)}.")
        trials.append(Trial(names[0], names[1], row["file"], row["person"], **partitions, **labels))
    return trials
