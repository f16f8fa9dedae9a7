"""The dictionary of the tables: what each column means, its unit and range, and how a missing value is written."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from wildaffect.corpus.label_spaces import EXPRESSIONS8, VALENCE_AROUSAL
from wildaffect.faces.quality import REASONS
from wildaffect.files import atomic

EMPTY, NEVER = "empty cell", "never missing"


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes:
        name: As in the header.
        meaning: In words.
        unit: Empty for names and numbers of things.
        range: Values that occur.
        missing: How a missing value is written.
    """

    name: str
    meaning: str
    unit: str = ""
    range: str = ""
    missing: str = NEVER


TRIAL = (
    Column("trial", "one person in one video"),
    Column("video", "name of the video, without folder and ending"),
    Column("person", "the subject that the table of trials names, else the trial: rows with one value are one person"),
)
TIME = (
    Column("frame", "number of the decoded frame", range="0, 1, 2, …"),
    Column("time_s", "when the frame is shown", "seconds from frame 0", ">= 0"),
    Column("duration_s", "how long it is shown", "seconds", "> 0"),
)
SOURCE = Column(
    "source",
    "where the values come from: model, interpolated between predicted frames, no_face (then they are missing), or several "
    "of them for values of several systems",
)
FACE = (
    Column(
        "face",
        "where the face comes from: detected, interpolated between detections, held (a repeated detection), none",
    ),
    Column(
        "yaw", "turn of the head; positive: the nose points to the right of the image", "degrees", "-180 to 180", EMPTY
    ),
    Column("pitch", "nod of the head; positive: the nose points up", "degrees", "-90 to 90", EMPTY),
    Column("roll", "lean of the head; positive: to the right of the image", "degrees", "-180 to 180", EMPTY),
    Column("face_px", "size of the face: root of the area of its box", "pixels of the video", "> 0", EMPTY),
    Column(
        "sharpness", "variance of the Laplacian of the grey levels of the face, scaled to 112 pixels", "", ">= 0", EMPTY
    ),
    Column("brightness", "mean grey level of the face", "", "0 (black) to 255 (white)", EMPTY),
)
SPEECH = (
    Column("speech_probability", "probability that somebody speaks, whoever it is", "", "0 to 1", EMPTY),
    Column("speech", "whether the frame lies in a turn of speech", "", "0, 1", EMPTY),
)
TRUST = (
    Column("trusted", "whether the frame counts in the summaries, by the rule above", "", "0, 1"),
    Column("distrust", f"why it does not: {', '.join(REASONS)}", missing="empty cell where it is trusted"),
)
SEGMENT = (
    Column("kind", "window (of fixed length), speech (a turn), given (by the user's table)"),
    Column("segment", "number of the segment among those of its kind in the trial", range="0, 1, 2, …"),
    Column("label", "the user's word for it", missing=EMPTY),
    Column("start_s", "begin, included", "seconds from frame 0", ">= 0"),
    Column("end_s", "end, not included", "seconds from frame 0", "> 0"),
)
COUNTS = (
    Column("frames", "frames in the stretch", range=">= 0"),
    Column("seconds", "how long these are shown", "seconds", ">= 0"),
    Column("faces", "frames with a face: source of the face is not none", range=">= 0"),
    Column("coverage", "faces / frames", "", "0 to 1", "empty cell where there is no frame"),
    Column("trusted_frames", "frames that are trusted", range=">= 0"),
    Column("trusted_s", "how long these are shown", "seconds", ">= 0"),
    *(Column(f"frames_{name}", f"frames that are not trusted because: {name}", range=">= 0") for name in REASONS),
)
SPOKEN = Column("speech_s", "seconds within turns of speech, whoever speaks", "seconds", ">= 0", EMPTY)


def value_column(name: str, column: str, origin: str) -> Column:
    """A predicted value.

    Args:
        name: In the header.
        column: What is predicted.
        origin: System, variant and target that it comes from.
    """
    if column in VALENCE_AROUSAL:
        return Column(name, f"{column}, predicted by {origin}", "", "about -1 to 1", EMPTY)
    if column in EXPRESSIONS8 or not column.startswith("AU"):
        return Column(
            name,
            f"score of the expression {column} by {origin}: a probability, or what the system gives",
            "",
            "",
            EMPTY,
        )
    return Column(name, f"score of the action unit {column} by {origin}; active above 0.5", "", "", EMPTY)


def summary_columns(
    names: Sequence[str], thresholds: Mapping[str, Sequence[float]], quantiles: Sequence[float]
) -> list[Column]:
    """Columns that summarise values over the trusted frames of a stretch.

    Args:
        names: Value columns.
        thresholds: Of each value.
        quantiles: Fractions in (0, 1).
    """
    found = []
    few = "empty cell where no trusted frame has a value"
    for name in names:
        found += [
            Column(f"{name}_n", f"trusted frames with a value of {name}", range=">= 0"),
            Column(f"{name}_mean", f"mean of {name}", missing=few),
            Column(
                f"{name}_sd",
                f"standard deviation of {name} (n - 1)",
                range=">= 0",
                missing="empty cell below two values",
            ),
        ]
        found += [
            Column(quantile_name(name, q), f"{q:g} quantile of {name}, interpolated", missing=few) for q in quantiles
        ]
        found += [
            Column(above_name(name, limit), f"how long {name} is above {limit:g}, in trusted frames", "seconds", ">= 0")
            for limit in thresholds.get(name, ())
        ]
    return found


def quantile_name(name: str, quantile: float) -> str:
    """Column of a quantile.

    >>> quantile_name("valence", 0.05)
    'valence_q05'
    """
    return f"{name}_q{round(100 * quantile):02d}"


def above_name(name: str, limit: float) -> str:
    """Column of a time above a limit.

    >>> above_name("valence", 0.25)
    'valence_above_0.25_s'
    """
    return f"{name}_above_{limit:g}_s"


def write_dictionary(text: Path, data: Path, tables: Mapping[str, Iterable[Column]], remarks: Sequence[str]) -> None:
    """Write the dictionary for people (Markdown) and for programs (JSON).

    Args:
        text: Markdown file.
        data: JSON file: ``tables`` with a list of columns each, and ``remarks``.
        tables: Columns of each table.
        remarks: What holds for all, a sentence each.
    """
    tables = {name: list(columns) for name, columns in tables.items()}
    lines = ["# Columns of the tables", "", *remarks]
    for name, columns in tables.items():
        lines += ["", f"## {name}", "", "| column | meaning | unit | range | missing |", "|---|---|---|---|---|"]
        lines += [f"| {' | '.join(map(_cell, asdict(column).values()))} |" for column in columns]
    with atomic(text) as partial:
        partial.write_text("\n".join(lines) + "\n", encoding="utf-8")
    listed = {name: [asdict(column) for column in columns] for name, columns in tables.items()}
    with atomic(data) as partial:
        partial.write_text(
            json.dumps({"tables": listed, "remarks": list(remarks)}, indent=1, ensure_ascii=False) + "\n",
            encoding="utf-8",
        )


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("_", "\\_")
