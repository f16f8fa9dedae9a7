"""The editions of the challenge: tasks, label spaces, formulas and file formats."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

from wildaffect.errors import InputError

RULES = Path(__file__).with_name("editions.yaml")


@dataclass(frozen=True)
class Part:
    """One label space within a task.

    ``kind``: ``values`` (real numbers in [-1, 1]), ``classes`` (one of several) or ``units`` (each on or off). ``names``: the organisers'
    order. ``columns``: the label columns (for classes a single one that holds the class number).
    """

    name: str
    kind: str
    names: tuple[str, ...]
    columns: tuple[str, ...]
    source: str


@dataclass(frozen=True)
class Format:
    """Form of a submission: ``layout`` ``folder`` (a file per trial) or ``list`` (one ``file``, rows begin with a picture's path)."""

    layout: str
    header: str
    file: str | None
    source: str


@dataclass(frozen=True)
class Task:
    """One track of one edition. ``score``: weight of each metric in the ranked score. ``format`` is None where it is not known."""

    edition: str
    name: str
    parts: tuple[Part, ...]
    score: dict[str, float]
    format: Format | None
    source: str

    @property
    def columns(self) -> tuple[str, ...]:
        """All label columns in the organisers' order."""
        return tuple(column for part in self.parts for column in part.columns)


@cache
def editions() -> dict[str, dict[str, Task]]:
    """``{edition: {task name: Task}}``, in order of time."""
    rules = yaml.safe_load(RULES.read_text(encoding="utf-8"))
    spaces = rules["spaces"]
    return {
        edition: {name: _task(edition, name, task, spaces, about["source"]) for name, task in about["tasks"].items()}
        for edition, about in rules["editions"].items()
    }


def edition_tasks(edition: str) -> dict[str, Task]:
    """The tracks of ``edition``; :class:`InputError` with the choices for an unknown one."""
    known = editions()
    if edition not in known:
        raise InputError(f"unknown edition {edition!r}; choose from {', '.join(known)}.")
    return known[edition]


def get_task(edition: str, task: str) -> Task:
    """The rules of one track; :class:`InputError` with the choices for an unknown edition or track."""
    tasks = edition_tasks(edition)
    if task not in tasks:
        raise InputError(f"edition {edition} has no task {task!r}; choose from {', '.join(tasks)}.")
    return tasks[task]


def find_task(edition: str, columns: Sequence[str]) -> Task:
    """The track whose label columns are all in ``columns``, the one with most columns if several; :class:`InputError` if none is."""
    fitting = [task for task in edition_tasks(edition).values() if set(task.columns) <= set(columns)]
    if not fitting:
        raise InputError(f"no task of edition {edition} fits the columns {', '.join(columns)}; name the task.")
    return max(fitting, key=lambda task: len(task.columns))


def _task(edition: str, name: str, rules: dict, spaces: dict, source: str) -> Task:
    parts = tuple(_part(part, spaces[space]) for part, space in rules["parts"].items())
    return Task(edition, name, parts, dict(rules["score"]), _format(rules["format"], parts), source)


def _part(name: str, space: dict) -> Part:
    names = tuple(space["names"])
    return Part(name, space["kind"], names, (space["column"],) if "column" in space else names, space["source"])


def _format(rules: dict | None, parts: tuple[Part, ...]) -> Format | None:
    if rules is None:
        return None
    names = [name for part in parts for name in part.names]
    header = rules.get("header") or ",".join(([rules["first"]] if rules["first"] else []) + names)
    return Format(rules["layout"], header, rules.get("file"), rules["source"])


HEAD = ("edition", "task", "label space", "ranked score", "submission")


def editions_table() -> str:
    """One row per edition and task, as ``wildaffect editions`` prints it and docs/scoring.md shows it."""
    rows = [
        (edition, name, _spaces(task), _formula(task), _form(task))
        for edition, tasks in editions().items()
        for name, task in tasks.items()
    ]
    lines = [HEAD, tuple("---" for _ in HEAD), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _spaces(task: Task) -> str:
    return "; ".join(" ".join(part.names) for part in task.parts)


def _formula(task: Task) -> str:
    return " + ".join(name if weight == 1 else f"{weight:g} {name}" for name, weight in task.score.items())


def _form(task: Task) -> str:
    if task.format is None:
        return "not known"
    return (
        "a file per trial"
        if task.format.layout == "folder"
        else f"one list, header `{task.format.header.split(',')[0]},…`"
    )
