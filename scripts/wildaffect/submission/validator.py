"""Check a submission row by row before it is sent."""

import re
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path

import numpy as np

from wildaffect.errors import InputError
from wildaffect.scoring.editions import edition_tasks, get_task
from wildaffect.scoring.tasks import Part, Task
from wildaffect.submission.expected import Expected, expected_rows, known_format, sample_lines

SHOWN = 20
DECIMAL = re.compile(r"[-+]?[0-9]+(\.[0-9]+)?")
EXPONENT = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)[eE][-+]?[0-9]+")


def validate(
    path: Path, sample: Path | None, edition: str, task: str | None = None, *, frames: Mapping[str, int] | None = None
) -> list[str]:
    """Check a submission row by row.

    Args:
        path: Folder, or file for list formats.
        sample: The organisers' sample, with which rows are compared.
        edition: Name of the edition.
        task: Name of the task; without it the header of the sample decides.
        frames: Number of frames by trial, as for `wildaffect.submission.expected.expected_rows`.

    Returns:
        What is wrong, at most 20 messages per file and a count of the rest; empty if nothing is.

    Raises:
        InputError: For a bad sample or an unknown edition, never for a bad submission.
    """
    path = Path(path)
    rules = get_task(edition, task) if task else _task_of_sample(edition, sample)
    form, expected = known_format(rules), expected_rows(rules, sample, frames)
    try:
        if not path.exists():
            return [f"{path}: does not exist"]
        entries = sorted(path.iterdir()) if path.is_dir() else None
    except OSError as error:
        return [f"{path}: cannot be read ({error.strerror})"]
    if form.layout == "folder":
        return _check_folder(path, entries, rules, expected)
    if entries is not None:
        if len(entries) != 1 or not entries[0].is_file():
            return [f"{path}: expected exactly one file, found {len(entries)} entries"]
        path = entries[0]
    return _check_list(path, rules, expected)


def _task_of_sample(edition: str, sample: Path | None) -> Task:
    if sample is None:
        raise InputError("without a sample the task must be named.")
    sample = Path(sample)
    file = next(iter(sorted(sample.glob("*.txt"))), None) if sample.is_dir() else sample
    header = sample_lines(file)[:1] if file else []
    for task in edition_tasks(edition).values():
        if task.format and header and header[0].rstrip(",") == task.format.header:
            return task
    raise InputError(f"{sample}: no task of edition {edition} has this header; name the task.")


def _check_folder(path: Path, entries: list[Path] | None, task: Task, expected: Expected) -> list[str]:
    if entries is None:
        return [f"{path}: expected a folder with one .txt file per trial"]
    names = {entry.name for entry in entries}
    wanted = {f"{name}.txt" for name in expected.trials}
    problems = [f"{name}: file is missing" for name in sorted(wanted - names)]
    problems += [f"{name}: is not a file of this submission" for name in sorted(names - wanted)]
    counts = np.bincount(expected.trial, minlength=len(expected.trials))
    for name, count in zip(expected.trials, counts.tolist(), strict=True):
        if f"{name}.txt" in names:
            problems += _limited(f"{name}.txt", _folder_file_problems(path / f"{name}.txt", task, count))
    return problems


def _check_list(path: Path, task: Task, expected: Expected) -> list[str]:
    lines, problems = _read(path)
    if lines is None:
        return _limited(path.name, iter(problems))
    rows = [line.partition(",") for line in lines[1:]]
    found = [location for location, _, _ in rows]
    problems += _header_problems(lines, known_format(task).header) + _order_problems(found, expected)
    values = (f"line {number}: {why}" for number, row in enumerate(rows, 2) if (why := _row_problem(row[2], task)))
    return _limited(path.name, chain(problems, values))


def _folder_file_problems(file: Path, task: Task, count: int) -> Iterator[str]:
    lines, problems = _read(file)
    yield from problems
    if lines is None:
        return
    yield from _header_problems(lines, known_format(task).header)
    if len(lines) - 1 != count:
        yield f"{len(lines) - 1} rows, expected {count}"
    for number, line in enumerate(lines[1:], 2):
        if why := _row_problem(line, task):
            yield f"line {number}: {why}"


