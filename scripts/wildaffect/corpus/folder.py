"""Video files below a folder, and the layout without labels in which every video is one trial to predict."""

import errno
import hashlib
import os
import re
import stat
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from wildaffect import paths
from wildaffect.content import RECORDS, Contents
from wildaffect.corpus.trials import TASKS, Corpus, Finding, Trial
from wildaffect.errors import InputError
from wildaffect.names import UNWRITTEN, usable

# fmt: off
VIDEO_SUFFIXES = frozenset((
    ".3gp", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".mxf", ".ogv", ".ts", ".vob",
    ".webm", ".wmv",
))
# Files that lie beside videos and are nobody's video.
DOCUMENT_SUFFIXES = frozenset((
    "", ".csv", ".doc", ".docx", ".htm", ".html", ".json", ".log", ".md", ".pdf", ".srt", ".tsv", ".txt", ".vtt", ".xls", ".xlsx", ".xml",
    ".yaml", ".yml",
))
# fmt: on
# Face crops of the organisers and of M3T: millions of files, never videos.
CROP_FOLDERS = re.compile(r"cropped(_aligned)?(_new\w*)?|face_\d+", re.IGNORECASE)
IMAGE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
# Bytes of a video's name: with the suffix of a trial and of a result they are less than the 255 that file systems allow.
LONGEST_NAME = 240
# The workflow engine takes such a word in the name of a result for one of its own ...
ENGINE_WORD = re.compile(r"<([a-z][a-z0-9_]*)>")
# ... and a name that ends in twenty repetitions for a rule that feeds itself.
REPETITION = re.compile(r"(.{1,12})\1{19}\Z", re.DOTALL)


@dataclass(frozen=True)
class Videos:
    """The video files below a folder.

    Attributes:
        media: Path relative to the folder by name of the video, sorted.
        findings: Files that cannot be used, and names that had to be changed.
        others: All other files.
    """

    media: dict[str, str]
    findings: tuple[Finding, ...] = ()
    others: tuple[Path, ...] = ()


def walk_files(root: Path, results: Path | None = None) -> list[Path]:
    """All files below `root` relative to it, sorted.

    Hidden files, images, folders of face crops, and folders of results are left out. Links to folders are followed, but no
    folder is read twice.

    Args:
        root: The folder.
        results: The folder that results are written to.
    """
    files, seen, links = [], {_identity(results)}, [root]
    while links:
        for folder, subfolders, names in os.walk(links.pop(0)):
            here = Path(folder)
            identity = _identity(here)
            if identity in seen or (here != root and (here / paths.TRIALS).is_file()):
                subfolders.clear()
                continue
            seen.add(identity)
            kept = [name for name in sorted(subfolders) if name[0] != "." and not CROP_FOLDERS.fullmatch(name)]
            subfolders[:] = [name for name in kept if not (here / name).is_symlink()]
            links += [here / name for name in kept if name not in subfolders]
            # Folders of other images may be as large: nothing but their names is looked at.
            files += [
                (here / name).relative_to(root)
                for name in names
                if name[0] != "." and not name.lower().endswith(IMAGE_SUFFIXES)
            ]
    return sorted(files)


def _identity(folder: Path | None) -> tuple[int, int] | None:
    """What tells a folder from all others, whatever path leads there; None without one."""
    try:
        status = folder.stat() if folder else None
    except OSError:
        return None
    return (status.st_dev, status.st_ino) if status else None


def video_name(stem: str) -> str:
    """The name of a video in results and tables.

    It is the stem of its file as composed characters (NFC). What cannot be part of a result's name (commas, control characters, bytes that
    are no UTF-8, words in angle brackets, more than 240 bytes, twenty repetitions at the end) is replaced, and a hash of the stem tells
    such names apart.

    Examples:
        >>> video_name("24-30-1920x1080")
        '24-30-1920x1080'
        >>> video_name("talk <final>")
        'talk (final)~98fd4d60'
    """
    name = unicodedata.normalize("NFC", stem)
    plain = ENGINE_WORD.sub(r"(\1)", "".join(c if usable(c) else "_" for c in name))
    if plain == name not in (".", "..") and len(name.encode()) <= LONGEST_NAME and not REPETITION.search(name):
        return name
    mark = f"~{hashlib.sha256(os.fsencode(stem)).hexdigest()[:8]}"
    return plain.encode()[: LONGEST_NAME - len(mark)].decode(errors="ignore") + mark


def printable(path: str | Path) -> str:
    """A path in which bytes that are no UTF-8 and control characters are escaped."""
    text = os.fsencode(path).decode(errors="backslashreplace")
    return "".join(c.encode("unicode_escape").decode() if unicodedata.category(c) in UNWRITTEN else c for c in text)


