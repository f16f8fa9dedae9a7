"""A small results tree written by hand after the file contracts, for tests of what reads results.

The numbers are made from curves with a fixed seed; only the form is meant to be true. Deliberately no writer of the library except the
table functions is used, so a reader that agrees with its writer by mistake is found out.
"""

import csv
import json
from dataclasses import fields
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import soundfile

from wildaffect.report.build import RunFiles, build_report
from wildaffect.report.viewer import Shown
from wildaffect.scoring.editions import editions
from wildaffect.tables import write_table

RATE = 25.0
TRIALS = pa.schema(
    [
        (name, pa.string())
        for name in (
            *("trial", "video", "media", "person"),
            *(
                "partition_va",
                "partition_expr",
                "partition_au",
                "annotation_va",
                "annotation_expr",
                "annotation_au",
                "edition",
            ),
        )
    ]
)
FRAMES = pa.schema(
    [
        ("frame", pa.int32()),
        ("pts", pa.int64()),
        ("time_s", pa.float64()),
        ("duration_s", pa.float64()),
        ("keyframe", pa.bool_()),
        ("repair", pa.string()),
    ]
)
PERSONS = pa.schema(
    [("trial", pa.string()), ("frame", pa.int32()), ("source", pa.string()), ("track", pa.int32())]
    + [(name, pa.float32()) for name in ("x0", "y0", "x1", "y1", "score")]
)
LABELS = pa.schema(
    [
        ("trial", pa.string()),
        ("frame", pa.int32()),
        ("time_s", pa.float64()),
        ("valence", pa.float32()),
        ("arousal", pa.float32()),
        ("valid", pa.bool_()),
    ]
)
PREDICTIONS = pa.schema(
    [
        ("trial", pa.string()),
        ("frame", pa.int32()),
        ("time_s", pa.float64()),
        ("valence", pa.float32()),
        ("arousal", pa.float32()),
        ("source", pa.string()),
    ]
)
CLASSES = ("Neutral", "Anger", "Disgust", "Fear", "Happiness", "Sadness", "Surprise")
EXPRESSION_LABELS = pa.schema(
    [
        ("trial", pa.string()),
        ("frame", pa.int32()),
        ("time_s", pa.float64()),
        ("expression", pa.int8()),
        ("valid", pa.bool_()),
    ]
)
EXPRESSIONS = pa.schema(
    [("trial", pa.string()), ("frame", pa.int32()), ("time_s", pa.float64())]
    + [(name, pa.float32()) for name in CLASSES]
    + [("source", pa.string())]
)
VARIANTS = (("lfan", "multimodal"), ("tsav", "two_stream"))
FOLDS = (0, 1, 2)


def build_results(
    folder: Path, videos: list[str], *, frames: int = 200, labelled: bool = True, unreadable: tuple[str, ...] = ()
) -> dict:
    """Write a results tree into ``folder`` and return what :func:`render` makes a page of.

    The first video has variable frame rate, rotation and no sound; every second one has no contact sheet; the last readable one holds two
    people. Videos in ``unreadable`` have tables without rows. ``labelled=False`` gives a tree of unlabelled own videos: predictions only.
    """
    random = np.random.default_rng(7)
    readable = [video for video in videos if video not in unreadable]
    trials = {video: video for video in videos} | {f"{readable[-1]}_right": readable[-1]}
    lengths = {video: 0 if video in unreadable else frames + 10 * i for i, video in enumerate(videos)}
    partition = "validation" if labelled else None
    rows = [
        {
            **dict.fromkeys(TRIALS.names),
            **{"trial": trial, "video": video, "media": f"{video}.mp4", "edition": "abaw2" if labelled else None},
            **{"person": "right" if trial != video else "main", "partition_va": partition},
        }
        for trial, video in trials.items()
    ]
    write_table(folder / "corpus" / "trials.parquet", pa.Table.from_pylist(rows, TRIALS), TRIALS)
    clocks = {video: _write_media(folder, video, lengths[video], vfr=i == 0) for i, video in enumerate(videos)}
    for video in videos:
        _write_persons(folder, video, [trial for trial, of in trials.items() if of == video], lengths[video])
    shown = {trial: clocks[video] for trial, video in trials.items() if lengths[video]}
    truth = {
        trial: np.stack([np.sin(clock / 3 + i), np.cos(clock / 4 + i)]) * 0.7
        for i, (trial, clock) in enumerate(shown.items())
    }
    if labelled:
        _write_labels(folder, shown, truth)
    predictions = _write_predictions(folder, shown, truth, random, labelled)
    runs = [_write_run(folder, system, variant, fold, random) for system, variant in VARIANTS for fold in FOLDS]
    if labelled:
        _write_scores(folder, list(shown), random)
    _write_audit(folder, videos)
    return {
        "config": {"corpus": {"layout": "affwild2", "root": "data"}, "folds": {"scheme": "lfan", "count": len(FOLDS)}},
        "results": folder,
        "trials": folder / "corpus" / "trials.parquet",
        "audit": folder / "corpus" / "audit.csv",
        "frames": {video: folder / "media" / video / "frames.parquet" for video in videos},
        "audio": {video: folder / "media" / video / "audio.flac" for video in videos},
        "persons": {video: folder / "faces" / video / "persons.parquet" for video in videos},
        "sheets": {trial: _write_sheet(folder, trial) for trial in list(trials)[::2]},
        "labels": {"va": folder / "labels" / "va.parquet"} if labelled else {},
        "runs": runs if labelled else [],
        "predictions": predictions,
        "scores": folder / "scores" / "scores.csv" if labelled else None,
        "trial_scores": folder / "scores" / "trials.csv" if labelled else None,
        "editions": editions(),
        "models": [
            {"name": "resnet50", "licence": "MIT", "sha256": "ab" * 32, "trained": True, "source": "local file"},
            {
                "name": "vggish",
                "licence": "Apache-2.0",
                "sha256": None,
                "trained": False,
                "source": "seeded random weights",
            },
        ],
        "versions": {"python": "3.11.9", "torch": "2.11.0"},
        "notes": ["vggish128: untrained weights; its numbers carry no meaning."],
    }


