"""The editions of the challenge, one YAML file each in this folder, found by being there; nothing else lists them.

A file ``<edition>.yaml`` says for each task which label spaces it has (a key of `SPACES`, or ``kind``, ``names`` and ``column``
written out), the weights of the ranked score, and the form of a submission (null where it is not known). ``unit: video`` marks tasks with
a row per video. ``source`` says where a rule was read; "convention" marks a name, and ``unconfirmed`` a rule, that no official text was
found for. Jobs get the rules they use by value, so that another edition, or another
source, reruns nothing.
"""

import re
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from wildaffect.corpus.label_spaces import AU8, AU12, EXPRESSIONS7, EXPRESSIONS8, VALENCE_AROUSAL
from wildaffect.errors import InputError
from wildaffect.files import read_yaml
from wildaffect.scoring.tasks import Format, Part, Task, task_value

FOLDER = Path(__file__).parent

# A label outside the range is no label (the files write -5 or -1); a unit is masked for itself alone.
SPACES: dict[str, dict[str, Any]] = {
    "va": {
        "kind": "values",
        "names": VALENCE_AROUSAL,
        "source": 'headers of the annotation files; "outside [-1, 1]" from the challenge texts',
    },
    "expr7": {
        "kind": "classes",
        "column": "expression",
        "names": EXPRESSIONS7,
        "source": "headers of the 2020 and 2021 annotation files",
    },
    "expr8": {
        "kind": "classes",
        "column": "expression",
        "names": EXPRESSIONS8,
        "source": "headers of the annotation files since 2022",
    },
    "au8": {
        "kind": "units",
        "names": AU8,
        "source": "headers of the 2020 annotation files; masks per unit as in the organisers' 2024 evaluation code",
    },
    "au12": {
        "kind": "units",
        "names": AU12,
        "source": "headers of the annotation files since 2021; masks per unit as in the organisers' 2024 evaluation code",
    },
    "compound": {
        "kind": "classes",
        "column": "compound",
        "names": (
            "Fearfully_Surprised",
            "Happily_Surprised",
            "Sadly_Surprised",
            "Disgustedly_Surprised",
            "Angrily_Surprised",
            "Sadly_Fearful",
            "Sadly_Angry",
        ),
        "source": "header of the organisers' sample file (6th and 7th)",
    },
    "emi": {
        "kind": "intensities",
        "names": ("Admiration", "Amusement", "Determination", "Empathic_Pain", "Excitement", "Joy"),
        "source": "arXiv 2402.19344 names them; spelling of the columns by convention",
    },
    "ah": {
        "kind": "classes",
        "column": "ambivalence_hesitancy",
        "names": ("Absent", "Present"),
        "source": "challenge page of the 10th edition: two classes; their spelling by convention",
    },
}


def names() -> list[str]:
    """Names of all editions, in order of time."""
    return list(editions())


@cache
def editions() -> dict[str, dict[str, Task]]:
    """``{edition: {task name: Task}}``, in order of time; `InputError` for a file that does not describe one."""
    return {path.stem: _read(path) for path in sorted(FOLDER.glob("*.yaml"), key=_number)}


def edition_tasks(edition: str) -> dict[str, Task]:
    """The tracks of ``edition``; `InputError` with the choices for an unknown one."""
    known = editions()
    if edition not in known:
        raise InputError(f"unknown edition {edition!r}; choose from {', '.join(known)}.")
    return known[edition]


def tracks(wanted: Iterable[str]) -> dict[str, dict[str, Task]]:
    """The tracks of several editions."""
    return {edition: edition_tasks(edition) for edition in wanted}


def values(wanted: Iterable[str]) -> dict[str, dict[str, dict[str, Any]]]:
    """The same as plain values, as jobs get them (`wildaffect.scoring.tasks.tracks_of`)."""
    return {
        edition: {name: task_value(task) for name, task in tasks.items()} for edition, tasks in tracks(wanted).items()
    }


def get_task(edition: str, task: str) -> Task:
    """The rules of one track; `InputError` with the choices for an unknown edition or track."""
    tasks = edition_tasks(edition)
    if task not in tasks:
        raise InputError(f"edition {edition} has no task {task!r}; choose from {', '.join(tasks)}.")
    return tasks[task]


def find_task(edition: str, columns: Sequence[str]) -> Task:
    """The track whose label columns are all in ``columns``, the one with most columns if several; `InputError` if none is."""
    fitting = [task for task in edition_tasks(edition).values() if set(task.columns) <= set(columns)]
    if not fitting:
        raise InputError(f"no task of edition {edition} fits the columns {', '.join(columns)}; name the task.")
    return max(fitting, key=lambda task: len(task.columns))


HEAD = ("edition", "task", "label space", "ranked score", "a row for each", "submission", "not confirmed", "source")


def editions_table() -> str:
    """One row per edition and task, as ``wildaffect editions`` prints it and docs/scoring.md shows it."""
    rows = [
        (edition, name, _spaces(task), _formula(task), task.unit, _form(task), task.unconfirmed, task.source)
        for edition, tasks in editions().items()
        for name, task in tasks.items()
    ]
    lines = [HEAD, tuple("---" for _ in HEAD), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _number(path: Path) -> list[int | str]:
    """Sort key by which abaw10 follows abaw9."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", path.stem)]


def _read(path: Path) -> dict[str, Task]:
    content = read_yaml(path)
    try:
        source, tasks = content["source"], content["tasks"]
        return {name: _task(path.stem, name, task, source) for name, task in tasks.items()}
    except (AttributeError, KeyError, TypeError) as error:
        raise InputError(
            f"{path}: not an edition ({error!r}). It needs a source and tasks, a task parts, score and format; label spaces are "
            f"{', '.join(SPACES)}."
        ) from error


def _task(edition: str, name: str, task: dict, source: str) -> Task:
    parts = tuple(
        _part(part, SPACES[space] if isinstance(space, str) else space) for part, space in task["parts"].items()
    )
    form, more = _format(task["format"], parts), {key: task[key] for key in ("unit", "unconfirmed") if key in task}
    return Task(edition, name, parts, dict(task["score"]), form, source=source, **more)


def _part(name: str, space: dict) -> Part:
    spelled = tuple(space["names"])
    return Part(name, space["kind"], spelled, (space["column"],) if "column" in space else spelled, space["source"])


def _format(form: dict | None, parts: tuple[Part, ...]) -> Format | None:
    if form is None:
        return None
    fields = [form["first"]] if form["first"] else []
    header = form.get("header") or ",".join(fields + [name for part in parts for name in part.names])
    return Format(form["layout"], header, form.get("file"), form["source"])


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
