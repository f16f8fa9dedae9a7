"""Video files below a folder, and the layout without labels in which every video is one trial to predict."""

import os
from pathlib import Path

from wildaffect.corpus.trials import TASKS, Corpus, Trial
from wildaffect.errors import InputError

# fmt: off
VIDEO_SUFFIXES = frozenset((
    ".3gp", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".mxf", ".ogv", ".ts", ".vob",
    ".webm", ".wmv",
))
# fmt: on
# The organisers' face crops: millions of files, never videos.
CROP_FOLDERS = ("cropped", "cropped_aligned")


def walk_files(root: Path) -> list[Path]:
    """All files below `root` relative to it, sorted; hidden files and the folders of the organisers' face crops are left out."""
    files = []
    for folder, subfolders, names in os.walk(root, followlinks=True):
        subfolders[:] = [name for name in subfolders if not name.startswith(".") and name.lower() not in CROP_FOLDERS]
        files += [Path(folder, name).relative_to(root) for name in names if not name.startswith(".")]
    return sorted(files)


def find_videos(root: Path) -> dict[str, str]:
    """Paths relative to `root` of all video files below it, by stem, sorted.

    Raises:
        InputError: Two files have one stem, which names a video, or a stem contains braces, which are wildcards in names of results.
    """
    paths_of: dict[str, list[str]] = {}
    for path in walk_files(root):
        if path.suffix.lower() in VIDEO_SUFFIXES:
            paths_of.setdefault(path.stem, []).append(path.as_posix())
    repeated = [f"  {', '.join(paths)}" for paths in paths_of.values() if len(paths) > 1]
    if repeated:
        raise InputError(
            f"{root}: several files share a name, and a video is known by its name. Keep one of each or rename:\n"
            + "\n".join(repeated)
        )
    braces = [paths[0] for stem, paths in paths_of.items() if set("{}") & set(stem)]
    if braces:
        raise InputError(f"{root}: names of videos must not contain braces. Rename: {', '.join(braces)}")
    return {stem: paths[0] for stem, paths in sorted(paths_of.items())}


def scan(root: Path) -> Corpus:
    """One trial per video, person `main`, partition `test` in every task.

    Raises:
        InputError: There are no videos.
    """
    videos = find_videos(root)
    if not videos:
        raise InputError(
            f"{root}: no video files below this folder (known endings: {' '.join(sorted(VIDEO_SUFFIXES))})."
        )
    partitions = {f"partition_{task}": "test" for task in TASKS}
    return Corpus(tuple(Trial(video, video, media, **partitions) for video, media in videos.items()))
