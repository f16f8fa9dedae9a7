"""Where every result lies below the results folder: each file pattern once, and its inverse.

A pattern is written as the workflow engine writes it, with wildcards in braces that stand for one path component each. Patterns are
constants of their own, so that a job depends on those that it uses and on no other.

>>> at("results", FRAMES, video="a")
'results/media/a/frames.parquet'
>>> wildcards(FRAMES, "anywhere/media/a/frames.parquet")
{'video': 'a'}
"""

import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

_INSTANCE = "{system}/{variant}/{target}/fold{fold}"

TRIALS = "corpus/trials.parquet"
FOLDS = "corpus/folds.parquet"
AUDIT = "corpus/audit.csv"
VERDICT = "corpus/verdict.txt"
DEMO = "corpus/demo"
DEMO_VIDEOS = "corpus/demo/videos"
DEMO_VIDEO = "corpus/demo/videos/{file}"
FOLD_TRIALS = "corpus/members/{tasks}/fold{fold}/trials.parquet"
FOLD_ROWS = "corpus/members/{tasks}/fold{fold}/folds.parquet"
LABELS = "labels/{task}.parquet"
FRAMES = "media/{video}/frames.parquet"
AUDIO = "media/{video}/audio.flac"
DETECTIONS = "faces/{video}/detections.parquet"
PERSONS = "faces/{video}/persons.parquet"
SHEET = "faces/sheets/{trial}.jpg"
QUALITY = "faces/quality/{trial}.parquet"
OVERLAY = "faces/overlays/{video}.mp4"
CROPS = "crops/{template}/{trial}.arrow"
BODIES = "bodies/{video}.parquet"
FEATURE = "features/{feature}/{owner}.npy"
VALID = "features/{feature}/valid/{owner}.npy"
ABOUT = "features/{feature}/about.json"
IMPORT_REPORT = "features/{feature}/reports/{owner}.json"
MANIFEST = "lists/{group}/{kind}.json"
STATE = "state"
MODEL = f"runs/{_INSTANCE}/model.safetensors"
HISTORY = f"runs/{_INSTANCE}/history.csv"
STATS = f"runs/{_INSTANCE}/stats.json"
RUN = f"runs/{_INSTANCE}/run.json"
PREDICTIONS = "predictions/{system}/{variant}/{target}/{part}/{partition}.parquet"
SMOOTHED = "smoothed/{system}/{variant}/{target}/{part}/{partition}.parquet"
SCORES = "scores/scores.csv"
TRIAL_SCORES = "scores/trials.csv"
SUBMISSION = "submissions/{edition}/{system}/{variant}/{task}.json"
EXPORTS = "exports/{system}/{variant}"
TABLES_FRAMES = "tables/frames"
TABLES_VIDEOS = "tables/videos.csv"
TABLES_SEGMENTS = "tables/segments.csv"
TABLES_TEXT = "tables/columns.md"
TABLES_DATA = "tables/columns.json"
REPORT = "report/index.html"
CONTENTS = ".snakemake/contents.jsonl"
# `owner` of a feature's file is a video, or a trial where the feature shows one person; `part` is fold<k>, or `ensemble` for folds fused.


def at(results: str, pattern: str, **values: Any) -> str:
    """The file below `results` whose wildcards have these values; wildcards without a value stay open."""
    return f"{results}/{pattern.format_map(_Open(values))}"


class _Open(dict):
    """Values of wildcards; those that are missing stand for themselves."""

    def __missing__(self, wildcard: str) -> str:
        return f"{{{wildcard}}}"


def wildcards(pattern: str, path: str | Path) -> dict[str, str]:
    """What the wildcards of ``pattern`` stand for in ``path``, wherever the results folder is.

    Raises:
        ValueError: The path does not end as files of this kind do.
    """
    found = _expression(pattern).search(str(path))
    if not found:
        raise ValueError(f"{path} is no {pattern}")
    return found.groupdict()


def keyed(pattern: str, paths: Iterable[str | Path]) -> dict[str, Any]:
    """Paths of one pattern by their wildcards: ``{video: path}``, or ``{template: {trial: path}}`` for two wildcards."""
    found: dict[str, Any] = {}
    for path in map(Path, paths):
        *outer, last = wildcards(pattern, path).values()
        inner = found
        for name in outer:
            inner = inner.setdefault(name, {})
        inner[last] = path
    return found


def entries(pattern: str, paths: Iterable[str | Path]) -> list[dict[str, Any]]:
    """Per path its wildcards and, as ``path``, the path itself."""
    return [{**wildcards(pattern, path), "path": Path(path)} for path in paths]


def prediction_entries(paths: Iterable[str | Path]) -> list[dict[str, Any]]:
    """Entries of prediction tables, smoothed or not, with ``fold`` (``"0"``, … or ``"ensemble"``) instead of ``part``."""
    found = []
    for path in paths:
        pattern = SMOOTHED if _expression(SMOOTHED).search(str(path)) else PREDICTIONS
        entry: dict[str, Any] = {**wildcards(pattern, path), "path": Path(path)}
        found.append({**entry, "fold": entry.pop("part").removeprefix("fold")})
    return found


@cache
def _expression(pattern: str) -> re.Pattern[str]:
    pieces = re.split(r"\{(\w+)\}", pattern)
    body = "".join(f"(?P<{piece}>[^/]+)" if index % 2 else re.escape(piece) for index, piece in enumerate(pieces))
    return re.compile(rf"(?:^|/){body}\Z")
