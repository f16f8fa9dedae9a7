"""Where images that others cut lie, and how they are numbered; nothing heavy is imported, so that the workflow can look.

The organisers' releases come as several archives: ``cropped_aligned/`` and ``cropped_aligned_new_50_vids/`` (or ``cropped/`` and
``cropped_new_50_vids/``), each with a folder per trial or with ``batch1/`` and so on in between. M3T's face tracks lie alike in
``face_256/``.
"""

import os
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from wildaffect.errors import InputError

BATCH = re.compile(r"batch\d*", re.IGNORECASE)
IMAGE_SUFFIXES = frozenset((".bmp", ".jpeg", ".jpg", ".png", ".webp"))
NUMBERED = re.compile(r"(?:[a-z]+[_-]?)?(\d+)", re.IGNORECASE)


@dataclass(frozen=True)
class ImageFolder:
    """The images of one trial.

    Attributes:
        path: The folder.
        first: Number, in the names of the images, of the first frame.
    """

    path: Path
    first: int


def image_folders(root: str | os.PathLike, kind: str) -> dict[str, ImageFolder]:
    """Find the folder of each trial in all folders of a kind.

    An image is numbered from 1, as the organisers do, unless any trial in the same folder of a kind has an image 0: the number of a first
    image alone would not tell, because images without a face are left out.

    Args:
        root: Folder that holds the folders of that kind.
        kind: ``cropped_aligned``, ``cropped`` or ``face_256``.

    Raises:
        InputError: A trial has two different folders.
    """
    found: dict[str, ImageFolder] = {}
    pattern = re.compile(rf"{kind}(_new\w*)?", re.IGNORECASE)
    for top in _subfolders(Path(root)):
        if not pattern.fullmatch(top.name):
            continue
        folders = list(_trial_folders(top))
        first = 0 if any(_has_image_zero(folder) for folder in folders) else 1
        for folder in folders:
            trial = unicodedata.normalize("NFC", folder.name)
            if trial in found and not found[trial].path.samefile(folder):
                raise InputError(f"{found[trial].path} and {folder}: both hold images of trial {trial}. Remove one.")
            found[trial] = ImageFolder(folder, first)
    return found


def list_images(folder: ImageFolder, count: int) -> tuple[dict[int, Path], int]:
    """Find the images of one trial by frame index, and count those beyond the last of ``count`` frames.

    Raises:
        InputError: An image whose frame its name does not tell, two of one frame, or files but no image.
    """
    images: dict[int, Path] = {}
    others = []
    for path in sorted(folder.path.iterdir()):
        if path.name.startswith("."):
            continue
        if path.suffix.lower() not in IMAGE_SUFFIXES:
            others.append(path.name)
            continue
        numbered = NUMBERED.fullmatch(path.stem)
        if not numbered:
            raise InputError(f"{path}: its name does not tell which frame it shows. Expected for example 00001.jpg.")
        frame = int(numbered[1]) - folder.first
        if frame in images:
            raise InputError(f"{images[frame]} and {path.name}: two images of one frame. Keep one.")
        images[frame] = path
    if others and not images:
        raise InputError(
            f"{folder.path}: holds {others[0]} but no image named like 00001.jpg. Unpack the archive again."
        )
    inside = {frame: path for frame, path in images.items() if frame < count}
    return inside, len(images) - len(inside)


def _trial_folders(top: Path) -> Iterator[Path]:
    for folder in _subfolders(top):
        if BATCH.fullmatch(folder.name):
            yield from _subfolders(folder)
        else:
            yield folder


def _subfolders(folder: Path) -> list[Path]:
    """Folders in a folder, or links to such, sorted; hidden ones left out."""
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if not entry.name.startswith(".") and entry.is_dir()]
    except OSError:
        return []
    return [folder / name for name in sorted(names)]


def _has_image_zero(folder: Path) -> bool:
    """Whether there is an image 0, by the name of any one image: listing millions of files would take minutes."""
    with os.scandir(folder) as entries:
        for entry in entries:
            stem, suffix = Path(entry.name).stem, Path(entry.name).suffix
            numbered = NUMBERED.fullmatch(stem)
            if numbered and suffix.lower() in IMAGE_SUFFIXES:
                prefix, digits = stem[: numbered.start(1)], numbered[1]
                return any((folder / f"{prefix}{zero}{suffix}").exists() for zero in ("0" * len(digits), "0"))
    return False
