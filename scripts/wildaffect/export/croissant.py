"""Croissant: the table of all frames and the list of videos, described so that machine-learning tools can load them."""

import json
from pathlib import Path

import mlcroissant as mlc
import pyarrow as pa
import pyarrow.parquet as pq

from wildaffect.export import tables
from wildaffect.export.results import Run
from wildaffect.files import sha256

METADATA = "croissant.json"
MEANINGS = {
    "trial": "one person in one video",
    "video": "name of the video",
    "person": "role of the person in the video",
    "frame": "number of the decoded frame, from 0",
    "time_s": "when the frame is shown, seconds from frame 0",
    "duration_s": "how long it is shown, seconds",
    "source": "where the values come from: model, interpolated, no_face (then they are missing)",
}


def write(run: Run, folder: Path, final: Path) -> None:
    """Write ``frames.parquet`` and ``croissant.json``. Media are listed with their hashes, not contained."""
    tables.write(run, folder, final)
    path = folder / tables.PARQUET
    table = mlc.FileObject(
        id="frames-file",
        name=tables.PARQUET,
        content_url=tables.PARQUET,
        encoding_formats=["application/x-parquet"],
        content_size=f"{path.stat().st_size} B",
        sha256=sha256(path),
    )
    fields = [_field(run, "frames", "frames-file", column) for column in pq.read_schema(path)]
    videos = [
        {f"videos/{key}": fact[key] for key in ("video", "media", "size", "sha256")}
        for fact in run.facts()
        if fact["size"] is not None
    ]
    about = mlc.Metadata(
        name=run.name,
        description=" ".join(
            ["Affect per frame, predicted by wildaffect, and labels where there are any.", *run.notes]
        ),
        distribution=[table],
        record_sets=[
            mlc.RecordSet(id="frames", name="frames", description="a row per decoded frame and person", fields=fields),
            mlc.RecordSet(
                id="videos",
                name="videos",
                description="the videos that the values were computed from",
                fields=[
                    mlc.Field(id=f"videos/{name}", name=name, description=meaning, data_types=[kind])
                    for name, meaning, kind in (
                        ("video", MEANINGS["video"], mlc.DataType.TEXT),
                        ("media", "path below the folder of the corpus", mlc.DataType.TEXT),
                        ("size", "bytes", mlc.DataType.INTEGER),
                        ("sha256", "SHA-256 of the file", mlc.DataType.TEXT),
                    )
                ],
                data=videos,
            ),
        ],
    )
    (folder / METADATA).write_text(json.dumps(about.to_json(), indent=2, default=str) + "\n", encoding="utf-8")


def _field(run: Run, record: str, file: str, column: pa.Field) -> mlc.Field:
    name = column.name
    if name in run.columns:
        meaning = f"{run.columns[name][3]}, predicted by {'/'.join(run.columns[name][:3])}"
    else:
        meaning = MEANINGS.get(name, f"label: {name.removeprefix(tables.LABEL)}")
    kinds = {pa.string(): mlc.DataType.TEXT, pa.int32(): mlc.DataType.INTEGER}
    return mlc.Field(
        id=f"{record}/{name}",
        name=name,
        description=meaning,
        data_types=[kinds.get(column.type, mlc.DataType.FLOAT)],
        source=mlc.Source(file_object=file, extract=mlc.Extract(column=name)),
    )
