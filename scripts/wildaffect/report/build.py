"""The report: an HTML page that works offline and loads nothing, and a page for each video beside it."""

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import yaml

from wildaffect.errors import InputError
from wildaffect.faces.tables import absent_trials
from wildaffect.files import atomic
from wildaffect.report import page
from wildaffect.report.groups import breakdowns
from wildaffect.report.media import SOURCES, media_rows
from wildaffect.report.runs import devices, read_run, selection
from wildaffect.report.scores import (
    CROSS_VALIDATION,
    ENSEMBLE,
    ScoreTable,
    confusion_matrices,
    mean_of,
    ranked_comparisons,
    read_scores,
    read_trial_notes,
    read_trial_scores,
    repeated,
    repetitions,
    score_tables,
)
from wildaffect.report.sources import held_out_in, held_out_sources, series_name
from wildaffect.report.traces import DIMENSIONS, trial_traces
from wildaffect.report.viewer import Shown, write_pages
from wildaffect.scoring.tasks import Tracks
from wildaffect.tables import read_table
from wildaffect.textfiles import plain_cell

AUDIT_COLUMNS = ("trial", "video", "severity", "finding", "detail", "rule")
MOST_CURVES = 24
"""More trainings are a table."""
MOST_TRACES = 12
"""Trials whose traces are drawn in the overview; those of all others are on their pages alone."""
SEVERITIES = ("error", "warning", "info")
TRIAL_COLUMNS = ("trial", "video", "person", "partition_va", "partition_expr", "partition_au", "edition")


@dataclass(frozen=True)
class RunFiles:
    """The files of a run that the report shows; any collection may be empty.

    Attributes:
        trials, audit: Tables of the corpus.
        frames, audio, persons: File by video.
        sheets: JPEG contact sheet by trial.
        labels: Label table by task.
        runs: Entries with system, variant, target, fold and path (of a run folder).
        predictions: Entries with system, variant, target, fold, partition and path (of a prediction table).
        scores, trial_scores: Score tables, None where nothing was scored.
        comparisons: Table of pairs of variants, None where none was asked for.
    """

    trials: Path
    audit: Path
    frames: Mapping[str, Path]
    audio: Mapping[str, Path]
    persons: Mapping[str, Path]
    sheets: Mapping[str, Path]
    labels: Mapping[str, Path]
    runs: Sequence[Mapping]
    predictions: Sequence[Mapping]
    scores: Path | None
    trial_scores: Path | None
    comparisons: Path | None = None


