"""Several people of one video: numbered by presence, nobody twice, corrected by overrides."""

import numpy as np
import pytest

from support.corpora import touch
from support.faces import face, scene, write_detections, write_frames
from wildaffect.config import parse
from wildaffect.corpus import folder as folder_layout
from wildaffect.errors import InputError
from wildaffect.faces.options import TrackingOptions
from wildaffect.faces.persons import assign_persons
from wildaffect.faces.tables import absent_trials, read_counts, read_trial
from wildaffect.report.audit import face_findings
from wildaffect.tables import read_metadata
from wildaffect.workflow.settings import Configuration

FRAMES = 100
OPTIONS = TrackingOptions()


def assign(folder, faces, persons=3, overrides=""):
    """Where each trial sees a face: x of the box's centre by frame, NaN for none."""
    detections, _ = scene(*faces)
    write_detections(folder / "d.parquet", detections, FRAMES)
    write_frames(folder / "f.parquet", FRAMES)
    (folder / "o.csv").write_text("trial,first_frame,last_frame,track,x,y\n" + overrides)
    trials = {f"v#{number}": str(number) for number in range(1, persons + 1)}
    output = folder / "p.parquet"
    assign_persons(
        folder / "d.parquet", folder / "f.parquet", trials, output, options=OPTIONS, overrides=folder / "o.csv"
    )
    return {trial: read_trial(output, trial).boxes[:, [0, 2]].mean(axis=1) for trial in trials}


def span(x: np.ndarray) -> tuple[int, int]:
    """First and last frame with a face."""
    there = np.flatnonzero(np.isfinite(x))
    return int(there[0]), int(there[-1])


def test_people_are_numbered_by_the_frames_that_show_them(tmp_path):
    seen = assign(tmp_path, [face(range(20, 60), 100), face(range(100), 300), face(range(70), 500)])
    assert [np.nanmean(x) for x in seen.values()] == pytest.approx([300, 500, 100])
    assert [span(x) for x in seen.values()] == [(0, 99), (0, 69), (20, 59)]
    assert not absent_trials(tmp_path / "p.parquet")


def test_who_comes_first_goes_first_where_two_are_seen_as_long(tmp_path):
    seen = assign(tmp_path, [face(range(50, 90), 100), face(range(10, 50), 500)], persons=2)
    assert [span(x) for x in seen.values()] == [(10, 49), (50, 89)]


def test_somebody_who_comes_back_to_the_same_position_is_one_person(tmp_path):
    seen = assign(tmp_path, [face(range(40), 100), face(range(60, 100), 100), face(range(70), 500)])
    assert span(seen["v#1"]) == (0, 99) and np.nanmean(seen["v#2"]) == pytest.approx(500)
    assert absent_trials(tmp_path / "p.parquet") == {"v#3"}


def test_who_is_not_there_has_rows_and_is_told_nowhere(tmp_path):
    seen = assign(tmp_path, [face(range(100), 300)])
    assert all(np.isnan(seen[trial]).all() and len(seen[trial]) == FRAMES for trial in ("v#2", "v#3"))
    persons = tmp_path / "p.parquet"
    assert absent_trials(persons) == {"v#2", "v#3"} and read_counts(persons) == {"v#1": FRAMES}
    assert not list(face_findings("v", read_metadata(persons)))


def test_a_video_without_faces_is_told_once(tmp_path):
    assign(tmp_path, [face([0], 100)])
    assert [f.trial for f in face_findings("v", read_metadata(tmp_path / "p.parquet"))] == ["v#1"]


def test_nobody_is_shown_in_more_than_one_trial(tmp_path):
    seen = assign(tmp_path, [face(range(100), x) for x in (100, 250, 400, 550)], persons=3)
    together = np.stack([*seen.values()])
    assert len({round(float(x)) for x in together[:, 0]}) == 3


def test_a_row_of_overrides_joins_two_people(tmp_path):
    faces = [face(range(60), 100), face(range(70, 100), 500)]
    apart = assign(tmp_path, faces, persons=2)
    assert [span(x) for x in apart.values()] == [(0, 59), (70, 99)]
    joined = assign(tmp_path, faces, persons=2, overrides="v#1,70,99,,500,180\n")
    assert span(joined["v#1"]) == (0, 99)
    assert absent_trials(tmp_path / "p.parquet") == {"v#2"}


def test_a_row_of_overrides_splits_a_person(tmp_path):
    whole = assign(tmp_path, [face(range(100), 300)], persons=2)
    assert span(whole["v#1"]) == (0, 99)
    split = assign(tmp_path, [face(range(100), 300)], persons=2, overrides="v#2,50,99,0,,\n")
    assert [span(x) for x in split.values()] == [(0, 49), (50, 99)]
    assert not absent_trials(tmp_path / "p.parquet")


def test_a_folder_has_a_trial_for_each_person_and_one_without_a_number_for_one(tmp_path):
    touch(tmp_path / "a.mp4", tmp_path / "a#1.mp4")
    assert [(t.trial, t.person) for t in folder_layout.scan(tmp_path).trials] == [("a", "main"), ("a#1", "main")]
    several = folder_layout.scan(tmp_path, persons=2).trials
    assert [(t.trial, t.video, t.person) for t in several] == [
        ("a#1", "a", "1"),
        ("a#2", "a", "2"),
        ("a#1#1", "a#1", "1"),
        ("a#1#2", "a#1", "2"),
    ]


@pytest.mark.parametrize("block", [{"layout": "affwild2", "persons": 2}, {"layout": "folder", "persons": 0}])
def test_persons_are_for_folders(block):
    with pytest.raises(InputError, match="persons"):
        parse(Configuration, {"corpus": block}, "config")
