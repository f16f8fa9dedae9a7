"""What subjects, groups and conditions have in common: values and scores of their trials."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from wildaffect.corpus.label_spaces import VALENCE_AROUSAL
from wildaffect.faces.tables import NONE
from wildaffect.report.scores import mean_of, read_trial_scores, trial_metrics


def breakdowns(
    groupings: Mapping[str, Mapping[str, str]],
    media: Sequence[Mapping[str, Any]],
    summaries: Mapping[str, Mapping[str, Any]],
    trial_scores: Path | None,
) -> list[dict[str, Any]]:
    """Tables of the trials by each column that divides them.

    Args:
        groupings: Columns of the table of trials, such as `subject`: value by trial that has one.
        media: Rows of the table of media.
        summaries: What is said of each trial, see `wildaffect.report.viewer.summary`; may lack some.
        trial_scores: Scores per trial, None where nothing was scored.

    Returns:
        Dicts with `name` (of the column), `rows` (a group each), `metrics`, and `scores` (a group and series each, values are means over
        trials); only for columns with at least two groups among the trials.
    """
    metrics = trial_metrics(trial_scores) if trial_scores else []
    scored = read_trial_scores(trial_scores, metrics) if trial_scores else {}
    found = []
    for name, group_of in groupings.items():
        trials = {row["trial"]: row for row in media if row["trial"] in group_of}
        groups = sorted({group_of[trial] for trial in trials})
        if len(groups) > 1:
            members = {group: [trial for trial in trials if group_of[trial] == group] for group in groups}
            rows = [_values(group, [trials[trial] for trial in members[group]], summaries) for group in groups]
            scores = [row for group in groups for row in _scores(group, members[group], scored, metrics)]
            found.append({"name": name, "rows": rows, "metrics": metrics, "scores": scores})
    return found


def _values(
    group: str, rows: Sequence[Mapping[str, Any]], summaries: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """Counts of a group, and means over its trials of their mean values."""
    known = [row for row in rows if row["media"]]
    frames = sum(row["media"]["frames"] for row in known)
    faces = [row["faces"] for row in rows if row["faces"]]
    shown = sum(sum(each.values()) for each in faces)
    found = {
        "group": group,
        "trials": len(rows),
        "frames": frames,
        "seconds": sum(row["media"]["duration_s"] or 0 for row in known),
        "face": (shown - sum(each[NONE] for each in faces)) / shown if shown else None,
    }
    for name in VALENCE_AROUSAL:
        said = [summaries[row["trial"]][name] for row in rows if row["trial"] in summaries]
        found[name] = mean_of([each[0] for each in said if each])
    return found


def _scores(
    group: str,
    trials: Sequence[str],
    scored: Mapping[tuple[str, str], Mapping[str, float]],
    metrics: Sequence[str],
) -> list[dict[str, Any]]:
    """A row for each series that has scores in a group."""
    rows = []
    for series in sorted({series for series, trial in scored if trial in trials}):
        values = [scored[series, trial] for trial in trials if (series, trial) in scored]
        means = {name: mean_of([each[name] for each in values if name in each]) for name in metrics}
        rows.append({"group": group, "series": series, "trials": len(values), "values": means})
    return rows
