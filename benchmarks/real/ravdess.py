"""Acted speech of RAVDESS (Livingstone and Russo 2018): how the systems with audio do on actors they have not heard.

    python benchmarks/real/ravdess.py DATA OUT [--systems m3t ntua …] [--cores 2]

DATA holds the recordings of actors as sound files, ``03-01-EMOTION-INTENSITY-STATEMENT-REPETITION-ACTOR``. The clips show one still face:
there is nothing to see in them.
"""

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import soundfile
from comparison import (
    Corpus,
    Row,
    last_epochs,
    linear,
    majority,
    radial,
    read_corpus,
    run,
    system_rows,
    write_differences,
    write_figures,
)
from corpora import QUADRANTS, write_clip, write_table

from wildaffect import paths
from wildaffect.demo.subject import portrait
from wildaffect.errors import InputError
from wildaffect.features.opensmile_stream import Functionals
from wildaffect.features.signal import decibel, read_speech

EMOTIONS = ("Neutral", "Calm", "Happiness", "Sadness", "Anger", "Fear", "Disgust", "Surprise")
"""In the order of the second number from the left, which counts from 1."""
CLASSES = {"Calm": "Neutral"}
"""What the editions call an emotion that they do not have."""
FPS = 10
SIDE = 224
ENDINGS = (".flac", ".wav")

CLIPS = {"window": 28, "stride": 14, "validation_stride": 28, "windows_per_epoch": 1, "mask_frames": 4}
"""Of M3T: windows as long as the shortest clip at ten frames a second, and one of each clip in an epoch."""
SYSTEMS: dict[str, dict[str, Any]] = {
    "m3t": {
        "variants": {"audio": {}, "audio_egemaps": {"base": "audio", "audio_feature": "egemaps25", "mask_bands": 2}},
        "targets": ["mtl"],
        "recipe": {"preset": "small_data", **CLIPS},
    },
    "lfan": {
        "variants": ["multimodal"],
        "targets": ["va"],
        "recipe": {"preset": "small_data", "features": ["egemaps25"]},
    },
    "ntua": {
        "variants": ["aural"],
        "targets": ["expr", "va"],
        "recipe": {"preset": "small_data", "duration": 2, "window_seconds": 5, "mask_columns": 60},
    },
    "sequence": {
        "variants": {
            "tcn": {},
            "tcn_compare": {"base": "tcn", "inputs": ["compare65"]},
            "tcn_both": {"base": "tcn", "inputs": ["egemaps25", "compare65"]},
            "tcn_both_alike": {"base": "tcn", "inputs": ["egemaps25", "compare65"], "normalise": "training"},
        },
        "targets": ["va_expr"],
        "recipe": {"preset": "small_data", "window": 28, "hop": 10, "normalise": "subject"},
    },
    "tsav": {
        "variants": {"audio": {"base": "two_stream", "streams": ["audio"]}},
        "targets": ["expr", "va"],
        "recipe": {"preset": "small_data"},
    },
}
"""The variants that can perceive the signal, with the preset for small data."""
ENSEMBLES = {
    f"sequence_{task}": {"members": [f"sequence/{name}" for name in ("tcn", "tcn_compare", "tcn_both")], "target": task}
    for task in ("expr", "va")
}
"""The mean of the three variants of sequence that scale by subject."""
READ = {
    "m3t": ("m3t_mel", "egemaps25"),
    "lfan": ("egemaps25",),
    "ntua": ("ntua_mel",),
    "sequence": ("egemaps25", "compare65"),
    "tsav": ("tsav_mel",),
}
"""The features that they read."""
POWERS = ("tsav_mel",)
"""Those that are stored as power."""


