"""Score tables and confusion matrices of the report."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from wildaffect.corpus.label_spaces import EXPRESSIONS8
from wildaffect.errors import InputError
from wildaffect.provenance import stable_hash
from wildaffect.report.sources import columns_in, held_out_sources, series_name, trials_shown_from
from wildaffect.scoring.editions import editions
from wildaffect.scoring.tasks import Tracks
from wildaffect.tables import read_table
from wildaffect.textfiles import plain_cell

CLASS_LABELS = pa.schema(
    [("trial", pa.string()), ("frame", pa.int32()), ("expression", pa.int8()), ("valid", pa.bool_())]
)
CLASSES = EXPRESSIONS8
"""All classes in the order of the label numbers; editions with seven have the first seven."""


def confusion_matrices(labels: Path, predictions: Sequence[Mapping]) -> list[dict]:
    """Confusion matrices of all series that predict expressions.

    Every frame counts once per series, predicted where its trial was held out (see `wildaffect.report.sources.held_out_sources`); the
    decision is the class with the highest value, the first of equals.

    Args:
        labels: Label table of expressions.
        predictions: Dicts with system, variant, target, fold, partition and path of prediction tables.

    Returns:
        Dicts with `series`, `names` (classes) and `counts`, frames as int64 (labels, predictions).
    """
    truth = (
        read_table(labels, CLASS_LABELS)
        .to_pandas()
        .query("valid")
        .dropna(subset="expression")
        .astype({"expression": int})
    )
    sources = held_out_sources(predictions, CLASSES)
    counts: dict[str, np.ndarray] = {}
    for entry in predictions:
        if trials := trials_shown_from(entry, sources):
            series = series_name(entry)
            counts[series] = counts.get(series, 0) + _confusion(entry["path"], trials, truth)
    return [_without_unused_class(series, counts[series]) for series in sorted(counts) if counts[series].any()]


def _confusion(path: Path, trials: Sequence[str], truth: pd.DataFrame) -> np.ndarray:
    """Frames of `trials` by label and predicted class, int64 (classes, classes)."""
    names = columns_in(path, CLASSES)
    schema = pa.schema([("trial", pa.string()), ("frame", pa.int32()), *((name, pa.float32()) for name in names)])
    table = read_table(path, schema).to_pandas()
    rows = table[table["trial"].isin(trials)].merge(truth, on=["trial", "frame"]).dropna(subset=names)
    decided = np.array([CLASSES.index(name) for name in names])[rows[names].to_numpy().argmax(axis=1)]
    counts = np.zeros((len(CLASSES), len(CLASSES)), np.int64)
    np.add.at(counts, (rows["expression"].to_numpy(), decided), 1)
    return counts


def _without_unused_class(series: str, counts: np.ndarray) -> dict:
    """One matrix, without the last class where an edition does not have it."""
    last = len(CLASSES) if counts[-1].any() or counts[:, -1].any() else len(CLASSES) - 1
    return {"series": series, "names": CLASSES[:last], "counts": counts[:last, :last]}


SCORE_COLUMNS = ("system", "variant", "target", "fold", "partition", "edition", "metric", "value", "frames", "trials")
NOTE, NUMBERS = "note", ("value", "frames", "trials")
TRIAL_COLUMNS = ("system", "variant", "target", "fold", "partition", "trial", "metric", "value")
CROSS_VALIDATION, ENSEMBLE = "cross-validation", "ensemble"
BOUNDS = ("_low", "_high")
"""How metrics end that are the ends of an interval of another."""


@dataclass
class ScoreRow:
    """Scores of one variant under one metric.

    Attributes:
        values: By fold as named in the file, NaN where undefined.
        frames, trials: The largest numbers over the folds.
        notes: The scorer's remarks.
        intervals: Ends of the 95 % intervals by fold.
    """

    system: str
    variant: str
    target: str
    values: dict[str, float]
    frames: int
    trials: int
    notes: list[str] = field(default_factory=list)
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)

    def interval(self, fold: str) -> str:
        """The interval of a fold in words; empty without one, and for one of a single video, which has no width and says nothing.

        Examples:
            >>> row = ScoreRow("s", "v", "va", {"0": 0.5}, 9, 2, intervals={"0": (0.25, 0.75), "1": (0.5, 0.5)})
            >>> row.interval("0"), row.interval("1")
            ('0.250 to 0.750', '')
        """
        low, high = self.intervals.get(fold, (math.nan, math.nan))
        return f"{number(low)} to {number(high)}" if low < high else ""

    @property
    def folds(self) -> list[float]:
        """Defined values of the numbered folds."""
        return [value for fold, value in self.values.items() if fold.isdigit() and not math.isnan(value)]

    @property
    def mean(self) -> float | None:
        """Mean over the numbered folds; None without any."""
        return float(np.mean(self.folds)) if self.folds else None

    @property
    def deviation(self) -> float | None:
        """Sample standard deviation over the numbered folds; None with fewer than two."""
        return float(np.std(self.folds, ddof=1)) if len(self.folds) > 1 else None

    @property
    def best(self) -> float:
        """The value to sort by: cross-validation, else the mean over folds, else the ensemble; -inf without any."""
        candidates = (self.values.get(CROSS_VALIDATION), self.mean, self.values.get(ENSEMBLE))
        return next((value for value in candidates if value is not None and not math.isnan(value)), -math.inf)


@dataclass
class ScoreTable:
    """All variants under one metric, best first.

    Attributes:
        folds: Numbered folds, ascending.
        rows: One per variant and target.
    """

    edition: str
    partition: str
    metric: str
    folds: list[str]
    formula: str = ""
    rows: list[ScoreRow] = field(default_factory=list)

    @property
    def ranked(self) -> bool:
        """Whether the edition orders entries by this metric; never on training data."""
        return self.metric.endswith("_score") and self.partition != "train"

    @property
    def per_video(self) -> bool:
        """Whether the metric is a mean over trials instead of a value over all frames joined."""
        return "_per_video_" in self.metric

    @property
    def per_clip(self) -> bool:
        """Whether there is one decision for each clip instead of one for each frame."""
        return "_per_clip" in self.metric

    @property
    def bound(self) -> bool:
        """Whether the metric is the end of a confidence interval."""
        return self.metric.endswith(BOUNDS)

    @property
    def note(self) -> str:
        """How the metric is computed, to be known before numbers are compared."""
        if self.ranked:
            formula = f": {self.formula}" if self.formula else ""
            return f"the score by which {self.edition} orders entries{formula}; all valid frames of all trials joined"
        if self.bound:
            return "a bound of the 95 % interval from resampling whole videos; the mean over folds is not an interval itself"
        if self.per_clip:
            return (
                "one decision for each clip whose label holds for all of it: values and probabilities are means over its frames; not "
                "comparable with values over frames"
            )
        if self.per_video:
            kind = "weighted by frames" if self.metric.endswith("_weighted") else "every trial counting the same"
            return f"one value for each trial, then the mean, {kind}; not comparable with values over all frames joined"
        return "over all valid frames of all trials joined; not ranked by itself"


def repetitions(blocks: Mapping[str, Any]) -> list[list[tuple[str, str]]]:
    """Variants (system, variant) that differ in nothing but the seed, at least two of each kind.

    Args:
        blocks: Completed settings by system.
    """
    found: dict[str, list[tuple[str, str]]] = {}
    for system, block in blocks.items():
        own = block["variants"] if isinstance(block["variants"], Mapping) else {}
        for variant, settings in own.items():
            key = stable_hash({"system": system, **settings, "seed": None})
            found.setdefault(key, []).append((system, variant))
    return [variants for variants in found.values() if len(variants) > 1]


def repeated(
    scores: pd.DataFrame, ranked: Iterable[str], repetitions: Sequence[Sequence[tuple[str, str]]]
) -> list[dict]:
    """Mean and sample standard deviation of scores over trainings that differ in the seed alone.

    Args:
        scores: Score table, of which the joined folds count, or the only fold.
        ranked: Metrics that are shown.
        repetitions: Lists of (system, variant).

    Returns:
        Dicts with variants, target, edition, metric, count, mean, deviation, lowest and highest; only where every variant has a value.
    """
    held_out = scores[(scores["partition"] == "validation") & scores["metric"].isin([*ranked])]
    held_out = held_out[held_out["fold"] != ENSEMBLE]
    # The joined folds come after the single ones.
    last = held_out.groupby(["system", "variant", "target", "edition", "metric"], sort=False).last().reset_index()
    rows = []
    for variants in repetitions:
        chosen = last[[pair in variants for pair in zip(last["system"], last["variant"], strict=True)]]
        for (target, edition, metric), part in chosen.groupby(["target", "edition", "metric"]):
            values = part["value"].dropna()
            if len(values) == len(variants):
                rows.append(
                    {
                        "variants": [f"{system}/{variant}" for system, variant in variants],
                        "target": target, "edition": edition, "metric": metric, "count": len(values),
                        "mean": values.mean(), "deviation": values.std(), "lowest": values.min(), "highest": values.max(),
                    }
                )  # fmt: skip
    return rows


def ranked_comparisons(path: Path) -> list[dict]:
    """Rows of the ranked scores in a table of `wildaffect.scoring.comparison.compare_variants`."""
    try:
        table = pd.read_csv(path).map(plain_cell)
        return table[table["metric"] == table["task"] + "_score"].to_dict("records")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: not a readable table of comparisons ({error}). Delete it and run again.") from error


def read_scores(path: Path, columns: tuple[str, ...] = SCORE_COLUMNS) -> pd.DataFrame:
    """Read a score file: the fold as text, the value as float64 and `note` (remarks, optional) as text.

    Raises:
        InputError: The file is not readable or columns are missing.
    """
    try:
        table = pd.read_csv(path, dtype={name: str for name in (*columns, NOTE) if name not in NUMBERS})
        table = table.map(plain_cell).astype(table.dtypes)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not a readable score table ({error}). Delete it and run again.") from error
    missing = [name for name in columns if name not in table]
    if missing:
        raise InputError(f"{path}: column {', '.join(missing)} missing. Delete the file and run again.")
    return table.assign(note=table[NOTE].fillna("") if NOTE in table else "")


def score_tables(scores: pd.DataFrame, editions: Tracks) -> list[ScoreTable]:
    """One table per edition, partition and metric, with the intervals of its values; ranked metrics first, per-video ones last.

    ``editions`` say how a ranked metric is made of others.
    """
    formulas = {
        (edition, f"{name}_score"): task.formula for edition, tasks in editions.items() for name, task in tasks.items()
    }
    tables = []
    scores, intervals = _paired_bounds(scores)
    for (edition, partition, metric), part in scores.groupby(["edition", "partition", "metric"], sort=True):
        folds = sorted((fold for fold in part["fold"].unique() if fold.isdigit()), key=int)
        table = ScoreTable(edition, partition, metric, folds, formulas.get((edition, metric), ""))
        for (system, variant, target), rows in part.groupby(["system", "variant", "target"], sort=True):
            if rows["fold"].duplicated().any():
                raise InputError(
                    f"Scores name {system}/{variant}/{target}, {partition}, {metric} more than once for the same fold. "
                    "Delete the score table and run again."
                )
            values = {fold: float(value) for fold, value in zip(rows["fold"], rows["value"], strict=True)}
            size = int(rows["frames"].max()), int(rows["trials"].max())
            own = intervals.get((edition, partition, metric, system, variant, target), {})
            table.rows.append(ScoreRow(system, variant, target, values, *size, _notes(rows, table.formula), own))
        table.rows.sort(key=lambda row: -row.best)
        tables.append(table)
    order = {"validation": 0, "test": 1}

    def place(table: ScoreTable) -> tuple:
        first = 0 if table.ranked else 1 if table.metric.endswith("_score_per_clip") else 2
        partition = order.get(table.partition, 2)
        return first, table.bound, table.per_video, table.edition, partition, table.metric

    return sorted(tables, key=place)


def _paired_bounds(scores: pd.DataFrame) -> tuple[pd.DataFrame, dict[tuple, dict[str, tuple[float, float]]]]:
    """Scores without the bounds whose metric and other bound are there too, and these intervals by metric and variant, by fold."""
    keys = ["edition", "partition", "metric", "system", "variant", "target"]
    values = {tuple(row[:-1]): float(row[-1]) for row in scores[[*keys, "fold", "value"]].itertuples(index=False)}
    intervals: dict[tuple, dict[str, tuple[float, float]]] = {}
    bounds = set()
    for edition, partition, metric, *rest in values:
        low, high = ((edition, partition, f"{metric}{end}", *rest) for end in BOUNDS)
        if low in values and high in values:
            *variant, fold = rest
            intervals.setdefault((edition, partition, metric, *variant), {})[fold] = values[low], values[high]
            bounds |= {low, high}
    left = [tuple(row) not in bounds for row in scores[[*keys, "fold"]].itertuples(index=False)]
    return scores[np.array(left, bool)], intervals


def _notes(rows: pd.DataFrame, formula: str) -> list[str]:
    """The scorer's remarks, each once with the folds it applies to, without those that the title of the table repeats."""
    folds: dict[str, list[str]] = {}
    for fold, note in zip(rows["fold"], rows["note"], strict=True):
        for clause in str(note).split("; "):
            if clause not in ("", formula, "not ranked"):
                folds.setdefault(clause, []).append(fold)
    return [
        clause if len(names) == len(rows) else f"{clause} ({', '.join(map(_fold_name, names))})"
        for clause, names in folds.items()
    ]