def find_videos(root: Path, results: Path | None = None) -> Videos:
    """All video files below `root`, see `walk_files`. Copies of and links to one file, with one name, are one video.

    Raises:
        InputError: Two different files have one name, which names a video, or a name contains braces, which are wildcards in names of
            results.
    """
    paths_of: dict[str, list[Path]] = {}
    findings, others = [], []
    for path in walk_files(root, results):
        name = video_name(path.stem)
        if path.suffix.lower() not in VIDEO_SUFFIXES:
            others.append(path)
        elif reason := unusable(root / path):
            detail = f"{printable(path)}: {reason}"
            findings.append(Finding("", name, "error", "unusable_file", detail, "video left out"))
        else:
            paths_of.setdefault(name, []).append(path)
    several = {name: same for name, same in paths_of.items() if len(same) > 1}
    contents = remembered_contents(results)
    repeated = [same for same in several.values() if not one_content(root, same, contents)]
    if repeated:
        raise InputError(
            f"{root}: several different files share a name, and a video is known by its name. Keep one of each or rename:\n"
            + "\n".join(f"  {', '.join(map(printable, same))}" for same in repeated)
        )
    braces = [printable(same[0]) for name, same in paths_of.items() if set("{}") & set(name)]
    if braces:
        raise InputError(f"{root}: names of videos must not contain braces. Rename: {', '.join(braces)}")
    media = {name: min(same, key=lambda path: (root / path).is_symlink()) for name, same in sorted(paths_of.items())}
    findings += _renamed(media)
    for name, same in several.items():
        detail = f"{', '.join(map(printable, same))}: one file or copies of it"
        findings.append(
            Finding("", name, "info", "several_copies", detail, f"one video, read from {printable(media[name])}")
        )
    return Videos({name: str(path) for name, path in media.items()}, tuple(findings), tuple(others))


def remembered_contents(results: Path | None) -> Contents:
    """Hashes of files, remembered where the results lie, if there are any."""
    return Contents(results / RECORDS / "contents.jsonl" if results else os.devnull)


def one_content(root: Path, same: Sequence[Path], contents: Contents) -> bool:
    """Whether all these files below `root` are one file, or copies of one, endings included. Only files of one size are read."""
    if len({_identity(root / path) for path in same}) == 1:
        return True
    if len({path.suffix.lower() for path in same}) > 1 or len({(root / path).stat().st_size for path in same}) > 1:
        return False
    return len({contents.hash(root / path) for path in same}) == 1


def unusable(path: Path) -> str:
    """Why a path is no file that can be read; empty if it is one."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return "a link that leads nowhere"
    except OSError as error:
        return "a loop of links" if error.errno == errno.ELOOP else f"cannot be read ({error.strerror})"
    return "" if stat.S_ISREG(mode) else "no file but a folder, pipe, socket or device"


def _renamed(media: dict[str, Path]) -> Iterator[Finding]:
    for name, path in media.items():
        if name != unicodedata.normalize("NFC", path.stem):
            detail = f"{printable(path)}: no name for files and tables of results"
            yield Finding("", name, "info", "renamed", detail, f"called {name}")


def scan(root: Path, results: Path | None = None, persons: int = 1) -> Corpus:
    """One trial per video, person `main`, partition `test` in every task; or ``persons`` trials `<video>#1`, … of the persons `1`, ….

    Raises:
        InputError: There are no videos.
    """
    videos = find_videos(root, results)
    if not videos.media:
        why = "".join(f"\n  {finding.detail}" for finding in videos.findings)
        raise InputError(
            f"{root}: no video files below this folder (known endings: {' '.join(sorted(VIDEO_SUFFIXES))}).{why}"
        )
    partitions = {f"partition_{task}": "test" for task in TASKS}
    people = {"": "main"} if persons == 1 else {f"#{number}": str(number) for number in range(1, persons + 1)}
    trials = tuple(
        Trial(video + suffix, video, media, person, **partitions)
        for video, media in videos.media.items()
        for suffix, person in people.items()
    )
    return Corpus(trials, (*videos.findings, *_other_endings(videos.others)))


def _other_endings(files: Iterable[Path]) -> Iterator[Finding]:
    """One finding per ending of files that may be videos but are not taken for any."""
    found: dict[str, list[Path]] = {}
    for path in files:
        suffix = path.suffix.lower()
        if suffix not in VIDEO_SUFFIXES and suffix not in DOCUMENT_SUFFIXES:
            found.setdefault(suffix, []).append(path)
    for suffix, named in sorted(found.items()):
        detail = f"{len(named)} file{'s' * (len(named) > 1)} with the ending {printable(suffix)}, first {printable(named[0])}"
        yield Finding("", "", "info", "other_files", detail, "left out; rename or convert what is a video")
