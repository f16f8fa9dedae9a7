"""Tables with a row per decoded frame, for statistics programs."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as csv
import pyarrow.parquet as pq

from wildaffect.export.results import EXPRESSION, Person, Recording, Run
from wildaffect.names import check_name
from wildaffect.textfiles import safe_cell

PARQUET = "frames.parquet"
LABEL = "label."


def label_columns(run: Run, recordings: Iterator[Recording]) -> list[str]:
    """Labels that some trial has, in order."""
    return list(
        dict.fromkeys(name for recording in recordings for person in recording.persons for name in person.labels)
    )


def schema(run: Run, labels: list[str]) -> pa.Schema:
    """Columns of the table."""
    texts = [(name, pa.string()) for name in ("trial", "video", "person")]
    numbers = [("frame", pa.int32()), ("time_s", pa.float64()), ("duration_s", pa.float64())]
    values = [(name, pa.float64()) for name in run.columns]
    known = [(LABEL + name, pa.string() if name == EXPRESSION else pa.float64()) for name in labels]
    return pa.schema([*texts, *numbers, *values, ("source", pa.string()), *known])


def frame_table(run: Run, recording: Recording, person: Person, labels: list[str]) -> pa.Table:
    """Rows of one person; values and labels that are missing are null."""
    count = len(recording.times)
    columns = {
        "trial": [safe_cell(person.name)] * count,
        "video": [safe_cell(recording.video)] * count,
        "person": [person.trial.person] * count,
        "frame": np.arange(count),
        "time_s": recording.times,
        "duration_s": recording.durations,
        **person.values,
        "source": person.source,
    }
    for name in labels:
        known = person.labels.get(name, np.full(count, np.nan))
        texts = [None if np.isnan(k) else run.classes[int(k)] for k in known] if name == EXPRESSION else known
        columns[LABEL + name] = texts
    shape = schema(run, labels)
    return pa.table([pa.array(columns[field.name], field.type, from_pandas=True) for field in shape], shape)


def write_csv(run: Run, folder: Path, final: Path) -> None:
    """Write ``<trial>.csv`` for each person."""
    labels = label_columns(run, run.recordings())
    for recording in run.recordings():
        for person in recording.persons:
            csv.write_csv(
                frame_table(run, recording, person, labels), folder / f"{check_name(person.name, 'trials')}.csv"
            )


def write(run: Run, folder: Path, final: Path) -> None:
    """Write ``frames.parquet``, a row group per person."""
    labels = label_columns(run, run.recordings())
    with pq.ParquetWriter(folder / PARQUET, schema(run, labels), compression="zstd") as writer:
        for recording in run.recordings():
            for person in recording.persons:
                writer.write_table(frame_table(run, recording, person, labels))
