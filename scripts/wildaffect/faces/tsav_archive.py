"""The alignments that TSAV's authors published: which file of the archive belongs to which trial (TSAV spec 2.1).

The archive holds ``video_info.txt`` (video, label type, split, position) and a file per person, named by a running number over the sorted
videos and by what is labelled. Nothing heavy is imported, so that the workflow can look.
"""

import csv
import os
import re
from pathlib import Path

from wildaffect.errors import InputError

INFO, ENDING = "video_info.txt", "_alignment_mask.pkl"
LABELS = ("AU", "EX", "VA")
SPLITS = {"train": "1_", "val": "1v", "test": "1t"}
SECOND_BATCH = re.compile(r"video(\d+)(?!\d).*")
FIRST_OF_SECOND_BATCH = 28


def alignment_files(root: str | os.PathLike) -> dict[tuple[str, str], Path]:
    """Find the file of each person of each video.

    Args:
        root: Folder that holds the unpacked archive, at any depth.

    Returns:
        File by video and position (``main``, ``left`` or ``right``); only files that are there.

    Raises:
        InputError: There is no list of videos, or it is malformed.
    """
    info = next(iter(sorted(Path(root).rglob(INFO))), None)
    if info is None:
        raise InputError(f"faces.official_root: {root} holds no {INFO}, which TSAV's alignment archive brings along.")
    there = {path.name: path for path in Path(root).rglob(f"*{ENDING}")}
    names = {person: f"{entry}{ENDING}" for person, entry in entry_names(info).items()}
    return {person: there[name] for person, name in names.items() if name in there}


def entry_names(info: str | os.PathLike) -> dict[tuple[str, str], str]:
    """Name of the archive's entry of each video and position, from the list of all videos."""
    splits: dict[str, dict[str, dict[str, str]]] = {}
    with Path(info).open(newline="", encoding="utf-8-sig") as file:
        for line, row in enumerate(csv.reader(file), 1):
            if not row:
                continue
            values = [value.strip() for value in row]
            if len(values) != 4 or values[1] not in LABELS or values[2] not in SPLITS:
                raise InputError(f"{info}, line {line}: expected video, AU, EX or VA, train, val or test, position.")
            splits.setdefault(values[0], {}).setdefault(values[3], {})[values[1]] = values[2]
    entries = {}
    for video in sorted(splits, key=_order):
        positions = list(splits[video])
        for position, labels in splits[video].items():
            codes = (label + SPLITS.get(labels.get(label, ""), "0_") for label in LABELS)
            suffix = "" if positions == ["main"] else f"_{position}"
            entries[video, position] = f"{len(entries) + 1:03}_{'_'.join(codes)}{suffix}"
    return entries


def _order(video: str) -> tuple[bool, str]:
    """The second batch, video28 and later, comes last; file names are compared with their endings."""
    numbered = SECOND_BATCH.fullmatch(video)
    return bool(numbered) and int(numbered[1]) >= FIRST_OF_SECOND_BATCH, f"{video}."
