"""Praat: a TextGrid per video, with interval tiers of expressions and point tiers of values for each person."""

from pathlib import Path

import numpy as np
from praatio import textgrid
from praatio.data_classes.interval_tier import IntervalTier
from praatio.data_classes.point_tier import PointTier
from praatio.utilities.constants import Interval, Point

from wildaffect.export.results import Run


def write(run: Run, folder: Path, final: Path) -> None:
    """Write ``<video>.TextGrid``; times count from the beginning of the media file. A video without frames has none."""
    scores = {name for values in run.expressions.values() for name in values}
    for recording in run.recordings():
        edges = recording.edges
        if not len(recording.times):
            continue
        grid = textgrid.Textgrid(0.0, float(edges[-1]))
        for person in recording.persons:
            for kind, segments in run.segments(recording, person).items():
                intervals = [Interval(segment.begin, segment.end, segment.label) for segment in segments]
                grid.addTier(IntervalTier(f"{person.name} {kind}", intervals, 0.0, float(edges[-1])))
            for name, values in person.values.items():
                if name in scores:
                    continue  # Praat would show a tier per class; the highest is an interval
                points = [Point(float(edges[k]), f"{values[k]:.7g}") for k in np.flatnonzero(~np.isnan(values))]
                grid.addTier(PointTier(f"{person.name} {name}", points, 0.0, float(edges[-1])))
        if not grid.tierNames:
            grid.addTier(IntervalTier("no predictions", [], 0.0, float(edges[-1])))
        grid.save(str(folder / f"{recording.video}.TextGrid"), "long_textgrid", includeBlankSpaces=True)
