"""Tiny corpora of empty media files: enough for everything that reads names only."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file


def touch(*paths: Path) -> None:
    """Empty files, folders made as needed."""
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def write_annotation(path: Path, rows: int, header: str = "valence,arousal", row: str = "0.1,0.2") -> None:
    """An annotation file of equal rows; valence and arousal that are not given change from row to row."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [row, "0.2,0.1"] if row == "0.1,0.2" else [row, row]
    path.write_text("\n".join([header, *(lines[number % 2] for number in range(rows))]) + "\n")


def affwild2(root: Path, partitions: Mapping[str, list[str]], videos: list[str]) -> Path:
    """An Aff-Wild2-shaped folder with VA annotations: ``partitions`` maps folder names to trials, ``videos`` are file names."""
    touch(*(root / "batch1" / name for name in videos))
    for folder, trials in partitions.items():
        for trial in trials:
            write_annotation(root / "annotations" / "VA_Estimation_Challenge" / folder / f"{trial}.txt", 3)
    return root


def write_run(folder: Path, **record) -> Path:
    """Weights of one number in ``folder``, with a run record if one is given; the path of the weights."""
    folder.mkdir(parents=True, exist_ok=True)
    names = {key: record[key] for key in ("system", "variant", "target", "mode") if key in record}
    save_file({"w": np.zeros(1, np.float32)}, folder / "model.safetensors", {"wildaffect": json.dumps(names)})
    if record:
        (folder / "run.json").write_text(json.dumps(record))
    return folder / "model.safetensors"
