"""Layout `bids`: a dataset of recordings of behaving subjects, with labels in events files."""

import csv
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from wildaffect.corpus.folder import VIDEO_SUFFIXES, printable, unusable, video_name, walk_files
from wildaffect.corpus.timed import EVENTS, known_name, task_columns
from wildaffect.corpus.trials import PARTITIONS, PERSONS, TASKS, Corpus, Finding, Trial
from wildaffect.errors import InputError
from wildaffect.names import check_name
from wildaffect.textfiles import read_beginning, read_lines

PARTICIPANTS = "participants.tsv"
DESCRIPTION = "dataset_description.json"
TRIAL_COLUMNS = ("trial", "video", "person", *(f"partition_{task}" for task in TASKS))
"""Columns of participants.tsv that an export adds; a participant who has them is one trial of one recording."""
NO_VALUE = "n/a"
RECORDING = re.compile(r"(?P<stem>(?P<sub>sub-[0-9A-Za-z]+)(_[a-z]+-[0-9A-Za-z]+)*)_(?P<kind>audiovideo|video|audio)")


def scan(root: Path, results: Path | None = None) -> Corpus:
    """A trial per recording ``sub-*/**/*_audiovideo.*`` or ``*_video.*``.

    Labels are the columns ``valence`` and ``arousal``, ``expression`` (or ``emotion``) and action units of ``<recording>_events.tsv``. A
    trial is called as its recording, its subject as the participant. participants.tsv may name ``trial``, ``video``, ``person`` and
    partitions (``partition``, ``partition_va``, …), as an export does: participants of one ``video`` are persons in it. Without a
    partition a labelled trial is trained on, any other predicted.

    Raises:
        InputError: It is no dataset, has no recordings, or participants.tsv is ambiguous.
    """
    if not (root / DESCRIPTION).is_file():
        raise InputError(
            f"{root / DESCRIPTION}: not found. corpus.layout: bids needs the folder of a BIDS dataset in corpus.root."
        )
    participants = _participants(root / PARTICIPANTS)
    files = walk_files(root, results)
    named: dict[str, list[tuple[Path, re.Match[str]]]] = {}
    findings: list[Finding] = []
    for path in files:
        match = RECORDING.fullmatch(path.stem)
        if not match or path.parts[0] in ("derivatives", "sourcedata") or path.suffix.lower() in (".json", ".tsv"):
            continue
        if match["kind"] == "audio" or path.suffix.lower() not in VIDEO_SUFFIXES:
            detail = f"{printable(path)}: has no video that is read"
            findings.append(Finding("", video_name(match["stem"]), "info", "other_files", detail, "left out"))
        elif reason := unusable(root / path):
            detail = f"{printable(path)}: {reason}"
            findings.append(Finding("", video_name(match["stem"]), "error", "unusable_file", detail, "video left out"))
        else:
            named.setdefault(match["sub"], []).append((path, match))
    if not named:
        raise InputError(
            f"{root}: has no recordings sub-<label>/…/beh/*_audiovideo.* or *_video.* (BIDS). Check corpus.root."
        )
    trials: list[Trial] = []
    media_of: dict[str, str] = {}
    for label, recordings in named.items():
        for path, match in recordings:
            row = participants.get(label, {}) if len(recordings) == 1 else {}
            trial = _trial(root, path, match, row, participants.get(label, {}))
            # Persons of one video have a link to it each: the first one's is read.
            media = media_of.setdefault(trial.video, str(path))
            if media != str(path) and not row.get("video"):
                raise InputError(f"{root}: {media} and {path} would both be the video {trial.video!r}. Rename one.")
            trials.append(Trial(**{**vars(trial), "media": media}))
    names = [trial.trial for trial in trials]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InputError(f"{root / PARTICIPANTS}: trials named more than once: {', '.join(twice)}.")
    order = {row["trial"]: index for index, row in enumerate(participants.values()) if row.get("trial")}
    trials.sort(key=lambda trial: order.get(trial.trial, len(order)))
    return Corpus(tuple(trials), tuple(findings))


def _trial(
    root: Path, path: Path, match: re.Match[str], row: Mapping[str, str], participant: Mapping[str, str]
) -> Trial:
    where = f"{root / PARTICIPANTS}, {match['sub']}"
    video = row.get("video") or video_name(match["stem"])
    name = check_name(row.get("trial") or video, where)
    person = row.get("person") or "main"
    if person not in PERSONS and not person.isdigit():
        raise InputError(f"{where}: person is {person!r}, expected one of {PERSONS}.")
    events = path.with_name(match["stem"] + EVENTS)
    header = read_beginning(root / events)[:1] if (root / events).is_file() else []
    columns = [known_name(column.strip()) for column in header[0].split("\t")] if header else []
    annotations = {f"annotation_{task}": str(events) if task_columns(task, columns) else None for task in TASKS}
    partitions = dict(_partitions(participant, annotations, where))
    return Trial(name, check_name(video, where), str(path), person, **annotations, **partitions, subject=match["sub"])


def _partitions(
    row: Mapping[str, str], annotations: Mapping[str, str | None], where: str
) -> Iterator[tuple[str, str | None]]:
    """Partition of each task: as named, else training where there are labels, and test where there are none at all."""
    given = {task: row.get(f"partition_{task}") or row.get("partition") or None for task in TASKS}
    for partition in given.values():
        if partition not in (None, *PARTITIONS):
            raise InputError(f"{where}: partition is {partition!r}, expected one of {', '.join(PARTITIONS)}.")
    unlabelled = not any(annotations.values())
    for task in TASKS:
        usual = (
            "train" if annotations[f"annotation_{task}"] else "test" if unlabelled and not any(given.values()) else None
        )
        yield f"partition_{task}", given[task] or usual


def _participants(path: Path) -> dict[str, dict[str, str]]:
    """Rows of participants.tsv by participant; a missing value is empty."""
    if not path.is_file():
        return {}
    rows = list(csv.reader(read_lines(path), delimiter="\t"))
    header = rows[0] if rows else []
    if header[:1] != ["participant_id"]:
        raise InputError(f"{path}, line 1: begins with {header[:1]}, expected participant_id (BIDS).")
    found = {}
    for number, row in enumerate(rows[1:], 2):
        if len(row) != len(header):
            raise InputError(f"{path}, line {number}: {len(row)} values where {len(header)} are expected.")
        found[row[0]] = {name: "" if cell == NO_VALUE else cell for name, cell in zip(header, row, strict=True)}
    return found
