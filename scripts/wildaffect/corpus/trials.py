"""Trials: one annotated person in one video, and the table that lists them."""

import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import cached_property

import pyarrow as pa

TASKS = ("va", "expr", "au")
PARTITIONS = ("train", "validation", "test")
PERSONS = ("main", "left", "right")

TRIALS = pa.schema(
    [
        ("trial", pa.string()),
        ("video", pa.string()),
        ("media", pa.string()),
        ("person", pa.string()),
        *((f"partition_{task}", pa.string()) for task in TASKS),
        *((f"annotation_{task}", pa.string()) for task in TASKS),
        ("edition", pa.string()),
    ]
)


@dataclass(frozen=True)
class Trial:
    """One row of the trials table.

    Attributes:
        trial: Name of the trial: its video, with `_left` or `_right` where that names one of two persons, or `#<number>` of several.
        video: Stem of the media file.
        media: Path of the video relative to the corpus root.
        person: `main`, `left` or `right`; of several people their number by presence.
        partition_va, partition_expr, partition_au: Official partition by task; None where a task does not use the trial.
        annotation_va, annotation_expr, annotation_au: Annotation file by task, relative to the annotation folder; None without one.
        edition: Challenge edition that the annotations belong to.
        clip_va, clip_expr: Label of the whole clip instead of an annotation file, as the row of one is written. Not in the table.
        subject, group: Whom or what it shows; trials that share one of them are never divided. Not in the table.
        condition: Under what it was recorded, for the report alone. Not in the table.
        video_stream, audio_stream: Indices of the streams to use, where the table of trials names them. Not in the table of results.
    """

    trial: str
    video: str
    media: str
    person: str = "main"
    partition_va: str | None = None
    partition_expr: str | None = None
    partition_au: str | None = None
    annotation_va: str | None = None
    annotation_expr: str | None = None
    annotation_au: str | None = None
    edition: str | None = None
    clip_va: str | None = None
    clip_expr: str | None = None
    subject: str | None = None
    group: str | None = None
    condition: str | None = None
    video_stream: str | None = None
    audio_stream: str | None = None

    def partition(self, task: str) -> str | None:
        """Official partition of the trial for `task`."""
        return getattr(self, f"partition_{task}")

    def annotation(self, task: str) -> str | None:
        """Annotation file of the trial for `task`."""
        return getattr(self, f"annotation_{task}")

    def clip_label(self, task: str) -> str | None:
        """Label of the trial for `task` that holds for all its frames."""
        return {"va": self.clip_va, "expr": self.clip_expr}.get(task)

    def labelled(self, task: str) -> bool:
        """Whether the trial has an annotation file or a label of the whole clip for `task`."""
        return bool(self.annotation(task) or self.clip_label(task))


@dataclass(frozen=True)
class Finding:
    """One row of the audit: something about a trial or video that a user should know.

    Attributes:
        trial, video: What it concerns; empty where it concerns no single trial.
        severity: `error`, `warning` or `info`.
        finding: Name of the kind of finding.
        detail: What was found.
        rule: What was done about it.
    """

    trial: str
    video: str
    severity: str
    finding: str
    detail: str
    rule: str


@dataclass(frozen=True)
class Corpus:
    """Result of the scan of a corpus.

    Attributes:
        trials: Trials in a fixed order.
        findings: Anomalies noticed on the way.
    """

    trials: tuple[Trial, ...]
    findings: tuple[Finding, ...] = ()

    @cached_property
    def videos(self) -> dict[str, str]:
        """Media path of every video, in order of first appearance."""
        return {trial.video: trial.media for trial in self.trials}

    @cached_property
    def streams(self) -> dict[str, tuple[int | None, int | None]]:
        """Indices of the video and the audio stream to use by video; None: chosen by rule."""
        return {trial.video: (_index(trial.video_stream), _index(trial.audio_stream)) for trial in self.trials}

    @cached_property
    def video_of(self) -> dict[str, str]:
        """The source video of each trial."""
        return {trial.trial: trial.video for trial in self.trials}

    @cached_property
    def group_of(self) -> dict[str, str]:
        """What each trial must not be separated from; see `groups_of`."""
        return groups_of(self.trials)

    @cached_property
    def groupings(self) -> dict[str, dict[str, str]]:
        """Subject, group and condition of each trial that has one."""
        return {
            name: {trial.trial: value for trial in self.trials if (value := getattr(trial, name))}
            for name in ("subject", "group", "condition")
        }

    def labelled_tasks(self) -> list[str]:
        """Tasks with at least one labelled trial."""
        return [task for task in TASKS if any(trial.labelled(task) for trial in self.trials)]

    def of_video(self, video: str) -> dict[str, str]:
        """Person by trial of one video."""
        return self._persons[video]

    @cached_property
    def _persons(self) -> dict[str, dict[str, str]]:
        persons: dict[str, dict[str, str]] = {}
        for trial in self.trials:
            persons.setdefault(trial.video, {})[trial.trial] = trial.person
        return persons


def groups_of(trials: Iterable[Trial]) -> dict[str, str]:
    """Group of each trial, called by its first video: trials of one video, subject or group belong together, and so do their others.

    Examples:
        >>> groups_of([Trial("a", "a", "a.mp4", subject="1"), Trial("b", "b", "b.mp4"), Trial("c", "c", "c.mp4", subject="1")])
        {'a': 'a', 'b': 'b', 'c': 'a'}
    """
    above: dict[tuple[str, str], tuple[str, str]] = {}

    def top(key: tuple[str, str]) -> tuple[str, str]:
        while (up := above.setdefault(key, key)) != key:
            above[key], key = above[up], up
        return key

    trials = list(trials)
    for trial in trials:
        video = ("video", trial.video)
        for key in (("subject", trial.subject), ("group", trial.group)):
            if key[1]:
                above[top((key[0], key[1]))] = top(video)
    first: dict[tuple[str, str], str] = {}
    return {trial.trial: first.setdefault(top(("video", trial.video)), trial.video) for trial in trials}


def _index(digits: str | None) -> int | None:
    return None if digits is None else int(digits)


def split_person(trial: str) -> tuple[str, str]:
    """Video and person of a trial name: only a final `_left` or `_right` names a person.

    Examples:
        >>> split_person("video10_1_left")
        ('video10_1', 'left')
        >>> split_person("left_1")
        ('left_1', 'main')
    """
    for person in ("left", "right"):
        if trial.lower().endswith(f"_{person}"):
            return trial[: -len(person) - 1], person
    return trial, "main"


def trial_row(trial: Trial) -> dict[str, str | None]:
    """Row of the table `TRIALS`. A path of an annotation is as the file system has it; in the name of the media file, bytes that are no
    UTF-8 are replaced."""
    row = {name: value for name, value in asdict(trial).items() if name in TRIALS.names}
    return row | {"media": _encodable(trial.media)}


def trials_table(trials: Iterable[Trial]) -> pa.Table:
    """Arrow table with the columns of `TRIALS`; in names of files, bytes that are no UTF-8 are replaced."""
    rows = [{name: _encodable(value) for name, value in trial_row(trial).items()} for trial in trials]
    return pa.Table.from_pylist(rows, schema=TRIALS)


def _encodable(text: str | None) -> str | None:
    return None if text is None else os.fsencode(text).decode(errors="replace")


def trials_from_table(table: pa.Table) -> tuple[Trial, ...]:
    """Inverse of `trials_table`."""
    return tuple(Trial(**row) for row in table.to_pylist())