def _read(file: Path) -> tuple[list[str] | None, list[str]]:
    """Read lines, and find what is wrong with the bytes; no lines if the file is no text."""
    try:
        if not file.is_file():
            return None, ["cannot be read (not a file)"]
        data = file.read_bytes()
    except OSError as error:
        return None, [f"cannot be read ({error.strerror})"]
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        return None, [f"byte {error.start} is not UTF-8"]
    problems = []
    if text.startswith("\ufeff"):
        text = text.removeprefix("\ufeff")
        problems.append("starts with a byte-order mark")
    if "\r" in text:
        text = text.replace("\r\n", "\n")
        problems.append("has carriage returns; lines must end with a line feed alone")
    if not text.endswith("\n"):
        text += "\n"
        problems.append("the last line has no line end")
    return text.split("\n")[:-1], problems


def _header_problems(lines: list[str], header: str) -> list[str]:
    return [] if lines[0] == header else [f"line 1: header is {_short(lines[0])}, expected {header!r}"]


def _order_problems(found: list[str], sample: Expected) -> list[str]:
    """Find how the rows' paths differ from the sample's."""
    problems, expected = [], sample.locations
    if len(found) != len(expected):
        problems.append(f"{len(found)} rows, expected {len(expected)}")
    have, want = set(found), set(expected)
    present = {location.partition("/")[0] for location in have}
    problems += [
        f"trial {name!r} is missing, {sample.count(name)} rows" for name in sample.trials if name not in present
    ]
    for what, names in (("missing", want - have), ("not in the sample", have - want)):
        if names:
            problems.append(f"{len(names)} images {what}, first {_short(min(names))}")
    if len(have) < len(found):
        problems.append(f"{len(found) - len(have)} rows repeat an image")
    wrong = next((i for i, (a, b) in enumerate(zip(found, expected, strict=False)) if a != b), None)
    if wrong is not None:
        problems.append(f"line {wrong + 2}: image {_short(found[wrong])} where the sample has {expected[wrong]!r}")
    return problems


def _row_problem(text: str, task: Task) -> str:
    """Find what is wrong with the values of one row; empty if nothing is."""
    fields = text.split(",") if text else []
    if len(fields) != len(task.columns):
        return f"{len(fields)} values, expected {len(task.columns)}"
    at = 0
    for part in task.parts:
        for name in part.columns:
            if why := _field_problem(fields[at], part):
                return f"{name} {why}"
            at += 1
    return ""


def _field_problem(field: str, part: Part) -> str:
    if part.kind != "values":
        highest = len(part.names) - 1 if part.kind == "classes" else 1
        return (
            ""
            if re.fullmatch(r"[0-9]|[1-9][0-9]", field) and int(field) <= highest
            else f"is {_short(field)}, expected 0 to {highest}"
        )
    if DECIMAL.fullmatch(field):
        return "" if -1 <= float(field) <= 1 else f"is {_short(field)}, outside [-1, 1]"
    if field.strip().lstrip("+-").lower() in ("nan", "inf", "infinity", ""):
        return f"is {_short(field)}, not a number"
    if EXPONENT.fullmatch(field):
        return f"is {_short(field)}: written with an exponent, use plain decimals"
    return f"is {_short(field)}, not a plain decimal number"


def _short(text: str) -> str:
    """Quote a text, at most 80 characters of it."""
    return repr(text if len(text) <= 80 else f"{text[:77]}...")


def _limited(name: str, problems: Iterator[str]) -> list[str]:
    """The first messages with the file's name before them, and how many more there are."""
    every = [f"{name}: {problem}" for problem in problems]
    return every if len(every) <= SHOWN else [*every[:SHOWN], f"{name}: and {len(every) - SHOWN} more"]