def build_report(
    output: Path,
    files: RunFiles,
    shown: Shown,
    *,
    config: Mapping,
    editions: Tracks,
    models: Sequence[Mapping],
    versions: Mapping[str, str],
    notes: Sequence[str],
    groupings: Mapping[str, Mapping[str, str]] | None = None,
    warnings: Sequence[str] = (),
) -> None:
    """Write the report; the same files give the same bytes, nothing depends on the current time.

    The overview opens at once, however long the videos are: at most `MOST_TRACES` trials have traces in it, of at most
    `traces.POINTS_PER_PAGE` points together; plotly.js is about 2 MB; each trial, finding and epoch adds some hundred bytes. Contact sheets
    and traces of all frames are files of the pages of the videos.

    Args:
        output: HTML file to write.
        files: What the report shows.
        shown: What the pages of the videos show besides.
        config: The completed configuration; paths below its `results_dir` are shown relative to it.
        editions: Tracks of the editions scored by.
        models: Dicts with name, licence, sha256, trained (bool or None) and source.
        versions: Version by package.
        notes: What is approximated in this run, a sentence each.
        groupings: Subjects, conditions and the like, see `wildaffect.report.groups.breakdowns`.
        warnings: What must be known before any number is read, a sentence each; they stand at the top.

    Raises:
        InputError: Tables do not fit their schema or one another.
    """
    trial_table = read_table(files.trials, pa.schema([(name, pa.string()) for name in TRIAL_COLUMNS])).to_pylist()
    absent = {trial for path in files.persons.values() for trial in absent_trials(path)}
    instances = [read_run(entry) for entry in files.runs]
    video_of = {row["trial"]: row["video"] for row in trial_table}
    trial_table = [row for row in trial_table if row["trial"] not in absent]
    scores = read_scores(files.scores) if files.scores else None
    tables = score_tables(scores, editions) if scores is not None else []
    ranked = {table.metric for table in tables if table.ranked}
    media = media_rows(trial_table, files.frames, files.audio, files.persons)
    compared = _compared(held_out_sources(files.predictions, DIMENSIONS), media, files.trial_scores)
    worst = {row["trial"] for row in compared[:MOST_TRACES]}
    traces, points = trial_traces(
        video_of, files.frames, files.persons, files.labels.get("va"), files.predictions, worst
    )
    pages = write_pages(
        output.parent,
        media,
        shown,
        sheets=files.sheets,
        frames=files.frames,
        persons=files.persons,
        labels=files.labels,
        predictions=files.predictions,
        title=config["report"]["title"],
    )
    context = {
        "title": config["report"]["title"],
        "demo": config["corpus"]["layout"] == "demo",
        "notes": notes,
        "warnings": warnings,
        "facts": _facts(config, trial_table, media, instances, files.predictions),
        "versions": versions,
        "tables": tables,
        "ranked": [(table, _score_figure(table)) for table in tables if table.ranked],
        "with_intervals": any(row.interval(fold) for table in tables for row in table.rows for fold in row.values),
        "groupings": breakdowns(groupings or {}, media, pages, files.trial_scores),
        "repeated": repeated(scores, ranked, repetitions(config.get("systems", {}))) if scores is not None else [],
        "comparisons": ranked_comparisons(files.comparisons) if files.comparisons else [],
        "names": {"cross_validation": CROSS_VALIDATION, "ensemble": ENSEMBLE},
        "audit": _audit(files.audit),
        "severities": SEVERITIES,
        "media": media,
        "pages": pages,
        "with_tables": config["report"].get("tables", False),
        "most_curves": MOST_CURVES,
        "sources": SOURCES,
        "overlays": config["report"].get("overlays", False),
        "sheets": [
            (row["trial"], pages[row["trial"]]["sheet"], row["colour"])
            for row in _least_covered(media)
            if row["trial"] in pages and pages[row["trial"]]["sheet"]
        ],
        "instances": [instance | {"selection": selection(instance)} for instance in instances],
        "has_labels": bool(files.labels),
        "has_va_labels": "va" in files.labels,
        "has_predictions": bool(files.predictions),
        "trials": [row | {"data": _drawn(traces.get(row["trial"]))} for row in compared],
        "matrices": confusion_matrices(files.labels["expr"], files.predictions) if "expr" in files.labels else [],
        "points": points,
        "models": models,
        "config_text": yaml.safe_dump(_plain(config), sort_keys=False, allow_unicode=True),
        "records": [
            (_instance_name(i), page.pretty_json(_relative(i["record"], Path(config["results_dir"]))))
            for i in instances
            if i["record"]
        ],
    }
    text = page.render(context)
    with atomic(output) as partial:
        partial.write_text(text, encoding="utf-8")


def _facts(
    config: Mapping,
    trials: Sequence[Mapping],
    media: Sequence[Mapping],
    runs: Sequence[Mapping],
    predictions: Sequence[Mapping],
) -> list:
    """The facts at the top of the page: pairs of label and value."""
    videos = {row["video"]: row["media"] for row in media if row["media"]}
    frames = sum(metadata["frames"] for metadata in videos.values())
    seconds = sum(metadata["duration_s"] or 0 for metadata in videos.values())
    variants = dict.fromkeys(f"{row['system']}/{row['variant']}" for row in [*runs, *predictions])
    editions = dict.fromkeys(row["edition"] for row in trials if row["edition"])
    return [
        ("Corpus", _corpus_text(config.get("corpus", {}))),
        ("Edition", ", ".join(editions) or "none"),
        ("Videos", f"{len({row['video'] for row in trials}):,}"),
        ("Trials", f"{len(trials):,}"),
        ("Frames decoded", f"{frames:,}"),
        ("Playing time", page.duration(seconds)),
        ("Systems", ", ".join(variants) or "none"),
        ("Instances trained", f"{len(runs):,}"),
        ("Device", ", ".join(devices(runs)) or "not recorded"),
        ("Newest result", _newest(runs, predictions)),
    ]


def _corpus_text(corpus: Mapping) -> str:
    """Layout and folder; the demo has no folder."""
    if corpus.get("layout") == "demo":
        return "demo, rendered"
    return ", ".join(str(corpus[key]) for key in ("layout", "root") if corpus.get(key)) or "not recorded"


def _newest(runs: Sequence[Mapping], predictions: Sequence[Mapping]) -> str:
    """When the newest run record or prediction table was written, to the minute (UTC)."""
    files = [Path(row["path"]) / "run.json" for row in runs if row["record"]] + [
        Path(row["path"]) for row in predictions
    ]
    if not files:
        return "none"
    return f"{datetime.fromtimestamp(max(path.stat().st_mtime for path in files), UTC):%Y-%m-%d %H:%M} UTC"


