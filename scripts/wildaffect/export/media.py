"""Media files of a run in an exported folder: links, as videos are large and not ours to copy."""

import os
from pathlib import Path

from wildaffect.export.results import Recording


def link_media(recording: Recording, folder: Path, final: Path, name: str) -> None:
    """Link the media file as ``name`` below ``folder``, which is called ``final`` later; an absent file is left out."""
    if not recording.media.is_file():
        return
    link = folder / name
    link.parent.mkdir(parents=True, exist_ok=True)
    target = os.path.relpath(recording.media.resolve(), (final / name).parent.resolve())
    link.symlink_to(target)
