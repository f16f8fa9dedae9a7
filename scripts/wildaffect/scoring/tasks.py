"""What a track of an edition asks for: label spaces, ranked score, form of a submission. Plain values that jobs are given."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Part:
    """One label space within a task.

    Attributes:
        name: ``va``, ``expr``, ``au``, ``compound``, ``emi`` or ``ah``; label tables are found by it.
        kind: ``values`` (real numbers in [-1, 1]), ``intensities`` (in [0, 1]), ``classes`` (one of several) or ``units`` (each on or off).
        names: In the organisers' order.
        columns: The label columns; for classes a single one that holds the class number.
        source: Where this was read.
    """

    name: str
    kind: str
    names: tuple[str, ...]
    columns: tuple[str, ...]
    source: str = field(default="", compare=False)

    @property
    def real(self) -> bool:
        """Whether the values are real numbers, not decisions."""
        return self.kind in ("values", "intensities")


@dataclass(frozen=True)
class Format:
    """Form of a submission.

    Attributes:
        layout: ``folder`` (a file per trial) or ``list`` (one file, rows begin with an image's path).
        header: First line of each file.
        file: Name of the one file.
        source: Where this was read.
    """

    layout: str
    header: str
    file: str | None
    source: str = field(default="", compare=False)


@dataclass(frozen=True)
class Task:
    """One track of one edition.

    Attributes:
        edition: Name of the edition.
        name: ``va``, ``expr``, ``au``, ``mtl``, ``compound``, ``emi``, ``ah`` or ``ah_frames``.
        parts: The label spaces that are predicted together.
        score: Weight of each metric in the ranked score.
        format: None where it is not known.
        unit: What a row of predictions and labels stands for, a frame or a whole video.
        unconfirmed: What of these rules no official text was found for; empty if nothing.
        source: Where this was read.
    """

    edition: str
    name: str
    parts: tuple[Part, ...]
    score: dict[str, float]
    format: Format | None
    unit: str = "frame"
    unconfirmed: str = ""
    source: str = field(default="", compare=False)

    @property
    def columns(self) -> tuple[str, ...]:
        """All label columns in the organisers' order."""
        return tuple(column for part in self.parts for column in part.columns)

    @property
    def formula(self) -> str:
        """The ranked score in words."""
        return " + ".join(f"{weight:g} {metric}" for metric, weight in self.score.items())


Tracks = Mapping[str, Mapping[str, Task]]
"""Tracks by edition and name."""


def task_value(task: Task) -> dict[str, Any]:
    """The track as plain values, without the sources: what a result depends on."""
    return _without_sources(asdict(task))


def task_of(value: Mapping[str, Any]) -> Task:
    """The inverse of `task_value`."""
    parts = tuple(
        Part(part["name"], part["kind"], tuple(part["names"]), tuple(part["columns"])) for part in value["parts"]
    )
    form = value["format"] and Format(**value["format"])
    names = ("edition", "name", "unit", "unconfirmed")
    return Task(parts=parts, score=dict(value["score"]), format=form, **{name: value[name] for name in names})


def tracks_of(values: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> dict[str, dict[str, Task]]:
    """Tracks by edition and name from their plain values."""
    return {edition: {name: task_of(value) for name, value in tasks.items()} for edition, tasks in values.items()}


def _without_sources(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_sources(item) for key, item in value.items() if key != "source"}
    return [_without_sources(item) for item in value] if isinstance(value, list | tuple) else value
