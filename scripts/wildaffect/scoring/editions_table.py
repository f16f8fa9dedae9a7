"""The rules of all editions as a Markdown table, for people."""

from wildaffect.scoring.editions import Task, editions

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
