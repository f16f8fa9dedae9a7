"""Systems trained by the workflow beside plain models on the same folds and frames.

Every figure is over the frames that folds held out, all folds joined; its interval (95 %) comes from drawing whole units (actors, or
images) with replacement.
"""

import csv
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC, LinearSVC

from wildaffect import paths
from wildaffect.corpus.label_spaces import EXPRESSIONS7, VALENCE_AROUSAL
from wildaffect.files import atomic

ROOT = Path(__file__).resolve().parents[2]
TASKS = {"expr": EXPRESSIONS7, "va": VALENCE_AROUSAL}
FIGURES = ("F1 expression", "CCC valence", "CCC arousal")
RESAMPLES = 500
LIMIT = 3.0
"""Inputs of plain models are limited to so many standard deviations: a few functionals of a few clips are far out."""

Inputs = Callable[[str], np.ndarray]
"""Inputs of a plain model by trial: (N, d) with a row per frame, or (1, d) for the whole trial."""
UnitOf = Callable[[str], str] | None
"""Unit of a trial, such as its actor; None: every frame is one."""


@dataclass(frozen=True)
class Corpus:
    """What is held out, and its labels.

    Attributes:
        folds: Training trials and held-out trials of each fold.
        expression: Class of every frame by trial, NaN where there is none.
        affect: Valence and arousal (N, 2) likewise.
    """

    folds: Sequence[tuple[Sequence[str], Sequence[str]]]
    expression: Mapping[str, np.ndarray]
    affect: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Row:
    """A model's values for the held-out frames: classes (N,) and valence and arousal (N, 2) by trial; either may be absent."""

    name: str
    expression: Mapping[str, np.ndarray] | None
    affect: Mapping[str, np.ndarray] | None


def run(config: Mapping[str, Any], folder: Path, cores: int) -> None:
    """Write ``config`` into ``folder`` and make the scores by the workflow."""
    path = folder / "config.yaml"
    with atomic(path) as partial:
        partial.write_text(yaml.safe_dump(dict(config), sort_keys=False), encoding="utf-8")
    target = paths.at(config["results_dir"], paths.SCORES)
    command = ["snakemake", "--cores", str(cores), "--quiet", "rules", "--configfile", str(path), "--", target]
    subprocess.run([sys.executable, "-m", *command], cwd=ROOT, check=True)


def read_corpus(results: Path) -> Corpus:
    """Folds and labels that the workflow made."""
    folds = pd.read_parquet(results / paths.FOLDS)
    folds = folds[folds["task"] == "expr"]
    parts = [
        tuple(own.loc[own["partition"] == partition, "trial"].tolist() for partition in ("train", "validation"))
        for _, own in folds.groupby("fold")
    ]
    values = {}
    for task, columns in (("expr", ["expression"]), ("va", list(VALENCE_AROUSAL))):
        table = pd.read_parquet(results / paths.at("", paths.LABELS, task=task).lstrip("/"))
        known = table[columns].astype(float).where(table["valid"])
        values[task] = {name: known.loc[rows].to_numpy() for name, rows in table.groupby("trial").groups.items()}
    return Corpus(parts, {name: own[:, 0] for name, own in values["expr"].items()}, values["va"])


def plain_row(name: str, corpus: Corpus, inputs: Inputs, classifier: Any, regressor: Any) -> Row:
    """A plain model: trained on the training trials of each fold and asked for the held-out ones.

    Args:
        name: Name of the row.
        corpus: Folds and labels.
        inputs: See :data:`Inputs`; where they are rows of whole trials, a trial has the label of its first frame.
        classifier: Of scikit-learn, for the expression; it is fitted anew for each fold.
        regressor: Likewise, for valence and arousal.
    """
    known = {trial: inputs(trial) for fold in corpus.folds for part in fold for trial in part}
    expression, affect = {}, {}
    for train, held_out in corpus.folds:
        x = np.concatenate([known[trial] for trial in train])
        classes, values = (
            np.concatenate([labels[trial][: len(known[trial])] for trial in train])
            for labels in (corpus.expression, corpus.affect)
        )
        labelled = ~np.isnan(classes) & ~np.isnan(values).any(axis=1)
        classifier.fit(x[labelled], classes[labelled])
        regressor.fit(x[labelled], values[labelled])
        for trial in held_out:
            count = len(corpus.expression[trial]) // len(known[trial])
            expression[trial] = np.repeat(classifier.predict(known[trial]), count)
            affect[trial] = np.repeat(regressor.predict(known[trial]), count, axis=0)
    return Row(name, expression, affect)