def _score_figure(table: ScoreTable) -> dict | None:
    """A ranked table as data of the bar figure, best first. Rows without a defined value are left out; None if all are."""
    rows = [row for row in table.rows if math.isfinite(row.best)]
    if not rows:
        return None
    return {
        "names": [f"{row.system}/{row.variant}/{row.target}" for row in rows],
        "means": [row.mean for row in rows],
        "deviations": [row.deviation for row in rows],
        "folds": [row.folds for row in rows],
        "extra": {
            name: [page.json_number(row.values.get(name)) for row in rows]
            for name in (CROSS_VALIDATION, ENSEMBLE)
            if any(name in row.values for row in rows)
        },
    }


def _audit(path: Path) -> dict:
    """All findings, the most severe first, and their number by severity."""
    table = pd.read_csv(path, dtype=str, keep_default_na=False).map(plain_cell)
    missing = [name for name in AUDIT_COLUMNS if name not in table]
    if missing:
        raise InputError(f"{path}: column {', '.join(missing)} missing. Delete the file and run again.")
    unknown = set(table["severity"]) - set(SEVERITIES)
    if unknown:
        raise InputError(f"{path}: unknown severity {', '.join(sorted(unknown))}; expected {', '.join(SEVERITIES)}.")
    rows = sorted(table[list(AUDIT_COLUMNS)].to_dict("records"), key=lambda row: SEVERITIES.index(row["severity"]))
    return {"rows": rows, "counts": Counter(row["severity"] for row in rows)}


def _least_covered(media: Sequence[Mapping]) -> list[Mapping]:
    """Rows of the media table, those with the smallest fraction of detected faces first."""

    def fraction(row: Mapping) -> float:
        total = sum(row["faces"].values()) if row["faces"] else 0
        return row["faces"]["detected"] / total if total else 0.0

    return sorted(media, key=fraction)


def _compared(sources: Mapping[tuple[str, str], Mapping], media: Sequence[Mapping], path: Path | None) -> list[dict]:
    """Trials of the table of media that are predicted, with their scores, the worst mean CCC first, unscored ones last.

    Args:
        sources: Prediction tables by series and trial.
        media: Rows of the table of media.
        path: Scores per trial, None where nothing was scored.
    """
    metrics = tuple(f"ccc_{name}" for name in DIMENSIONS)
    scored = read_trial_scores(path, metrics) if path else {}
    notes = read_trial_notes(path, metrics) if path else {}
    series_of: dict[str, dict[str, str]] = {}
    for (series, trial), entry in sources.items():
        series_of.setdefault(trial, {})[series] = held_out_in(entry)
    result: list[dict[str, Any]] = []
    for trial, about in ((row["trial"], row["media"]) for row in media if row["trial"] in series_of):
        rows: list[dict[str, Any]] = [
            {
                "series": series,
                "held_out": held_out,
                **{n: scored.get((series, trial), {}).get(f"ccc_{n}") for n in DIMENSIONS},
                "notes": {n: notes.get((series, trial), {}).get(f"ccc_{n}", "") for n in DIMENSIONS},
            }
            for series, held_out in sorted(series_of[trial].items())
        ]
        means = {name: mean_of([row[name] for row in rows]) for name in DIMENSIONS}
        length = about["frames"] if about else 0
        result.append({"trial": trial, "length": length, "rows": rows, **means, "ccc": mean_of(list(means.values()))})
    return sorted(result, key=lambda row: (row["ccc"] is None, row["ccc"] or 0.0, row["trial"]))


def _drawn(trace: Mapping | None) -> dict | None:
    """What the figure of a trial reads; None for a trial without one."""
    if trace is None:
        return None
    return {key: trace[key] for key in ("times", "labels", "series", "invalid", "faceless")}


def _instance_name(instance: Mapping) -> str:
    return f"{series_name(instance)}, fold {instance['fold']}"


def _plain(value):
    """Configuration as plain YAML types."""
    return json.loads(json.dumps(value, default=str))


def _relative(value, results: Path):
    """A JSON value with paths below `results` made relative."""
    prefix = f"{results}/"
    if isinstance(value, Mapping):
        return {key: _relative(item, results) for key, item in value.items()}
    if isinstance(value, list):
        return [_relative(item, results) for item in value]
    return value.removeprefix(prefix) if isinstance(value, str) else value
