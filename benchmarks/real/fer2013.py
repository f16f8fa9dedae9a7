"""Web pictures of FER2013 (Goodfellow and others 2013): how the systems that see single faces do on faces they have not seen.

    python benchmarks/real/fer2013.py DATA OUT [--systems cnu_adl …] [--cores 2]

DATA holds ``train.npz`` and ``validation.npz`` with ``images`` uint8 (n, 48, 48) and ``labels`` (n,), positions among the editions' seven
expressions. The pictures become the frames of videos, in random order: neighbours have nothing to do with each other, so only what looks at
one frame at a time can be trained on them.
"""

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from comparison import (
    Corpus,
    Row,
    last_epochs,
    linear,
    majority,
    read_corpus,
    run,
    system_rows,
    write_figures,
)
from corpora import QUADRANTS, write_clip, write_table
from PIL import Image
from skimage.feature import hog

from wildaffect import paths
from wildaffect.corpus.label_spaces import EXPRESSIONS7, VALENCE_AROUSAL
from wildaffect.errors import InputError
from wildaffect.faces.crops import CropFile
from wildaffect.files import atomic

PARTITIONS = ("train", "validation")
LENGTH = 1000
"""Pictures per video."""
FPS = 10
SIDE = 48
FOLDERS = ("cropped_aligned", "cropped")
"""Where the workflow looks for faces that others cut, aligned ones and boxes; these pictures stand for both."""
TEMPLATE = "cnu224"

SYSTEMS: dict[str, dict[str, Any]] = {
    "cnu_adl": {"variants": ["image"], "targets": ["mtl"], "recipe": {"preset": "small_data"}},
    "sequence": {
        "variants": ["tcn"],
        "targets": ["va_expr"],
        "recipe": {
            "inputs": ["embed.aligned_hog", "embed.landmarks"],
            "window": 1,
            "hop": 1,
            "batch": 128,
            "epochs": 15,
            "dropout": 0.5,
        },
    },
}
"""The variants that see one frame at a time, with the preset for small data."""


def build(data: Path, root: Path, most: int | None = None) -> None:
    """Write videos, annotations, pictures as face crops and trials.csv below ``root``.

    Args:
        data: Folder of the two files.
        root: Folder of the corpus.
        most: Take so many pictures of each partition at most; None: all.

    Raises:
        InputError: A file is missing.
    """
    rows = []
    for partition in PARTITIONS:
        path = data / f"{partition}.npz"
        if not path.is_file():
            raise InputError(f"{path}: not found; see the head of this script for what it holds.")
        with np.load(path) as content:
            images, labels = content["images"], content["labels"].astype(int)
        order = np.random.default_rng(0).permutation(len(labels))[:most]
        for number, start in enumerate(range(0, len(order), LENGTH)):
            own = order[start : start + LENGTH]
            rows.append(write_video(root, f"{partition}{number:03d}", partition, images[own], labels[own]))
    if not (root / FOLDERS[1]).exists():
        (root / FOLDERS[1]).symlink_to(FOLDERS[0])
    write_table(root, rows)


def write_video(root: Path, name: str, partition: str, images: np.ndarray, labels: np.ndarray) -> dict[str, str]:
    """Write one video with its annotations and its pictures; its row in trials.csv."""
    colour = np.repeat(images[..., None], 3, axis=3)
    write_clip(root / f"videos/{name}.mkv", colour, FPS)
    for index, image in enumerate(images):
        with atomic(root / FOLDERS[0] / name / f"{index + 1:05d}.png") as partial_file:
            Image.fromarray(image).save(partial_file, format="PNG")
    affect = [QUADRANTS[EXPRESSIONS7[label]] for label in labels]
    tables = {
        "va": [",".join(VALENCE_AROUSAL), *(f"{valence},{arousal}" for valence, arousal in affect)],
        "expr": [",".join(EXPRESSIONS7), *map(str, labels)],
    }
    for task, lines in tables.items():
        with atomic(root / f"annotations/{task}/{name}.txt") as partial_file:
            partial_file.write_text("\n".join(lines) + "\n", encoding="ascii")
    annotations = {f"annotation_{task}": f"annotations/{task}/{name}.txt" for task in tables}
    return {"media": f"videos/{name}.mkv", "partition": partition, **annotations}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder of train.npz and validation.npz")
    parser.add_argument("out", type=Path, help="folder of the corpus, the results and the table")
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=list(SYSTEMS))
    parser.add_argument("--most", type=int, help="take so many pictures of each partition at most")
    parser.add_argument("--cores", type=int, default=2)
    arguments = parser.parse_args()

    out = arguments.out.resolve()
    build(arguments.data, out / "corpus", arguments.most)
    run(configuration(out, arguments.systems), out, arguments.cores)
    results = out / "results"
    corpus = read_corpus(results)
    rows = [*baselines(results, corpus), *system_rows(results)]
    print(write_figures(rows, corpus, out, None, last_epochs(results)))


def configuration(out: Path, systems: Sequence[str]) -> dict[str, Any]:
    """What differs from the defaults of the workflow."""
    return {
        "results_dir": str(out / "results"),
        "corpus": {"layout": "table", "root": str(out / "corpus")},
        "folds": {"scheme": "official"},
        "faces": {"source": "official", "official_root": str(out / "corpus")},
        "features": {
            "embeddings": {name: {"network": name, "crops": TEMPLATE} for name in ("aligned_hog", "landmarks")}
        },
        "systems": {"lfan": False} | {name: SYSTEMS[name] for name in systems},
    }


def baselines(results: Path, corpus: Corpus) -> list[Row]:
    """Plain models of the crops that the systems see, shrunk to the size of the pictures."""
    return [
        majority(corpus),
        linear("pixels, linear SVM", corpus, partial(pixels, results)),
        linear("HOG, linear SVM", corpus, partial(gradients, results)),
    ]


def pixels(results: Path, trial: str) -> np.ndarray:
    """Grey values (N, 48 * 48) of the crops of a trial, 0 to 1."""
    crops = CropFile(results / paths.CROPS.format(template=TEMPLATE, trial=trial))
    images = crops.read(np.arange(len(crops.valid)))
    small = [
        np.asarray(Image.fromarray(image).convert("L").resize((SIDE, SIDE), Image.Resampling.BOX)) for image in images
    ]
    return np.stack(small).reshape(len(small), -1) / 255


def gradients(results: Path, trial: str) -> np.ndarray:
    """Histograms of oriented gradients of the crops of a trial, (N, columns)."""
    return np.stack([hog(image.reshape(SIDE, SIDE)) for image in pixels(results, trial)])


if __name__ == "__main__":
    main()
