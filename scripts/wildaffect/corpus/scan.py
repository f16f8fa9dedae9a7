"""One entry to every corpus layout."""

from pathlib import Path

from wildaffect.corpus import affwild2, folder, table
from wildaffect.corpus.trials import Corpus
from wildaffect.errors import InputError


def scan_corpus(
    layout: str, root: Path, annotations: Path | None, edition: str, results: Path | None = None, *, persons: int = 1
) -> Corpus:
    """Trials below `root`. Reads names only, no media.

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
        return affwild2.scan(root, annotations, edition, results)
    if layout == "folder":
        return folder.scan(root, results, persons)
    return table.scan(root, annotations, results)