def standardised(model: Any) -> Any:
    """``model`` on standardised, limited inputs."""
    return make_pipeline(StandardScaler(), FunctionTransformer(limited), model)


def limited(x: np.ndarray) -> np.ndarray:
    return np.clip(x, -LIMIT, LIMIT)


def majority(corpus: Corpus) -> Row:
    """The most frequent class and the mean of the training trials."""
    return plain_row(
        "majority class, mean", corpus, lambda trial: np.zeros((1, 1)), DummyClassifier(), DummyRegressor()
    )


def linear(name: str, corpus: Corpus, inputs: Inputs) -> Row:
    """A linear support vector machine, and ridge regression."""
    svm = LinearSVC(C=0.01, dual="auto", random_state=0)
    return plain_row(name, corpus, inputs, standardised(svm), standardised(Ridge(10.0)))


def radial(name: str, corpus: Corpus, inputs: Inputs) -> Row:
    """A support vector machine with radial basis functions, and ridge regression."""
    return plain_row(name, corpus, inputs, standardised(SVC()), standardised(Ridge(10.0)))


def system_rows(results: Path) -> Iterator[Row]:
    """Every variant that was trained; targets that share the tasks between them are one row."""
    found: dict[str, dict[str, dict[str, np.ndarray]]] = {}
    for path in sorted((results / "predictions").glob("*/*/*/fold*/validation.parquet")):
        system, variant, *_ = path.relative_to(results / "predictions").parts
        table = pd.read_parquet(path)
        for task, columns in TASKS.items():
            if set(columns) <= set(table):
                values = found.setdefault(f"{system} {variant}", {}).setdefault(task, {})
                values |= {name: own[list(columns)].to_numpy() for name, own in table.groupby("trial", sort=False)}
    for name, values in found.items():
        classes = {trial: own.argmax(axis=1) for trial, own in values["expr"].items()} if "expr" in values else None
        yield Row(name, classes, values.get("va"))


def last_epochs(results: Path) -> dict[str, dict[str, float]]:
    """Figures of the last epoch by variant, mean of the folds: those of the best epoch were selected on what they are scored on."""
    columns = {"val_expr_f1": FIGURES[0], "val_ccc_valence": FIGURES[1], "val_ccc_arousal": FIGURES[2]}
    found: dict[str, list[pd.Series]] = {}
    for path in sorted((results / "runs").glob("*/*/*/fold*/history.csv")):
        system, variant, *_ = path.relative_to(results / "runs").parts
        found.setdefault(f"{system} {variant}", []).append(pd.read_csv(path, comment="#").iloc[-1])
    means = {name: pd.DataFrame(rows).rename(columns=columns).mean(numeric_only=True) for name, rows in found.items()}
    return {name: {key: float(own[key]) for key in FIGURES if key in own} for name, own in means.items()}


def figures(row: Row, corpus: Corpus, unit_of: UnitOf) -> dict[str, tuple[float, float, float]]:
    """Each figure of a row with both ends of its interval."""
    return {name: _interval(values) for name, values in _drawn(row, corpus, unit_of).items()}


def differences(one: Row, other: Row, corpus: Corpus, unit_of: UnitOf) -> dict[str, tuple[float, float, float]]:
    """By how much ``one`` is above ``other`` in each figure that both have, with both ends of the interval: both are scored on the same
    draws, so what makes a unit hard for both cancels out."""
    first, second = (_drawn(row, corpus, unit_of) for row in (one, other))
    return {name: _interval(first[name] - second[name]) for name in FIGURES if name in first and name in second}


