"""The report: one self-contained HTML page that works offline and loads nothing."""

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pyarrow as pa
import yaml

from wildaffect.errors import InputError
from wildaffect.faces.tables import absent_trials
from wildaffect.files import atomic
from wildaffect.report import page
from wildaffect.report.media import SOURCES, contact_sheets, media_rows
from wildaffect.report.runs import devices, read_run, selection
from wildaffect.report.scores import (
    CROSS_VALIDATION,
    ENSEMBLE,
    ScoreTable,
    confusion_matrices,
    read_scores,
    read_trial_notes,
    read_trial_scores,
    score_tables,
)
from wildaffect.report.traces import DIMENSIONS, series_name, trial_traces
from wildaffect.scoring.tasks import Tracks
from wildaffect.tables import read_table
from wildaffect.textfiles import plain_cell

AUDIT_COLUMNS = ("trial", "video", "severity", "finding", "detail", "rule")
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


def build_report(
    output: Path,
    files: RunFiles,
    *,
    config: Mapping,
    editions: Tracks,
    models: Sequence[Mapping],
    versions: Mapping[str, str],
    notes: Sequence[str],
    warnings: Sequence[str] = (),
) -> None:
    """Write the report; the same files give the same bytes, nothing depends on the current time.

    The size is bounded: all traces together have at most `traces.POINTS_PER_PAGE` points, all contact sheets at most
    `media.SHEET_BYTES_PER_PAGE` bytes; plotly.js is about 5 MB; each trial, finding and epoch adds some hundred bytes.

    Args:
        output: HTML file to write.
        files: What the report shows.
        config: The completed configuration; paths below its `results_dir` are shown relative to it.
        editions: Tracks of the editions scored by.
        models: Dicts with name, licence, sha256, trained (bool or None) and source.
        versions: Version by package.
        notes: What is approximated in this run, a sentence each.
        warnings: What must be known before any number is read, a sentence each; they stand at the top.

    Raises:
        InputError: Tables do not fit their schema or one another.
    """
    trial_table = read_table(files.trials, pa.schema([(name, pa.string()) for name in TRIAL_COLUMNS])).to_pylist()
    absent = {trial for path in files.persons.values() for trial in absent_trials(path)}
    instances = [read_run(entry) for entry in files.runs]
    traces, points = trial_traces(
        {row["trial"]: row["video"] for row in trial_table},
        files.frames,
        files.persons,
        files.labels.get("va"),
        files.predictions,
    )
    traces = {trial: trace for trial, trace in traces.items() if trial not in absent}
    trial_table = [row for row in trial_table if row["trial"] not in absent]
    tables = score_tables(read_scores(files.scores), editions) if files.scores else []
    media = media_rows(trial_table, files.frames, files.audio, files.persons)
    sheets, reduced = contact_sheets({trial: path for trial, path in files.sheets.items() if Path(path).exists()})
    context = {
        "title": config["report"]["title"],
        "demo": config["corpus"]["layout"] == "demo",
        "notes": notes,
        "warnings": warnings,
        "facts": _facts(config, trial_table, media, instances, files.predictions),
        "versions": versions,
        "tables": tables,
        "ranked": [(table, _score_figure(table)) for table in tables if table.ranked],
        "names": {"cross_validation": CROSS_VALIDATION, "ensemble": ENSEMBLE},
        "audit": _audit(files.audit),
        "severities": SEVERITIES,
        "media": media,
        "sources": SOURCES,
        "overlays": config["report"].get("overlays", False),
        "sheets": [
            (row["trial"], sheets[row["trial"]], row["colour"])
            for row in _least_covered(media)
            if row["trial"] in sheets
        ],
        "sheets_reduced": reduced,
        "instances": [instance | {"selection": selection(instance)} for instance in instances],
        "has_labels": bool(files.labels),
        "has_va_labels": "va" in files.labels,
        "has_predictions": bool(files.predictions),
        "trials": _compared(traces, files.trial_scores),
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


def _compared(traces: Mapping[str, dict], path: Path | None) -> list[dict]:
    """Trials with traces and their scores, the worst mean CCC first, unscored ones last."""
    metrics = tuple(f"ccc_{name}" for name in DIMENSIONS)
    scored = read_trial_scores(path, metrics) if path else {}
    notes = read_trial_notes(path, metrics) if path else {}
    result = []
    for trial, trace in traces.items():
        rows = [
            {
                "series": series,
                "held_out": held_out,
                **{n: scored.get((series, trial), {}).get(f"ccc_{n}") for n in DIMENSIONS},
                "notes": {n: notes.get((series, trial), {}).get(f"ccc_{n}", "") for n in DIMENSIONS},
            }
            for series, held_out in sorted(trace["folds"].items())
        ]
        means = {name: _mean([row[name] for row in rows]) for name in DIMENSIONS}
        data = {key: trace[key] for key in ("times", "labels", "series", "invalid", "faceless")}
        result.append(
            {
                "trial": trial,
                "length": trace["length"],
                "rows": rows,
                "data": data,
                **means,
                "ccc": _mean(list(means.values())),
            }
        )
    return sorted(result, key=lambda row: (row["ccc"] is None, row["ccc"] or 0.0, row["trial"]))


def _mean(values: list[float | None]) -> float | None:
    defined = [value for value in values if value is not None and value == value]
    return sum(defined) / len(defined) if defined else None


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
