"""Everything that shows the face of one trial, made by one job."""

import os
from pathlib import Path

from wildaffect.faces.catalogue import SHEET_SOURCE
from wildaffect.faces.cutting import cut_crops
from wildaffect.faces.sheet import write_contact_sheet


def cut_together(
    video: str | os.PathLike,
    persons: str | os.PathLike,
    trial: str,
    templates: dict[str, Path],
    *,
    sheet: Path | None = None,
    threads: int = 1,
) -> None:
    """:func:`~wildaffect.faces.cutting.cut_crops`, and the contact sheet from what was cut if ``sheet`` names a file for it."""
    cut_crops(video, persons, trial, templates, threads=threads)
    if sheet is not None:
        write_contact_sheet(templates[SHEET_SOURCE], persons, sheet)
