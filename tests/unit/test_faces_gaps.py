"""Frames between detections, against rules written down frame by frame and NumPy's own interpolation."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from wildaffect.faces.gaps import fill_gaps
from wildaffect.faces.tables import Detections, at_rows


@st.composite
def people(draw):
    """Detections of one person in some of N frames, whose boxes wander and sometimes jump, and what `fill_gaps` is told."""
    count = draw(st.integers(1, 40))
    there = np.array(draw(st.lists(st.booleans(), min_size=count, max_size=count)))
    found = int(there.sum())
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    steps = rng.choice([2.0, 30.0], found, p=[0.8, 0.2])[:, None] * rng.standard_normal((found, 2))
    corner = np.cumsum(steps, axis=0) + 300
    side = rng.uniform(20, 60, (found, 1))
    detections = Detections(
        np.flatnonzero(there),
        np.hstack([corner, corner + side]).astype(np.float32),
        rng.uniform(0.5, 1, found).astype(np.float32),
        rng.normal(0, 100, (found, 5, 2)).astype(np.float32),
        rng.normal(0, 100, (found, 68, 2)).astype(np.float32),
        np.zeros((0, 0), np.float32),
        np.full(found, -1),
    )
    chosen = np.full(count, -1)
    chosen[there] = np.arange(found)
    tracks = np.cumsum(rng.random(found) < 0.1)
    blocked = (rng.random(count) < 0.05) & ~there
    cuts = np.flatnonzero(rng.random(count) < 0.05).tolist()
    return detections, tracks, chosen, cuts, blocked, draw(st.integers(0, 8)), draw(st.integers(0, 4))


def by_frame(detections, tracks, chosen, cuts, blocked, interpolate, hold):
    """Source, track and the two detections of each frame, by what the documentation says of a single frame."""

    def reached(start: int, frame: int) -> bool:
        """Nothing forbidden between a detection and a frame."""
        first, last = sorted((start, frame))
        return not blocked[first : last + 1].any() and not any(first < cut <= last for cut in cuts)

    rows = []
    seen = np.flatnonzero(chosen >= 0).tolist()
    for frame in range(len(chosen)):
        left = max((other for other in seen if other <= frame), default=None)
        right = min((other for other in seen if other >= frame), default=None)
        if left == frame:
            rows.append(("detected", frame, frame))
            continue
        if left is not None and right is not None and right - left - 1 <= interpolate and reached(left, right):
            a, b = detections.boxes[chosen[left]].astype(float), detections.boxes[chosen[right]].astype(float)
            moved = np.hypot(*((b[:2] + b[2:]) / 2 - (a[:2] + a[2:]) / 2))
            largest = max(a[2] - a[0], b[2] - b[0])
            if tracks[chosen[left]] == tracks[chosen[right]] and moved <= largest:
                rows.append(("interpolated", left, right))
                continue
        near = [
            side for side in (left, right) if side is not None and abs(side - frame) <= hold and reached(side, frame)
        ]
        rows.append(("held", near[0], near[0]) if near else ("none", None, None))
    return rows


@settings(max_examples=300, deadline=None)
@given(people())
def test_every_frame_is_what_the_rules_say_of_it(case):
    detections, tracks, chosen, *_ = case
    faces, blend = fill_gaps(*case)
    expected = by_frame(*case)
    assert faces.source.tolist() == [source for source, *_ in expected]
    points68 = blend.of(at_rows(detections.points68, blend.rows))
    for frame, (source, left, right) in enumerate(expected):
        if source == "none":
            assert faces.track[frame] == -1
            assert np.isnan(faces.boxes[frame]).all() and np.isnan(points68[frame]).all()
            continue
        assert faces.track[frame] == tracks[chosen[left]]
        np.testing.assert_equal(
            faces.scores[frame], detections.scores[chosen[frame]] if source == "detected" else np.float32(np.nan)
        )
        for values, got in (
            (detections.boxes, faces.boxes),
            (detections.points5, faces.points5),
            (detections.points68, points68),
        ):
            ends = values[[chosen[left], chosen[right]]].reshape(2, -1).astype(float)
            at = [np.interp(frame, [left, right], column) if left < right else column[0] for column in ends.T]
            np.testing.assert_allclose(got[frame].ravel(), at, rtol=1e-4, atol=1e-3)