def build(data: Path, root: Path, most: int | None = None) -> None:
    """Write ``root``/videos and ``root``/trials.csv from the recordings in ``data``.

    Args:
        data: Folder of the recordings.
        root: Folder of the corpus.
        most: Take so many recordings of each actor and emotion at most, evenly spread over them; None: all.

    Raises:
        InputError: There are no recordings, or one has another name than RAVDESS gives.
    """
    files = sorted(path for path in data.rglob("*") if path.suffix in ENDINGS)
    if not files:
        raise InputError(f"{data}: no recordings ({', '.join(ENDINGS)}) below this folder.")
    files = files if most is None else spread(files, most)
    face = cv2.resize(portrait().texture, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    rows = [row(path) for path in files]
    for path, found in zip(files, rows, strict=True):
        clip = root / found["media"]
        if not clip.is_file():
            audio, rate = soundfile.read(path, dtype="int16", always_2d=True)
            write_clip(clip, [face] * max(1, len(audio) * FPS // rate), FPS, np.ascontiguousarray(audio[:, 0]), rate)
    write_table(root, rows)


def spread(files: Sequence[Path], most: int) -> list[Path]:
    """At most ``most`` of the ``files`` of each actor and emotion."""
    groups: dict[tuple[str, str], list[Path]] = {}
    for path in files:
        parts = path.stem.split("-")
        groups.setdefault((parts[-1], parts[2 % len(parts)]), []).append(path)
    return sorted(
        group[index]
        for group in groups.values()
        for index in {k * len(group) // most for k in range(min(most, len(group)))}
    )


def row(path: Path) -> dict[str, str]:
    """The row of one recording in trials.csv, from its name."""
    parts = path.stem.split("-")
    if len(parts) != 7 or not all(part.isdigit() for part in parts) or not 1 <= int(parts[2]) <= len(EMOTIONS):
        raise InputError(f"{path}: not the name of a RAVDESS recording, such as 03-01-05-01-02-01-12.flac.")
    emotion = EMOTIONS[int(parts[2]) - 1]
    valence, arousal = QUADRANTS[emotion]
    return {
        "media": f"videos/{path.stem}.mkv",
        "subject": f"actor{parts[6]}",
        "valence": str(valence),
        "arousal": str(arousal),
        "expression": CLASSES.get(emotion, emotion),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder of the recordings")
    parser.add_argument("out", type=Path, help="folder of the corpus, the results and the table")
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=list(SYSTEMS))
    parser.add_argument("--folds", type=int, default=4, help="parts that the actors are divided into")
    parser.add_argument("--most", type=int, help="take so many recordings of each actor and emotion at most")
    parser.add_argument("--cores", type=int, default=2)
    arguments = parser.parse_args()

    out = arguments.out.resolve()
    build(arguments.data, out / "corpus", arguments.most)
    run(configuration(out, arguments.systems, arguments.folds), out, arguments.cores)
    results = out / "results"
    corpus = read_corpus(results)
    trained = list(system_rows(results))
    rows = [*baselines(results, corpus, arguments.systems), *trained]
    print(write_figures(rows, corpus, out, actor_of, last_epochs(results)))
    if "sequence" in arguments.systems:
        others = [row for row in trained if not row.name.startswith(("ensemble ", "sequence "))]
        print(write_differences(mean_of_sequence(trained), others, corpus, out, actor_of))


def actor_of(trial: str) -> str:
    """The last number of the name of a recording."""
    return trial.rpartition("-")[2]


def mean_of_sequence(rows: Sequence[Row]) -> Row:
    """The ensembles of sequence for both tasks as one row."""
    by_name = {row.name: row for row in rows}
    expression, affect = (by_name[f"ensemble sequence_{task}"] for task in ("expr", "va"))
    return Row("mean of sequence", expression.expression, affect.affect)


def configuration(out: Path, systems: Sequence[str], folds: int) -> dict[str, Any]:
    """What differs from the defaults of the workflow."""
    return {
        "results_dir": str(out / "results"),
        "corpus": {"layout": "table", "root": str(out / "corpus")},
        "folds": {"scheme": "grouped", "count": folds, "seed": 0},
        "features": {"single_pass": sorted({feature for name in systems for feature in READ[name]})},
        "faces": {"backend": "dlib", "model": "hog"},
        "systems": {"lfan": False} | {name: SYSTEMS[name] for name in systems},
        "score": {"ensembles": ENSEMBLES if "sequence" in systems else {}},
    }


def baselines(results: Path, corpus: Corpus, systems: Sequence[str]) -> list[Row]:
    """Plain models of eGeMAPS, and linear ones of what each system reads, all by whole clips."""
    with Functionals("eGeMAPSv02") as functionals:
        clips = [trial for fold in corpus.folds for part in fold for trial in part]
        known = {
            trial: functionals(read_speech(results / paths.AUDIO.format(video=trial))[:])[None]
            for trial in dict.fromkeys(clips)
        }
    found = [
        majority(corpus),
        linear("eGeMAPS functionals, linear SVM", corpus, known.__getitem__),
        radial("eGeMAPS functionals, RBF SVM", corpus, known.__getitem__),
    ]
    return found + [
        linear(f"{feature}, mean and deviation of the clip, linear SVM", corpus, partial(moments, results, feature))
        for feature in sorted({feature for name in systems for feature in READ[name]})
    ]


def moments(results: Path, feature: str, trial: str) -> np.ndarray:
    """Mean and standard deviation of each column of a feature over one clip, (1, 2 * columns); of power in dB."""
    values = np.load(results / paths.FEATURE.format(feature=feature, owner=trial))
    if feature in POWERS:
        values = decibel(values)
    return np.concatenate([values.mean(axis=0), values.std(axis=0)])[None]


if __name__ == "__main__":
    main()
