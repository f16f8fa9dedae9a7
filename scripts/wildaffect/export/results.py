"""What the files of a run say, video by video: times, predicted values and labels of every person."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from wildaffect import paths
from wildaffect.corpus.label_spaces import EXPRESSIONS8, VALENCE_AROUSAL
from wildaffect.corpus.timed import start_in_file
from wildaffect.corpus.trials import TASKS, TRIALS, Trial, trials_from_table
from wildaffect.errors import InputError
from wildaffect.faces.tables import absent_trials
from wildaffect.files import sha256
from wildaffect.media.frames import read_frames
from wildaffect.scoring.editions import edition_tasks
from wildaffect.scoring.read import KEYS, read_notes
from wildaffect.tables import read_all, read_metadata, read_table
from wildaffect.tabulation.values import TrialRows, Values

EXPRESSION = "expression"


@dataclass(frozen=True)
class Person:
    """One trial.

    Attributes:
        trial: Its row in the table of trials.
        values: Predicted values (N,) by name, NaN where there is none or no face.
        source: Where the values of each frame come from, texts (N,).
        labels: Labels (N,) by column, NaN where there is none; an expression is its position among the classes of the run.
    """

    trial: Trial
    values: Mapping[str, np.ndarray]
    source: np.ndarray
    labels: Mapping[str, np.ndarray]

    @property
    def name(self) -> str:
        """Name of the trial."""
        return self.trial.trial


@dataclass(frozen=True)
class Recording:
    """One video.

    Attributes:
        video: Its name in the results.
        media: The file.
        start: Seconds from the beginning of the file to frame 0.
        times: Seconds of each frame from frame 0 (N,).
        durations: How long each is shown (N,).
        about: Metadata of the frame table.
        persons: Trials.
    """

    video: str
    media: Path
    start: float
    times: np.ndarray
    durations: np.ndarray
    about: Mapping[str, Any]
    persons: tuple[Person, ...]

    @property
    def edges(self) -> np.ndarray:
        """Seconds from the beginning of the file (N + 1,): begin of each frame, and end of the last one."""
        return self.start + np.append(self.times, self.times[-1:] + self.durations[-1:])

    @property
    def has_audio(self) -> bool:
        """Whether the file has audio."""
        return bool(self.about.get("audio_streams"))


@dataclass(frozen=True)
class Segment:
    """A stretch of frames with one expression, in seconds from the beginning of the file."""

    begin: float
    end: float
    label: str


class Run:
    """The results of a run.

    Attributes:
        results: Folder of the results.
        trials: Rows of the table of trials, without people who are not in their video.
        corpus: Section `corpus` of the configuration, as recorded.
        classes: Expressions of the edition, in its order.
        columns: (system, variant, target, column) of each predicted value by its name.
    """

    def __init__(self, results: Path) -> None:
        """Read the tables of the folder ``results``.

        Raises:
            InputError: It holds no results, or a table is damaged.
        """
        table = results / paths.TRIALS
        if not table.is_file():
            raise InputError(
                f"{results}: holds no results ({paths.TRIALS} is not there). Name the folder results_dir of a run."
            )
        self.results = results
        self.trials = _present(results, trials_from_table(read_table(table, TRIALS)))
        self.corpus: Mapping[str, Any] = dict(read_metadata(table)).get("corpus", {})
        tasks = edition_tasks(self.corpus["edition"]) if "edition" in self.corpus else {}
        parts = [part for task in tasks.values() for part in task.parts if part.name == "expr"]
        self.classes: tuple[str, ...] = tuple(parts[0].names) if parts else EXPRESSIONS8
        self._values = Values(_predictions(results))
        self.columns = self._values.columns
        labels = (results / paths.LABELS.format(task=task) for task in TASKS)
        self._labels = [TrialRows(path, read_all(path)) for path in labels if path.is_file()]

    @property
    def name(self) -> str:
        """What the corpus is called: its folder."""
        return (
            "demo"
            if self.corpus.get("layout") == "demo"
            else Path(self.corpus.get("root", self.results)).name or "corpus"
        )

    @property
    def media_root(self) -> Path:
        """Folder that media paths are relative to; one that is relative itself lies here or beside the results."""
        if self.corpus.get("layout") == "demo":
            return self.results / paths.DEMO_VIDEOS
        root = Path(self.corpus.get("root", "."))
        here = any((root / trial.media).is_file() for trial in self.trials)
        return root if here else self.results.absolute().parent / root

    @cached_property
    def notes(self) -> list[str]:
        """What a reader must know of the predictions, a sentence each."""
        return list(dict.fromkeys(note for entry in self._values.entries for note in read_notes(entry["path"])))

    @cached_property
    def expressions(self) -> dict[str, dict[str, str]]:
        """Values that are scores of expressions: class by name of the value, for each system that predicts more than one."""
        groups: dict[tuple[str, ...], dict[str, str]] = {}
        for name, (*source, column) in self.columns.items():
            if column not in VALENCE_AROUSAL and not is_unit(column):
                groups.setdefault(tuple(source), {})[name] = column
        groups = {source: values for source, values in groups.items() if len(values) > 1}
        if len(groups) == 1:
            return {EXPRESSION: next(iter(groups.values()))}
        return {f"{EXPRESSION} ({'/'.join(source)})": values for source, values in groups.items()}

    def recordings(self) -> Iterator[Recording]:
        """All videos in the order of the table of trials, one in memory at a time."""
        of_video: dict[str, list[Trial]] = {}
        for trial in self.trials:
            of_video.setdefault(trial.video, []).append(trial)
        for video, trials in of_video.items():
            yield self._recording(video, trials)

    def _recording(self, video: str, trials: Sequence[Trial]) -> Recording:
        frames = read_frames(self.results / paths.FRAMES.format(video=video))
        count = len(frames.times)
        persons = []
        for trial in trials:
            values, source = self._values.of(trial.trial, count)
            labels: dict[str, np.ndarray] = {}
            for table in self._labels:
                rows = table.of(trial.trial, count)
                labels |= {} if rows is None else _numbers(rows)
            persons.append(Person(trial, values, source, labels))
        return Recording(
            video,
            self.media_root / trials[0].media,
            start_in_file(frames.about),
            frames.times,
            frames.table["duration_s"].to_numpy(),
            frames.about,
            tuple(persons),
        )

    def segments(self, recording: Recording, person: Person) -> dict[str, list[Segment]]:
        """Stretches in which one expression has the highest score, by group of `expressions`; and those of the labels."""
        found = {}
        for group, values in self.expressions.items():
            scores = np.column_stack([person.values[name] for name in values])
            names = list(values.values())
            known = ~np.isnan(scores).any(axis=1)
            best = np.where(known, np.argmax(np.where(known[:, None], scores, 0), axis=1), -1)
            found[group] = stretches(recording.edges, best, names)
        if EXPRESSION in person.labels:
            labelled = np.nan_to_num(person.labels[EXPRESSION], nan=-1).astype(int)
            found[f"{EXPRESSION} (label)"] = stretches(recording.edges, labelled, self.classes)
        return found

    def facts(self, hash_of: Callable[[Path], str] = sha256) -> list[dict[str, Any]]:
        """Each media file once: video, path below the corpus' folder, size in bytes and SHA-256; the latter are null where it is absent."""
        found = []
        for video, media in {trial.video: trial.media for trial in self.trials}.items():
            path = self.media_root / media
            there = path.is_file()
            size, digest = (path.stat().st_size, hash_of(path)) if there else (None, None)
            found.append({"video": video, "media": media, "path": path, "size": size, "sha256": digest})
        return found


