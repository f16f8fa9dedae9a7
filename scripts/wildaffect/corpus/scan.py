"""One entry to every corpus layout."""

from pathlib import Path

from wildaffect.corpus import affwild2, folder, table
from wildaffect.corpus.trials import Corpus
from wildaffect.errors import InputError
from wildaffect.names import check_name


def scan_corpus(layout: str, root: Path, annotations: Path | None, edition: str) -> Corpus:
    """Trials below `root`. Reads names only, no media.

    Args:
        layout: `affwild2`, `folder` or `table`.
        root: Folder of the videos.
        annotations: Folder of the annotations; `root` if None.
        edition: Name of the challenge edition that the annotations belong to.

    Raises:
        InputError: A folder is missing or empty, its content is ambiguous, or a name is impossible.
    """
    annotations = annotations or root
    for key, path in (("corpus.root", root), ("corpus.annotations", annotations)):
        if not path.is_dir():
            raise InputError(f"{key}: {path} is not a folder. Set {key} in config.yaml to the folder of your data.")
    if layout == "affwild2":
        found = affwild2.scan(root, annotations, edition)
    else:
        found = folder.scan(root) if layout == "folder" else table.scan(root, annotations)
    for trial in found.trials:
        check_name(trial.video, f"{root}, {trial.media!r}")
        check_name(trial.trial, f"{root}, {trial.media!r}")
    return found
