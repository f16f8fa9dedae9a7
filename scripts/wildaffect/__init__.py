"""wildaffect: audio-visual affect analysis in the wild, from raw videos to a scored report."""

import os
from pathlib import Path
from typing import Any

# Nothing leaves the machine. Unless this is set before it is imported, ONNX Runtime tells its maker of its use, and keeps an identity below
# the home folder.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"


def run(*videos: str | os.PathLike, output: str | os.PathLike | None = None, **options: Any) -> dict[str, Any]:
    """Analyse videos as the command `wildaffect run` does.

    Args:
        videos: Videos, and folders that are searched.
        output: Folder to write; None: `affect-<name of the first>` in the current one.
        options: As for `wildaffect.workflow.run.analyse`.

    Returns:
        Tables as pandas data frames: `frames`, `videos` and `segments`, `faces`, and for each predictor `<system>/<variant>`.

    Raises:
        wildaffect.errors.InputError: Something given cannot be used, or a job failed.
    """
    from wildaffect.workflow.run import run_tables

    return run_tables([Path(video) for video in videos], Path(output) if output is not None else None, **options)