def _drawn(row: Row, corpus: Corpus, unit_of: UnitOf) -> dict[str, np.ndarray]:
    """Each figure of a row: over all frames, then over each draw of units."""
    held_out = [trial for _, part in corpus.folds for trial in part]
    lengths = [len(corpus.expression[trial]) for trial in held_out]
    names = np.repeat([unit_of(trial) for trial in held_out], lengths) if unit_of else np.arange(sum(lengths))
    units = np.unique(names, return_inverse=True)[1]
    rng = np.random.default_rng(0)
    drawn = rng.multinomial(units.max() + 1, np.full(units.max() + 1, 1 / (units.max() + 1)), RESAMPLES)
    weights = np.vstack([np.ones_like(drawn[:1]), drawn]).astype(float)[:, units]  # the first: every frame once
    found = {}
    if row.expression is not None:
        truth, guess = (
            np.concatenate([part[trial] for trial in held_out]) for part in (corpus.expression, row.expression)
        )
        found[FIGURES[0]] = macro_f1(truth, guess, weights)
    if row.affect is not None:
        truth, guess = (np.concatenate([part[trial] for trial in held_out]) for part in (corpus.affect, row.affect))
        for column, name in enumerate(FIGURES[1:]):
            found[name] = concordance(truth[:, column], guess[:, column], weights)
    return found


def macro_f1(truth: np.ndarray, guess: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Macro F1 (R,) of classes (N,) over the seven expressions by weights (R, N); frames without truth do not count."""
    scores = []
    for number in range(len(EXPRESSIONS7)):
        is_so, said = (truth == number), (guess == number) & ~np.isnan(truth)
        both = weights @ (is_so & said)
        scores.append(2 * both / np.maximum(weights @ is_so + weights @ said, 1))
    return np.mean(scores, axis=0)


def concordance(truth: np.ndarray, guess: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """CCC (R,) of values (N,) by weights (R, N); frames that lack one of both do not count."""
    known = ~np.isnan(truth) & ~np.isnan(guess)
    t, p, w = truth[known], guess[known], weights[:, known]
    n = w.sum(axis=1)
    mean_t, mean_p = w @ t / n, w @ p / n
    covariance = w @ (t * p) / n - mean_t * mean_p
    spread = w @ t**2 / n - mean_t**2 + w @ p**2 / n - mean_p**2 + (mean_t - mean_p) ** 2
    return 2 * covariance / np.maximum(spread, 1e-12)


def _interval(values: np.ndarray) -> tuple[float, float, float]:
    low, high = np.percentile(values[1:], [2.5, 97.5])
    return float(values[0]), float(low), float(high)


def write_figures(rows: Sequence[Row], corpus: Corpus, folder: Path, unit_of: UnitOf, last: Mapping[str, Any]) -> str:
    """Write ``folder``/figures.csv and figures.md, whose text is returned.

    ``last``: see :func:`last_epochs`; plain models select nothing, so theirs are the same figures.
    """
    found = {row.name: figures(row, corpus, unit_of) for row in rows}
    with atomic(folder / "figures.csv") as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["model", "figure", "value", "low", "high", "last_epoch"])
        for name, own in found.items():
            for figure, values in own.items():
                writer.writerow(
                    [name, figure, *(f"{value:.4f}" for value in values), last.get(name, {}).get(figure, "")]
                )
    lines = ["| | " + " | ".join(FIGURES) + " | last epoch |", "|---|" + "---|" * (len(FIGURES) + 1)]
    for name, own in found.items():
        cells = ["{:.2f} ({:.2f} to {:.2f})".format(*own[figure]) if figure in own else "" for figure in FIGURES]
        ends = ", ".join(f"{last[name][figure]:.2f}" for figure in FIGURES if figure in last.get(name, {}))
        lines.append(f"| {name} | {' | '.join(cells)} | {ends} |")
    text = "\n".join(lines) + "\n"
    with atomic(folder / "figures.md") as partial:
        partial.write_text(text, encoding="utf-8")
    return text


def write_differences(one: Row, others: Sequence[Row], corpus: Corpus, folder: Path, unit_of: UnitOf) -> str:
    """Write ``folder``/differences.md, whose text is returned: by how much ``one`` is above each of ``others``."""
    lines = [f"| {one.name}, above | " + " | ".join(FIGURES) + " |", "|---|" + "---|" * len(FIGURES)]
    for other in others:
        found = differences(one, other, corpus, unit_of)
        cells = ["{:+.2f} ({:+.2f} to {:+.2f})".format(*found[name]) if name in found else "" for name in FIGURES]
        lines.append(f"| {other.name} | {' | '.join(cells)} |")
    text = "\n".join(lines) + "\n"
    with atomic(folder / "differences.md") as partial:
        partial.write_text(text, encoding="utf-8")
    return text