def _fold_name(fold: str) -> str:
    return f"fold {fold}" if fold.isdigit() else fold


def read_trial_scores(path: Path, metrics: Sequence[str]) -> dict[tuple[str, str], dict[str, float]]:
    """Values of per-trial metrics, training partitions left out.

    As for the traces, validation is preferred to test and an ensemble to single folds.

    Returns:
        Value by metric, by series name and trial.
    """
    return {key: {metric: float(row.value) for metric, row in rows.items()} for key, rows in _per_trial(path, metrics)}


def trial_metrics(path: Path) -> list[str]:
    """Metrics of the trials in a table of scores, in its order."""
    return [*read_scores(path, TRIAL_COLUMNS)["metric"].unique()]


def read_trial_notes(path: Path, metrics: Sequence[str]) -> dict[tuple[str, str], dict[str, str]]:
    """Why per-trial metrics are not defined, as `read_trial_scores` finds them; an empty text where they are."""
    return {key: {metric: row.note for metric, row in rows.items()} for key, rows in _per_trial(path, metrics)}


def _per_trial(path: Path, metrics: Sequence[str]) -> Iterable[tuple[tuple[str, str], dict[str, Any]]]:
    """Rows by metric, by series name and trial."""
    table = read_scores(path, TRIAL_COLUMNS)
    table = table[table["metric"].isin(metrics) & (table["partition"] != "train")]
    rank = table["fold"].map(lambda fold: int(fold) if fold.isdigit() else -1)
    table = table.assign(later=table["partition"] != "validation", rank=rank).sort_values(
        ["later", "rank"], kind="stable"
    )
    result: dict[tuple[str, str], dict[str, Any]] = {}
    for row in table.itertuples(index=False):
        rows = result.setdefault((f"{row.system}/{row.variant}/{row.target}", row.trial), {})
        rows.setdefault(row.metric, row)
    return result.items()


