"""Finding video files below a folder."""

import os
from pathlib import Path

from wildaffect.errors import InputError

# fmt: off
VIDEO_SUFFIXES = frozenset((
    ".3gp", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".mxf", ".ogv", ".ts", ".vob",
    ".webm", ".wmv",
))
# fmt: on
# The organisers' face pictures: millions of files, never videos.
PICTURE_FOLDERS = ("cropped", "cropped_aligned")


def walk_files(root: Path) -> list[Path]:
    """All files below ``root`` relative to it, sorted; hidden ones and the organisers' picture folders left out."""
    files = []
    for folder, subfolders, names in os.walk(root, followlinks=True):
        subfolders[:] = [
            name for name in subfolders if not name.startswith(".") and name.lower() not in PICTURE_FOLDERS
        ]
        files += [Path(folder, name).relative_to(root) for name in names if not name.startswith(".")]
    return sorted(files)


def find_videos(root: Path) -> dict[str, str]:
    """``{stem: path relative to root}`` of all video files below ``root``, sorted by stem.

    A video is known by its stem, so two files with one stem are refused, and so are names that hold braces
    (they would be taken for wildcards in the names of results).
    """
    found: dict[str, list[str]] = {}
    for path in walk_files(root):
        if path.suffix.lower() in VIDEO_SUFFIXES:
            found.setdefault(path.stem, []).append(path.as_posix())
    doubles = [f"  {', '.join(paths)}" for paths in found.values() if len(paths) > 1]
    if doubles:
        raise InputError(
            f"{root}: several files share a name, and a video is known by its name. Keep one of each or rename:\n"
            + "\n".join(doubles)
        )
    braces = [paths[0] for stem, paths in found.items() if set("{}") & set(stem)]
    if braces:
        raise InputError(f"{root}: names of videos must not hold braces. Rename: {', '.join(braces)}")
    return {stem: paths[0] for stem, paths in sorted(found.items())}
