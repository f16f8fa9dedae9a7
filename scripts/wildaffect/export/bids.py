"""BIDS: recordings of behaving subjects (`beh/`, as proposed by BEP047), labels as events, values as continuous recordings.

Each trial is a participant. Times count from the beginning of the media file, so they hold for its audio too; the first frame lies at
`StartTime`. `wildaffect.corpus.bids` reads such a dataset, this one's trials and labels included.
"""

import csv
import gzip
import io
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from wildaffect.corpus.bids import NO_VALUE, PARTICIPANTS, TRIAL_COLUMNS
from wildaffect.corpus.label_spaces import VALENCE_AROUSAL
from wildaffect.export.media import link_media
from wildaffect.export.results import EXPRESSION, Person, Recording, Run, is_unit

VERSION = "1.10.0"
TASK = "video"


def write(run: Run, folder: Path, final: Path) -> None:
    """Write the dataset; media are links."""
    labels = participant_labels([trial.trial for trial in run.trials])
    about = {
        "Name": run.name,
        "BIDSVersion": VERSION,
        "DatasetType": "raw",
        "GeneratedBy": [{"Name": "wildaffect", "Version": metadata.version("wildaffect")}],
    }
    _write_json(folder / "dataset_description.json", about)
    remarks = [
        "Times are seconds from the beginning of the media file.",
        "Labels are in *_events.tsv, a row per labelled frame; values that were predicted in *_physio.tsv.gz, a row per frame.",
        *run.notes,
    ]
    (folder / "README").write_text("\n".join(remarks) + "\n", encoding="utf-8")
    rows = [
        [labels[trial.trial], *(getattr(trial, column) or NO_VALUE for column in TRIAL_COLUMNS)] for trial in run.trials
    ]
    (folder / PARTICIPANTS).write_text(_tsv([["participant_id", *TRIAL_COLUMNS], *rows]), encoding="utf-8")
    for recording in run.recordings():
        for person in recording.persons:
            _write_person(run, folder, final, recording, person, labels[person.name])


def participant_labels(trials: Iterable[str]) -> dict[str, str]:
    """``sub-<letters and digits>`` of each trial, numbered where two would be one.

    >>> participant_labels(["a_1", "a1", "ä"])
    {'a_1': 'sub-a1', 'a1': 'sub-a1x2', 'ä': 'sub-x'}
    """
    found: dict[str, str] = {}
    taken: set[str] = set()
    for trial in trials:
        plain = re.sub("[^0-9A-Za-z]", "", trial) or "x"
        names = (plain, *(f"{plain}x{number}" for number in range(2, len(taken) + 3)))
        name = next(name for name in names if name.casefold() not in taken)
        taken.add(name.casefold())
        found[trial] = f"sub-{name}"
    return found


def _write_person(run: Run, folder: Path, final: Path, recording: Recording, person: Person, label: str) -> None:
    beh = folder / label / "beh"
    beh.mkdir(parents=True)
    stem = f"{label}_task-{TASK}"
    kind = "audiovideo" if recording.has_audio else "video"
    link_media(recording, folder, final, f"{label}/beh/{stem}_{kind}{recording.media.suffix.lower()}")
    about = recording.about
    sidecar = {
        "TaskName": TASK,
        "FrameRate": about.get("average_rate"),
        "FrameCount": about.get("frames"),
        "Width": about.get("width"),
        "Height": about.get("height"),
        "Duration": float(recording.edges[-1]) if len(recording.times) else 0.0,
        "StartTime": recording.start,
    }
    _write_json(beh / f"{stem}_{kind}.json", sidecar)
    scans = [["filename", "acq_time"], [f"beh/{stem}_{kind}{recording.media.suffix.lower()}", NO_VALUE]]
    (folder / label / f"{label}_scans.tsv").write_text(_tsv(scans), encoding="utf-8")
    if known := {name: values for name, values in person.labels.items() if not np.isnan(values).all()}:
        _write_events(beh / f"{stem}_events", run, recording, known)
    for source in dict.fromkeys(columns[:3] for columns in run.columns.values()):
        names = [name for name, columns in run.columns.items() if columns[:3] == source]
        values = np.column_stack([person.values[name] for name in names])
        if not np.isnan(values).all():
            word = re.sub("[^0-9A-Za-z]", "", "".join(source))
            _write_values(beh / f"{stem}_recording-{word}_physio", run, recording, names, values)


def _write_events(path: Path, run: Run, recording: Recording, labels: Mapping[str, np.ndarray]) -> None:
    """A row per labelled frame."""
    edges, rows = recording.edges, []
    for k in np.flatnonzero(~np.isnan(np.column_stack([*labels.values()])).all(axis=1)):
        cells = [_label(run, name, values[k]) for name, values in labels.items()]
        rows.append([f"{edges[k]:.9f}", f"{edges[k + 1] - edges[k]:.9f}", *cells])
    path.with_suffix(".tsv").write_text(_tsv([["onset", "duration", *labels], *rows]), encoding="utf-8")
    about: dict[str, dict[str, Any]] = {name: {"Description": f"label of the frame: {name}"} for name in labels}
    if EXPRESSION in about:
        about[EXPRESSION] |= {"Levels": {name: name for name in run.classes}}
    _write_json(path.with_suffix(".json"), about)


def _label(run: Run, name: str, value: float) -> str:
    if np.isnan(value):
        return NO_VALUE
    if name == EXPRESSION:
        return run.classes[int(value)]
    return str(int(value)) if is_unit(name) else f"{value:.9g}"


def _write_values(path: Path, run: Run, recording: Recording, names: Sequence[str], values: np.ndarray) -> None:
    """A row per frame, with its time in the first column: frames need not be equally far apart."""
    rows = [
        [f"{time:.9f}", *(NO_VALUE if np.isnan(value) else f"{value:.7g}" for value in row)]
        for time, row in zip(recording.edges, values, strict=False)
    ]
    with path.with_suffix(".tsv.gz").open("wb") as handle, gzip.GzipFile("", "wb", fileobj=handle, mtime=0) as packed:
        packed.write(_tsv(rows).encode())
    about: dict[str, Any] = {
        "SamplingFrequency": recording.about.get("average_rate"),
        "StartTime": recording.start,
        "Columns": ["timestamp", *names],
        "timestamp": {"Description": "when the frame is shown, from the beginning of the media file", "Units": "s"},
    }
    for name in names:
        system, variant, target, column = run.columns[name]
        reach = "about -1 to 1" if column in VALENCE_AROUSAL else "score"
        about[name] = {"Description": f"{column} by {system}/{variant}/{target}, {reach}"}
    _write_json(path.with_suffix(".json"), about)


def _tsv(rows: Iterable[Sequence[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, delimiter="\t", lineterminator="\n").writerows(rows)
    return text.getvalue()


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