UNDEFINED = "–"


def score_lines(scores_csv: Path) -> str:
    """The ranked scores of ``scores_csv`` as a text table for the terminal; every metric where none is ranked."""
    tables = score_tables(read_scores(scores_csv), editions())
    if not tables:
        return "No scores: no labelled frames to compare with."
    shown = [table for table in tables if table.ranked or table.metric.endswith("_score_per_clip")] or tables
    defined = [table for table in shown if _defined(table)]
    undefined = [f"{_title(table)}: undefined for all." for table in shown if not _defined(table)]
    return "\n\n".join([*map(_text_table, defined), *undefined])


def _title(table: ScoreTable) -> str:
    return f"{table.metric} ({table.edition}, {table.partition}; {table.note})"


def _defined(table: ScoreTable) -> bool:
    return any(number(value) != UNDEFINED for row in table.rows for value in row.values.values())


def _text_table(table: ScoreTable) -> str:
    extra = [name for name in (CROSS_VALIDATION, ENSEMBLE) if any(name in row.values for row in table.rows)]
    folds = [f"fold {fold}" for fold in table.folds]
    spread = ["mean ± sd"] if len(table.folds) > 1 else []
    lines = [["system", "variant", "target", *folds, *spread, *extra, "trials", "frames"]]
    lines += [
        [
            row.system,
            row.variant,
            row.target,
            *(_with_interval(row, fold) for fold in table.folds),
            *([mean_and_deviation(row)] if spread else []),
            *(_with_interval(row, name) for name in extra),
            f"{row.trials:,}",
            f"{row.frames:,}",
        ]
        for row in table.rows
    ]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    text = [
        "  ".join(
            cell.ljust(width) if i < 3 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    ]
    return "\n".join([_title(table), text[0].rstrip(), "-" * len(text[0]), *(line.rstrip() for line in text[1:])])


def _with_interval(row: ScoreRow, fold: str) -> str:
    interval = row.interval(fold)
    return number(row.values.get(fold)) + (f" ({interval})" if interval else "")


def mean_of(values: Iterable[float | None]) -> float | None:
    """Mean of the values that are numbers; None without any."""
    known = [value for value in values if value is not None and value == value]
    return sum(known) / len(known) if known else None


def number(value: float | None) -> str:
    """Three decimals; an en dash for a missing or undefined value.

    Examples:
        >>> number(0.51249), number(None), number(float("nan"))
        ('0.512', '–', '–')
    """
    return UNDEFINED if value is None or value != value else f"{value:.3f}"


def mean_and_deviation(row: ScoreRow) -> str:
    """Mean and deviation over the folds, such as `0.512 ± 0.013`; the mean alone for a single fold."""
    if row.deviation is None:
        return number(row.mean)
    return f"{row.mean:.3f} ± {row.deviation:.3f}"
