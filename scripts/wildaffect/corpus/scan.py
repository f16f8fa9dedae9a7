"""One entry to every corpus layout."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations
from pathlib import Path

from wildaffect.corpus import affwild2, folder, table
from wildaffect.corpus.trials import TASKS, Corpus, Finding
from wildaffect.errors import InputError

ENDS = 65536
"""Bytes at both ends of a file that are compared."""


def scan_corpus(
    layout: str, root: Path, annotations: Path | None, edition: str, results: Path | None = None, *, persons: int = 1
) -> Corpus:
    """Trials below `root`. Reads names only, and the ends of media files of equal size.

    Args:
        layout: `affwild2`, `folder` or `table`.
        root: Folder of the videos.
        annotations: Folder of the annotations; `root` if None.
        edition: Name of the challenge edition that the annotations belong to.
        results: Folder of the results, which is never searched.
        persons: Most persons per video, for the layout `folder`.

    Raises:
        InputError: A folder is missing or empty, or its content is ambiguous.
    """
    annotations = annotations or root
    for key, path in (("corpus.root", root), ("corpus.annotations", annotations)):
        if not path.is_dir():
            raise InputError(f"{key}: {path} is not a folder. Set {key} in config.yaml to the folder of your data.")
    if layout == "affwild2":
        found = affwild2.scan(root, annotations, edition, results)
    elif layout == "folder":
        found = folder.scan(root, results, persons)
    else:
        found = table.scan(root, annotations, results)
    return replace(found, findings=(*found.findings, *same_files(root, found), *shared_subjects(found)))


def same_files(root: Path, corpus: Corpus) -> Iterator[Finding]:
    """Videos whose files have one size and equal ends: one recording under two names, which may be trained on and held out."""
    sizes: dict[int, list[str]] = {}
    for video, media in corpus.videos.items():
        if (root / media).is_file() and (size := (root / media).stat().st_size):
            sizes.setdefault(size, []).append(video)
    trained = {trial.video for trial in corpus.trials if "train" in map(trial.partition, TASKS)}
    group_of = {trial.video: corpus.group_of[trial.trial] for trial in corpus.trials}
    ends = {
        video: _ends(root / corpus.videos[video]) for videos in sizes.values() if len(videos) > 1 for video in videos
    }
    for first, second in (pair for videos in sizes.values() for pair in combinations(videos, 2)):
        if ends[first] == ends[second]:
            apart = {first, second} & trained and group_of[first] != group_of[second]
            rule = "give both one group in trials.csv, or leave one out" if apart else "kept"
            detail = f"the same file as that of {first}"
            yield Finding("", second, "warning" if apart else "info", "same_file", detail, rule)


def _ends(path: Path) -> bytes:
    with path.open("rb") as file:
        head = file.read(ENDS)
        file.seek(max(path.stat().st_size - ENDS, 0))
        return head + file.read(ENDS)


def shared_subjects(corpus: Corpus) -> Iterator[Finding]:
    """Subjects and groups that the partitions of a task have on both sides."""
    for task in TASKS:
        for kind in ("subject", "group"):
            sides: dict[str, dict[bool, list[str]]] = {}
            for trial in corpus.trials:
                if (name := getattr(trial, kind)) and (partition := trial.partition(task)):
                    sides.setdefault(name, {}).setdefault(partition == "train", []).append(trial.trial)
            for name, found in sides.items():
                if len(found) > 1:
                    detail = (
                        f"{kind} {name!r} is trained on ({found[True][0]}) and held out ({found[False][0]}) in {task}"
                    )
                    yield Finding("", "", "warning", f"shared_{kind}", detail, "scores are not those of unseen people")
