"""Predictions in other forms: one CSV file per trial, and label files as TSAV's authors wrote them for the 2020 challenge (TSAV spec 6)."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from wildaffect.corpus.trials import Trial
from wildaffect.errors import InputError
from wildaffect.files import atomic
from wildaffect.names import check_name
from wildaffect.scoring.editions import edition_tasks
from wildaffect.scoring.read import KEYS, as_table, read_notes, read_parquet, sort_rows
from wildaffect.scoring.scorer import decide, missing_columns
from wildaffect.scoring.tasks import Part
from wildaffect.submission.expected import known_format
from wildaffect.textfiles import safe_cell
from wildaffect.written import write_folder


def export_csv(folder: Path, predictions: Sequence[Mapping], without: Collection[str] = ()) -> None:
    """Write ``<folder>/<trial>.csv``: frame, time_s, what every target predicts, source; frames ascending.

    A column that two targets predict is named ``<target>.<column>``. A last column ``note`` holds what a reader must know of the
    predictions, where there is something.

    Args:
        folder: Folder to write to.
        predictions: Mappings with the keys target and path, one per target, of tables with the same rows.
        without: Trials that get no file.

    Raises:
        InputError: If the tables have different rows.
    """
    tables = {
        entry["target"]: read_parquet(entry["path"]).sort_by([("trial", "ascending"), ("frame", "ascending")])
        for entry in predictions
    }
    first = next(iter(tables.values()))
    for target, table in tables.items():
        if not table.select(["trial", "frame"]).equals(first.select(["trial", "frame"])):
            raise InputError(
                f"predictions of {target}: other trials or frames than those of {next(iter(tables))}. Predict them again."
            )
    joined = join_columns(tables)
    if notes := list(dict.fromkeys(note for entry in predictions for note in read_notes(entry["path"]))):
        joined = joined.append_column("note", pa.array([" ".join(notes)] * len(joined)))
    for trial in pc.unique(joined["trial"]).to_pylist():
        if trial in without:
            continue
        with atomic(folder / f"{check_name(trial, 'predictions')}.csv") as partial:
            csv.write_csv(joined.filter(pc.equal(joined["trial"], trial)).drop_columns("trial"), partial)


def join_columns(tables: Mapping[str, pa.Table]) -> pa.Table:
    """Put the value columns of all tables side by side, between the time and the source of the first."""
    values = {target: [name for name in table.column_names if name not in KEYS] for target, table in tables.items()}
    uses = Counter(name for names in values.values() for name in names)
    first = next(iter(tables.values()))
    columns = {name: first[name] for name in ("trial", "frame", "time_s")}
    for target, names in values.items():
        columns |= {name if uses[name] == 1 else f"{target}.{name}": tables[target][name] for name in names}
    return pa.table(columns | {"source": pa.array(map(safe_cell, first["source"].to_pylist()), pa.string())})


EDITION = "abaw1"
FOLDERS = {"validation": "val", "test": "test"}
SETS = {"va": "VA_Set", "expr": "EXPR_Set", "au": "AU_Set"}
NAMES = ("original", "corrected")


def write_label_files(
    predictions: Any, trials: Mapping[str, Trial], output: Path, names: str, *, overwrite: bool = False
) -> list[Path]:
    """Write ``<output>/{val,test}/{VA,EXPR,AU}_Set/<name>.txt`` for every predicted trial that a task holds out, and ``<output>.json``.

    A file has a header and a line per frame: valence and arousal limited to [-1, 1] with three decimals, a class number, or eight units
    above 0.5 as 0 or 1.

    Args:
        predictions: Arrow or pandas with trial, frame and the columns of one or more tasks, a row per decoded frame.
        trials: Trials by name.
        output: Folder to write to.
        names: ``corrected`` calls a file as its trial. ``original`` keeps the media file's extension in the names of validation files,
            and adds ``_main`` to the main person of a video with several.
        overwrite: As for `wildaffect.written.write_folder`.

    Returns:
        Paths of the files.

    Raises:
        InputError: For a predicted trial that is none of ``trials``, for gaps in its rows, if there is nothing to write, and for files that
            may not be replaced.
    """
    table = as_table(predictions, "predictions")
    rows = sort_rows(table, "predictions")
    persons = Counter(trial.video for trial in trials.values())
    texts: dict[str, str] = {}
    for task in edition_tasks(EDITION).values():
        (part,) = task.parts
        if missing_columns(table.column_names, part):
            continue
        decided = decide(table, part)[rows.order]
        for name, part_rows in rows.slices().items():
            if name not in trials:
                raise InputError(f"predictions: trial {name!r} is not in the table of trials.")
            trial = trials[name]
            partition = trial.partition(task.name)
            if partition not in FOLDERS:
                continue
            _check_complete(name, rows.frame[part_rows], decided[part_rows])
            stem = name if names == "corrected" else original_name(trial, partition, persons[trial.video] > 1)
            check_name(stem, "the table of trials")
            lines = [known_format(task).header, *_lines(decided[part_rows], part)]
            texts[f"{FOLDERS[partition]}/{SETS[task.name]}/{stem}.txt"] = "\n".join(lines) + "\n"
    if not texts:
        raise InputError(
            f"predictions: no trial is held out for validation or testing by a task of {EDITION} whose columns are there."
        )
    write_folder(output, texts, {"edition": EDITION, "names": names}, overwrite=overwrite)
    return [output / name for name in texts]


def original_name(trial: Trial, partition: str, has_company: bool) -> str:
    """Name of a trial's file in the original's manner (TSAV spec 6 and decision 9), without ``.txt``.

    ``has_company``: the video shows other annotated persons.
    """
    media = PurePath(trial.media)
    stem = media.name if partition == "validation" else media.stem
    return f"{stem}_{trial.person}" if has_company or trial.person != "main" else stem


def _check_complete(name: str, frames: np.ndarray, decided: np.ndarray) -> None:
    if not np.array_equal(frames, np.arange(len(frames))) or np.isnan(decided).any():
        raise InputError(f"predictions: trial {name!r} has frames without a prediction; predict all of them.")


def _lines(values: np.ndarray, part: Part) -> list[str]:
    if part.kind == "values":
        return [",".join(f"{value:.3f}" for value in row) for row in values.clip(-1, 1).tolist()]
    return [",".join(map(str, row)) for row in values.astype(int).tolist()]
