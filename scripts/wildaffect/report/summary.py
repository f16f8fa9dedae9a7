"""The score table as plain text."""

from pathlib import Path

from wildaffect.report.scores import CROSS_VALIDATION, ENSEMBLE, ScoreRow, ScoreTable, read_scores, score_tables
from wildaffect.scoring.editions import editions

UNDEFINED = "–"


def score_lines(scores_csv: Path) -> str:
    """The ranked scores of ``scores_csv`` as a text table for the terminal; every metric where none is ranked."""
    tables = score_tables(read_scores(scores_csv), editions())
    if not tables:
        return "No scores: no labelled frames to compare with."
    shown = [table for table in tables if table.ranked] or tables
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
            *(number(row.values.get(fold)) for fold in table.folds),
            *([mean_and_deviation(row)] if spread else []),
            *(number(row.values.get(name)) for name in extra),
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
