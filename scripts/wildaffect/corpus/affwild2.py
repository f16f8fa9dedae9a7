"""The Aff-Wild2 layout: annotation folders of every edition, media anywhere below the root.

Annotation folders and partitions have changed their names between editions; letter case varies between releases. Sources: the
challenge pages of ABAW 1-8 and the data sets' own folder names.
"""

import re
import unicodedata
from collections.abc import Collection
from pathlib import Path

from wildaffect.corpus.folder import find_videos, printable, video_name, walk_files
from wildaffect.corpus.trials import Corpus, Finding, Trial, split_person
from wildaffect.errors import InputError

TASK_FOLDERS = {
    "va": re.compile(r"va_set|va_estimation_challenge", re.IGNORECASE),
    "expr": re.compile(r"expr_set|expr_\w+_challenge", re.IGNORECASE),
    "au": re.compile(r"au_set|au_detection_challenge", re.IGNORECASE),
}
PARTITION_FOLDERS = {
    "train": re.compile(r"train(ing)?_set", re.IGNORECASE),
    "validation": re.compile(r"validation_set", re.IGNORECASE),
    "test": re.compile(r"test_set", re.IGNORECASE),
}
TEST_LISTS = {
    "va": re.compile(r"(valence_arousal|(^|_)va_).*test_set|test_set.*(^|_)va(_|\.)", re.IGNORECASE),
    "expr": re.compile(r"expr\w*test_set|test_set\w*expr", re.IGNORECASE),
    "au": re.compile(r"(action_unit|(^|_)au_).*test_set|test_set.*(^|_)au(_|\.)", re.IGNORECASE),
}
SAMPLE = re.compile(r"sample|example", re.IGNORECASE)


def scan(root: Path, annotations: Path, edition: str, results: Path | None = None) -> Corpus:
    """Trials of an Aff-Wild2 copy.

    Trials are sorted by annotation file name in plain byte order, the order that LFAN's folds rely on (LFAN spec 2.1). An annotated trial
    without a media file is left out and becomes a finding.

    Args:
        root: Folder of the media, at any depth.
        annotations: Folder of the annotation folders and test lists, at any depth.
        edition: Stored with every trial.
        results: Folder of the results, which is never searched.

    Raises:
        InputError: There are no annotations or none of them has a video, or a trial is assigned to two partitions of one task.
    """
    found = find_videos(root, results)
    videos = found.media
    assignments, ignored = _assignments(annotations, results, videos)
    if not assignments:
        raise InputError(
            f"{annotations}: no annotation folders found. Expected for example "
            "VA_Estimation_Challenge/Train_Set/<trial>.txt (see README, 'Your own Aff-Wild2 in three steps'); "
            "for videos without labels set corpus.layout: folder."
        )
    trials, findings = [], list(found.findings)
    findings += [
        Finding("", "", "info", "no_annotation", f"{printable(path)}: no rows of labels", "taken for no trial")
        for path in ignored
    ]
    for annotated in sorted(assignments, key=lambda trial: f"{trial}.txt"):
        stem, person = split_person(annotated)
        video = video_name(stem)
        name = video + annotated[len(stem) :]
        if video not in videos:
            detail = f"no video file with the stem {video!r} below {root.name}"
            findings.append(Finding(name, video, "error", "missing_media", detail, "trial left out"))
            continue
        tasks = {
            f"{kind}_{task}": value
            for task, assigned in assignments[annotated].items()
            for kind, value in assigned.items()
        }
        trials.append(Trial(name, video, videos[video], person, edition=edition, **tasks))
    used = {trial.video for trial in trials}
    findings += [
        Finding("", video, "info", "unused_media", "no annotation or test list names it", "video left out")
        for video in sorted(set(videos) - used)
    ]
    if not trials:
        raise InputError(
            f"{root}: none of the {len(assignments)} annotated trials has a video file. Is corpus.root right?"
        )
    return Corpus(tuple(trials), tuple(findings))


def _assignments(
    annotations: Path, results: Path | None, videos: Collection[str]
) -> tuple[dict[str, dict[str, dict[str, str]]], list[Path]]:
    """Partition and annotation of every trial and task, `{trial: {task: {"partition": …, "annotation": …}}}`, from folders and lists.

    Also the files among the annotations that have neither a video nor rows of labels: a README, say.
    """
    assignments: dict[str, dict[str, dict[str, str]]] = {}
    ignored = []
    for path in walk_files(annotations, results):
        if path.suffix.lower() != ".txt":
            continue
        task, partition = _task_and_partition(path)
        if task and partition:
            if video_name(split_person(path.stem)[0]) not in videos and not _has_labels(annotations / path):
                ignored.append(path)
                continue
            annotation = None if partition == "test" else path.as_posix()
            _assign(assignments, annotations, path.stem, task, partition, annotation, path)
            continue
        listed = [
            task for task, pattern in TEST_LISTS.items() if pattern.search(path.name) and not SAMPLE.search(path.name)
        ]
        if len(listed) == 1:
            for name in (annotations / path).read_text(encoding="utf-8-sig").split("\n"):
                if name.strip():
                    _assign(assignments, annotations, name.strip(), listed[0], "test", None, path)
    return assignments, ignored


NUMBERS = re.compile(r"([\d\s,;.+\-e]|nan|inf)+", re.IGNORECASE)


def _has_labels(path: Path) -> bool:
    """Whether a file begins with a header, or numbers, and rows of numbers."""
    with path.open("rb") as handle:
        lines = handle.read(4096).decode(errors="replace").splitlines()
    header, rows = lines[:1], [line.strip() for line in lines[1:10] if line.strip()]
    titled = bool(header) and (" " not in header[0].strip() or "," in header[0])
    return titled and all(NUMBERS.fullmatch(row) for row in rows)


def _task_and_partition(path: Path) -> tuple[str | None, str | None]:
    """Task and partition named by the folders of `path`; None where not named."""

    def match(patterns: dict[str, re.Pattern]) -> str | None:
        hits = [key for part in path.parts[:-1] for key, pattern in patterns.items() if pattern.fullmatch(part)]
        return hits[-1] if hits else None

    return match(TASK_FOLDERS), match(PARTITION_FOLDERS)


def _assign(
    assignments, annotations: Path, name: str, task: str, partition: str, annotation: str | None, source: Path
) -> None:
    """Record that `source` assigns trial `name` to `partition` of `task`; a second, different assignment is an error."""
    tasks = assignments.setdefault(unicodedata.normalize("NFC", name), {})
    assignment = {"partition": partition, "annotation": annotation}
    if tasks.setdefault(task, assignment) != assignment:
        raise InputError(
            f"{annotations}: trial {name!r} is in two {task} annotation folders or partitions "
            f"({tasks[task]['annotation'] or tasks[task]['partition']} and {source}). "
            "Keep the annotations of one edition, or set corpus.annotations to the folder of that edition."
        )