def render(output: Path, arguments: dict, title: str = "x", demo: bool = False) -> None:
    """Write the page of what :func:`build_results` returned, with changes perhaps."""
    files = RunFiles(**{field.name: arguments[field.name] for field in fields(RunFiles) if field.name in arguments})
    corpus = {"layout": "demo"} if demo else {"layout": "affwild2", **arguments["config"].get("corpus", {})}
    config = {
        **arguments["config"],
        "corpus": corpus,
        "report": {"title": title},
        "results_dir": str(arguments["results"]),
    }
    rest = {name: arguments[name] for name in ("editions", "models", "versions", "notes")}
    shown = arguments.get("shown") or Shown({}, {}, {}, {}, {})
    more = {name: arguments[name] for name in ("warnings", "groupings") if name in arguments}
    build_report(output, files, shown, config=config, **rest, **more)


def _write_media(folder: Path, video: str, frames: int, vfr: bool) -> np.ndarray:
    durations = np.full(frames, 1 / RATE) * (1 + (np.arange(frames) % 3 == 0) if vfr else 1)
    times = np.r_[0.0, np.cumsum(durations)[:-1]] if frames else np.zeros(0)
    table = pa.table(
        {
            "frame": np.arange(frames, dtype=np.int32),
            "pts": np.round(times * 90000).astype(np.int64),
            "time_s": times,
            "duration_s": durations,
            "keyframe": np.arange(frames) % 12 == 0,
            "repair": pa.array([""] * frames, pa.string()),
        }
    )
    seconds = float(durations.sum())
    about = {
        **{"status": "ok" if frames else "unreadable", "reason": "" if frames else "no decodable video stream"},
        **{
            "frames": frames,
            "time_base": "1/90000",
            "average_rate": frames / seconds if frames else None,
            "nominal_rate": RATE,
        },
        **{"vfr": vfr, "jitter_s": 0.019 if vfr else 0.0, "rotation": 90 if vfr else 0, "width": 640, "height": 360},
        **{
            "stored_width": 640,
            "stored_height": 360,
            "sample_aspect": "1:1",
            "codec": "h264",
            "pixel_format": "yuv420p",
        },
        **{
            "container": "mp4",
            "video_start_s": 0.0,
            "audio_start_s": None if vfr else 0.0,
            "audio_streams": 0 if vfr else 1,
        },
        **{"duration_s": seconds, "repairs": {}},
    }
    write_table(folder / "media" / video / "frames.parquet", table, FRAMES, about)
    sound = {
        **{
            "audio_valid": not vfr,
            "rate": 8000,
            "samples": 800,
            "channels": 0 if vfr else 2,
            "offset_s": 0.0,
            "padded_s": 0.0,
        },
        **{
            "trimmed_s": 0.0,
            "gaps_s": 0.0,
            "clipped_fraction": 0.0,
            "silent": vfr,
            "flags": ["no_audio_stream"] if vfr else [],
        },
    }
    with soundfile.SoundFile(folder / "media" / video / "audio.flac", "w", 8000, 1, format="FLAC") as handle:
        handle.comment = json.dumps(sound)
        handle.write(np.zeros(800, np.float32))
    return times


