"""Tables of persons with given face boxes, for whoever looks for their bodies."""

import numpy as np
import pyarrow as pa

from wildaffect.faces.persons import PERSONS_SCHEMA
from wildaffect.faces.tables import TrialFaces, rows_table
from wildaffect.tables import write_table


def persons_table(path, faces):
    """A persons table of trials with the face boxes ``faces[trial]``, one per frame, None where there is no face."""
    parts, count = [], len(next(iter(faces.values())))
    for trial, boxes in faces.items():
        found = np.array([box is not None for box in boxes])
        values = np.array([box or [np.nan] * 4 for box in boxes], np.float32).reshape(-1, 4)
        nothing = [np.full((count, joints, 2), np.nan, np.float32) for joints in (5, 68)]
        source = np.where(found, "detected", "none").astype("<U12")
        rows = TrialFaces(
            source, np.where(found, 0, -1), values, np.where(found, np.float32(0.9), np.float32(np.nan)), *nothing
        )
        parts.append(rows_table(trial, rows))
    write_table(
        path, pa.concat_tables(parts), PERSONS_SCHEMA, {"trials": {trial: {} for trial in faces}, "frames": count}
    )
    return path