def _present(results: Path, trials: Sequence[Trial]) -> tuple[Trial, ...]:
    """Trials without those of people who are not in their video, as far as the tables of persons are there."""
    persons = {trial.video: results / paths.PERSONS.format(video=trial.video) for trial in trials}
    absent = {trial for path in persons.values() if path.is_file() for trial in absent_trials(path)}
    return tuple(trial for trial in trials if trial.trial not in absent)


def is_unit(column: str) -> bool:
    """Whether a column is an action unit."""
    return re.fullmatch("AU[0-9]+", column) is not None


def stretches(edges: np.ndarray, chosen: np.ndarray, names: Sequence[str]) -> list[Segment]:
    """Runs of equal numbers.

    Args:
        edges: Seconds (N + 1,), see `Recording.edges`.
        chosen: Index into ``names`` (N,), -1 for none.
        names: Labels.

    >>> stretches(np.array([0, 1, 2, 3.0]), np.array([1, 1, -1]), ["a", "b"])
    [Segment(begin=0.0, end=2.0, label='b')]
    """
    bounds = np.flatnonzero(np.diff(np.concatenate([[-2], chosen, [-2]])))
    return [
        Segment(float(edges[first]), float(edges[stop]), names[chosen[first]])
        for first, stop in pairwise(bounds)
        if chosen[first] >= 0
    ]


def _numbers(rows: pa.Table) -> dict[str, np.ndarray]:
    """Numbers by column, NaN for null."""
    names = [name for name in rows.column_names if name not in (*KEYS, "valid")]
    return {name: _plain(rows[name].to_numpy(zero_copy_only=False)) for name in names}


def _plain(values: np.ndarray) -> np.ndarray:
    """Numbers in double precision; of single ones with the digits that these have."""
    if values.dtype == np.float32:
        return np.array([float(str(value)) for value in values])
    return values.astype(np.float64)


def _predictions(results: Path) -> list[dict[str, Any]]:
    """Tables that hold the prediction of a trial: of held-out trials by fold, of test trials of all folds; smoothed if there are such."""
    found: dict[tuple[str, ...], dict[str, Any]] = {}
    for pattern in (paths.PREDICTIONS, paths.SMOOTHED):
        for path in sorted(results.glob(re.sub(r"\{\w+\}", "*", pattern))):
            (entry,) = paths.prediction_entries([path])
            if (entry["partition"], entry["fold"] == "ensemble") in (("validation", False), ("test", True)):
                found[tuple(entry[key] for key in ("system", "variant", "target", "partition", "fold"))] = entry
    return list(found.values())