def face_sources(frames: int, index: int) -> np.ndarray:
    """The source column of the ``index``-th trial of a video: the last tenth has no face, two stretches are filled."""
    source = np.full(frames, "detected", dtype=object)
    source[frames // 4 : frames // 4 + 5 + index] = "interpolated"
    source[frames // 2 : frames // 2 + 8] = "held"
    source[frames - frames // 10 :] = "none"
    return source


def _write_persons(folder: Path, video: str, trials: list[str], frames: int) -> None:
    parts = []
    for index, trial in enumerate(trials):
        source = face_sources(frames, index)
        box = {
            name: np.full(frames, value, np.float32)
            for name, value in zip(("x0", "y0", "x1", "y1"), (10, 20, 110, 140), strict=True)
        }
        parts.append(
            pa.table(
                {
                    "trial": pa.array([trial] * frames, pa.string()),
                    "frame": np.arange(frames, dtype=np.int32),
                    "source": pa.array(source, pa.string()),
                    "track": np.where(source == "none", -1, index).astype(np.int32),
                    **box,
                    "score": pa.array(np.where(source == "detected", 0.9, np.nan), pa.float32(), from_pandas=True),
                }
            )
        )
    write_table(folder / "faces" / video / "persons.parquet", pa.concat_tables(parts), PERSONS)


def invalid_labels(frames: int) -> np.ndarray:
    """Which frames of each trial have no usable label, bool (frames,)."""
    return (np.arange(frames) >= 30) & (np.arange(frames) < 50)


def _write_labels(folder: Path, shown: dict, truth: dict) -> None:
    parts = []
    for trial, clock in shown.items():
        invalid = invalid_labels(len(clock))
        values = {
            name: pa.array(np.where(invalid, np.nan, truth[trial][i]), pa.float32(), from_pandas=True)
            for i, name in _dimensions()
        }
        parts.append(_rows(trial, clock) | values | {"valid": ~invalid})
    write_table(folder / "labels" / "va.parquet", pa.concat_tables([pa.table(part) for part in parts]), LABELS)


def write_expressions(folder: Path, trial: str, truth: list[int | None], predicted: list[int]) -> tuple[Path, dict]:
    """Expression labels of one trial and a prediction entry that puts probability 0.9 on ``predicted``."""
    frames = len(truth)
    rows = _rows(trial, np.arange(frames) / RATE)
    labels = rows | {"expression": pa.array(truth, pa.int8()), "valid": [value is not None for value in truth]}
    write_table(folder / "labels" / "expr.parquet", pa.table(labels), EXPRESSION_LABELS)
    values = {name: np.where(np.array(predicted) == i, 0.9, 0.1).astype(np.float32) for i, name in enumerate(CLASSES)}
    path = folder / "predictions" / "ntua" / "visual" / "expr" / "fold0" / "validation.parquet"
    write_table(path, pa.table(rows | values | {"source": ["model"] * frames}), EXPRESSIONS)
    names = {"system": "ntua", "variant": "visual", "target": "expr", "fold": 0, "partition": "validation"}
    return folder / "labels" / "expr.parquet", names | {"path": path}


def _dimensions():
    return enumerate(("valence", "arousal"))


def _rows(trial: str, clock: np.ndarray) -> dict:
    return {
        "trial": pa.array([trial] * len(clock), pa.string()),
        "frame": np.arange(len(clock), dtype=np.int32),
        "time_s": clock,
    }


def _write_predictions(folder: Path, shown: dict, truth: dict, random, labelled: bool) -> list[dict]:
    """With labels trial i is held out in fold i modulo the folds and also stands in the training partitions of the others."""
    entries = []
    for system, variant in VARIANTS:
        for fold in FOLDS if labelled else FOLDS[:1]:
            held_out = [trial for i, trial in enumerate(shown) if i % len(FOLDS) == fold or not labelled]
            for partition in ("train", "validation") if labelled else ("test",):
                chosen = [trial for trial in shown if (trial in held_out) == (partition != "train")]
                if not chosen:
                    continue
                parts = []
                for trial in chosen:
                    noise = random.normal(0, 0.05, (2, len(shown[trial])))
                    values = (
                        0.8 * truth[trial] + 0.1 * np.sin(np.arange(len(shown[trial])) / 9) + noise
                        if partition != "train"
                        else truth[trial] * 0 + 9
                    )
                    columns = {name: values[i].astype(np.float32) for i, name in _dimensions()}
                    parts.append(
                        pa.table(_rows(trial, shown[trial]) | columns | {"source": ["model"] * len(shown[trial])})
                    )
                path = folder / "predictions" / system / variant / "va" / f"fold{fold}" / f"{partition}.parquet"
                write_table(path, pa.concat_tables(parts), PREDICTIONS)
                names = {"system": system, "variant": variant, "target": "va", "fold": fold, "partition": partition}
                entries.append(names | {"path": path})
    return entries


def _write_run(folder: Path, system: str, variant: str, fold: int, random) -> dict:
    path = folder / "runs" / system / variant / "va" / f"fold{fold}"
    path.mkdir(parents=True)
    epochs = np.arange(12)
    score = 0.5 * (1 - np.exp(-(epochs + 1) / 3)) - 0.003 * epochs + random.normal(0, 0.015, len(epochs))
    rows = [
        {"epoch": epoch, "lr": 1e-4, "phase": 0, "train_loss": np.exp(-(epoch + 1) / 4), "val_loss": 1 - value}
        | {"val_ccc": value, "val_ccc_valence": value + 0.02, "seconds": 12.5}
        for epoch, value in zip(epochs, score, strict=True)
    ]
    _write_csv(path / "history.csv", rows)
    record = {
        **{"system": system, "variant": variant, "target": "va", "fold": fold, "seed": 11, "device": "cpu"},
        **{"device_name": "x86_64", "code": "0f" * 8, "selection": "ccc", "best_epoch": int(epochs[score.argmax()])},
        **{"best_score": float(score.max()), "data": {"sha256": "cd" * 32}},
        **{"files": [str(folder / "labels" / "va.parquet")], "versions": {"torch": "2.11.0"}},
    }
    (path / "run.json").write_text(json.dumps(record))
    return {"system": system, "variant": variant, "target": "va", "fold": fold, "path": path}


def _write_scores(folder: Path, trials: list[str], random) -> None:
    shared = {"target": "va", "partition": "validation"}
    size = {"frames": 180 * len(trials), "trials": len(trials)}
    rows, single = [], []
    for (system, variant), base in zip(VARIANTS, (0.42, 0.51), strict=True):
        run = {"system": system, "variant": variant, **shared}
        for metric in METRICS:
            size["note"] = "0.5 ccc_valence + 0.5 ccc_arousal" if metric == "va_score" else ""
            for fold in [*FOLDS, "cross-validation", "ensemble"]:
                value = base + random.normal(0, 0.03)
                rows.append(run | {"fold": fold, "edition": "abaw2", "metric": metric, "value": value} | size)
        for i, trial in enumerate(trials):
            for metric in ("ccc_valence", "ccc_arousal"):
                value = {"trial": trial, "metric": metric, "value": 0.9 - 0.1 * i, "frames": 180}
                single.append(run | {"fold": i % len(FOLDS)} | value)
    _write_csv(folder / "scores" / "scores.csv", rows)
    _write_csv(folder / "scores" / "trials.csv", single)


def _write_csv(path: Path, rows: list[dict]) -> None:
    path.parent.mkdir(exist_ok=True)
    with path.open("w", newline="") as handle:
        writer = csv.DictWriter(handle, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


METRICS = (
    "va_score",
    "ccc_valence",
    "ccc_arousal",
    "ccc_valence_per_video_mean",
    "ccc_arousal_per_video_mean",
    "va_score_low",
)


def _write_audit(folder: Path, videos: list[str]) -> None:
    names = ("trial", "video", "severity", "finding", "detail", "rule")
    counts = ("info", "label_rows_one_more", "201 label rows, 200 decoded frames", "last label row dropped")
    findings = [(video, video, *counts) for video in videos]
    findings.append((videos[0], videos[0], "warning", "no_audio", "the file has no audio stream", "silence"))
    findings.append(("", "lost", "error", "media_missing", "no media file for annotation lost.txt", "trial left out"))
    _write_csv(folder / "corpus" / "audit.csv", [dict(zip(names, finding, strict=True)) for finding in findings])


def _write_sheet(folder: Path, trial: str) -> Path:
    path = folder / "sheets" / f"{trial}.jpg"
    path.parent.mkdir(exist_ok=True)
    x, y = np.meshgrid(np.arange(480), np.arange(120))
    picture = np.stack([x % 256, y * 2 % 256, (x + y) % 256], axis=2).astype(np.uint8)
    path.write_bytes(cv2.imencode(".jpg", picture)[1].tobytes())
    return path
