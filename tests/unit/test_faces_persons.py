"""The person of each trial: assignment rules, gaps, corrections, one row per frame."""

import time

import numpy as np
import pytest

from support.faces import face, scene, write_detections, write_frames
from wildaffect import tables
from wildaffect.config import parse
from wildaffect.errors import InputError
from wildaffect.faces.options import TrackingOptions
from wildaffect.faces.persons import PERSONS_SCHEMA, assign_persons
from wildaffect.faces.tables import read_detections, read_trial
from wildaffect.report.audit import face_findings
from wildaffect.tables import read_metadata, read_table

ANNA, BERT, CARL = np.eye(4)[:3] * 0.7
FRAMES = 200


@pytest.fixture
def assign(tmp_path):
    def run(faces, trials, cuts=(), frames=FRAMES, identity_distance=0.6, overrides=None, **options):
        detections, _ = scene(*faces)
        write_detections(tmp_path / "detections.parquet", detections, frames, cuts, identity_distance)
        write_frames(tmp_path / "frames.parquet", frames)
        output = tmp_path / "persons.parquet"
        assign_persons(
            tmp_path / "detections.parquet",
            tmp_path / "frames.parquet",
            trials,
            output,
            options=TrackingOptions(**options),
            overrides=overrides,
        )
        return output

    return run


def middle(rows) -> np.ndarray:
    return (rows.boxes[:, 0] + rows.boxes[:, 2]) / 2


def test_every_trial_has_one_row_per_decoded_frame(assign):
    path = assign([face(range(10, 50), 200), face(range(30, 60), 400)], {"v_right": "right", "v_left": "left"})
    table = read_table(path, PERSONS_SCHEMA)
    assert table["trial"].to_pylist() == ["v_right"] * FRAMES + ["v_left"] * FRAMES
    assert table["frame"].to_pylist() == list(range(FRAMES)) * 2


def test_main_is_long_large_and_central(assign):
    long = face(range(FRAMES), 320, side=80)
    for other in (
        face(range(30), 320, y=80, side=100),
        face(range(FRAMES), 100, side=80),
        face(range(FRAMES), 500, side=40),
    ):
        rows = read_trial(assign([other, long], {"v": "main"}), "v")
        np.testing.assert_allclose(middle(rows), 320)
        assert (rows.boxes[:, 2] - rows.boxes[:, 0] == 80).all()


def test_left_and_right_by_mean_order_where_both_are_seen(assign):
    """Anna is left of Bert whenever both are seen, although on her own she mostly sits far right."""
    anna_x = np.where(np.arange(FRAMES) < 60, 200, 560)
    bert = face(range(60), 400, identity=BERT)
    anna = face(range(FRAMES), anna_x, identity=ANNA)
    path = assign([anna, bert], {"v_left": "left", "v_right": "right"}, cuts=[60])
    left, right = read_trial(path, "v_left"), read_trial(path, "v_right")
    np.testing.assert_allclose(middle(left), anna_x)
    np.testing.assert_allclose(middle(right)[:60], 400)
    assert (right.source[60:] == "none").all()
    about = read_metadata(path)
    assert about["seen_together"] == 60
    assert about["order_reversed"] == 0


def test_left_stays_left_when_people_change_seats_for_a_while(assign):
    swap = (np.arange(FRAMES) >= 120) & (np.arange(FRAMES) < 160)
    anna_x, bert_x = np.where(swap, 450, 150), np.where(swap, 150, 450)
    faces = [face(range(FRAMES), anna_x, identity=ANNA), face(range(FRAMES), bert_x, identity=BERT)]
    path = assign(faces, {"v_left": "left", "v_right": "right"}, cuts=[120, 160])
    np.testing.assert_allclose(middle(read_trial(path, "v_left")), anna_x)
    np.testing.assert_allclose(middle(read_trial(path, "v_right")), bert_x)
    assert read_metadata(path)["order_reversed"] == 40


@pytest.mark.parametrize(("suffix", "main_x"), [("left", 450), ("right", 150)])
def test_plain_name_beside_a_suffix_is_the_other_person(assign, suffix, main_x):
    faces = [face(range(FRAMES), 150, side=60), face(range(FRAMES), 450, side=100)]
    path = assign(faces, {"v": "main", f"v_{suffix}": suffix})
    np.testing.assert_allclose(middle(read_trial(path, "v")), main_x)
    np.testing.assert_allclose(middle(read_trial(path, f"v_{suffix}")), 600 - main_x)


def test_plain_name_beside_both_suffixes_is_the_third_person(assign):
    faces = [face(range(FRAMES), x, side=side) for x, side in ((120, 90), (320, 40), (520, 90))]
    path = assign(faces, {"v": "main", "v_left": "left", "v_right": "right"})
    assert [np.unique(middle(read_trial(path, t))).tolist() for t in ("v", "v_left", "v_right")] == [
        [320],
        [120],
        [520],
    ]


def test_a_bystander_is_nobody(assign):
    faces = [face(range(FRAMES), 200), face(range(FRAMES), 420), face(range(FRAMES), 600, y=30, side=25)]
    path = assign(faces, {"v_left": "left", "v_right": "right"})
    np.testing.assert_allclose(middle(read_trial(path, "v_left")), 200)
    np.testing.assert_allclose(middle(read_trial(path, "v_right")), 420)


def test_one_person_alone_gets_the_side_of_the_picture(assign):
    path = assign([face(range(FRAMES), 500)], {"v_left": "left", "v_right": "right"})
    assert (read_trial(path, "v_left").source == "none").all()
    assert (read_trial(path, "v_right").source == "detected").all()


def test_identified_stranger_does_not_fill_the_persons_absence(assign):
    faces = [face(range(120), 320, identity=ANNA), face(range(120, FRAMES), 320, identity=BERT)]
    rows = read_trial(assign(faces, {"v": "main"}, cuts=[120]), "v")
    assert (rows.source[:120] == "detected").all()
    assert (rows.source[120:] == "none").all()


def test_without_identity_only_the_same_place_continues_a_person(assign):
    faces = [face(range(80), 320), face(range(80, 140), 330), face(range(140, FRAMES), 520)]
    path = assign(faces, {"v": "main"}, cuts=[80, 140], identity_distance=None)
    rows = read_trial(path, "v")
    assert (rows.source[:140] == "detected").all()
    assert (rows.source[140:] == "none").all()
    assert read_metadata(path)["trials"]["v"]["tracks_without_identity"] == 1


@pytest.mark.parametrize(("gap", "filled"), [(1, True), (15, True), (16, False)])
def test_gaps_up_to_the_limit_are_interpolated(assign, gap, filled):
    seen = np.r_[0:50, 50 + gap : FRAMES]
    path = assign([face(seen, 100 + 2.0 * seen, identity=ANNA)], {"v": "main"})
    rows = read_trial(path, "v")
    assert (rows.source[50 : 50 + gap] == ("interpolated" if filled else "none")).all()
    assert (rows.source[seen] == "detected").all()
    if filled:
        np.testing.assert_allclose(middle(rows), 100 + 2.0 * np.arange(FRAMES), rtol=1e-5)
        np.testing.assert_allclose(rows.points5[:, 2, 0], 100 + 2.0 * np.arange(FRAMES), rtol=1e-5)
        np.testing.assert_allclose(np.diff(rows.points68[:, 7, 0]), 2, atol=1e-3)
        assert np.isnan(rows.scores[50 : 50 + gap]).all()
    else:
        assert np.isnan(rows.boxes[50 : 50 + gap]).all()
        assert np.isnan(rows.points5[50 : 50 + gap]).all()
        assert (rows.track[50 : 50 + gap] == -1).all()


def test_gaps_are_not_filled_across_a_cut_or_a_jump(assign):
    seen = np.r_[0:50, 55:FRAMES]
    across = read_trial(assign([face(seen, 300, identity=ANNA)], {"v": "main"}, cuts=[53]), "v")
    assert (across.source[50:55] == "none").all()
    jump = read_trial(assign([face(seen, np.where(seen < 50, 200, 420), identity=ANNA)], {"v": "main"}), "v")
    assert (jump.source[55:] == "detected").all()  # the same person
    assert (jump.source[50:55] == "none").all()  # but nobody knows where in between


def test_a_stretch_without_face_stays_none(assign):
    path = assign([face(np.r_[20:60, 120:180], 300, identity=ANNA)], {"v": "main"})
    rows = read_trial(path, "v")
    assert (rows.source != "none").sum() == 100
    facts = read_metadata(path)["trials"]["v"]
    assert (facts["detected"], facts["none"], facts["coverage"]) == (100, 100, 0.5)


def test_held_frames_repeat_the_nearest_detection_of_their_shot(assign):
    path = assign([face(range(50, 100), np.arange(50, 100.0) + 200, identity=ANNA)], {"v": "main"}, cuts=[48], hold=4)
    rows = read_trial(path, "v")
    assert np.flatnonzero(rows.source == "held").tolist() == [48, 49, 100, 101, 102, 103]
    np.testing.assert_allclose(middle(rows)[[48, 49]], 250)
    np.testing.assert_allclose(middle(rows)[100:104], 299)


def test_landmarks_missing_on_one_side_stay_missing(assign, tmp_path):
    detections, _ = scene(face(np.r_[0:5, 8:12], 300))
    detections.points68[:5] = np.nan
    write_detections(tmp_path / "d.parquet", detections, 12)
    write_frames(tmp_path / "f.parquet", 12)
    assign_persons(
        tmp_path / "d.parquet", tmp_path / "f.parquet", {"v": "main"}, tmp_path / "p.parquet", options=TrackingOptions()
    )
    rows = read_trial(tmp_path / "p.parquet", "v")
    assert np.isnan(rows.points68[:, 0, 0]).tolist() == [True] * 8 + [False] * 4
    assert not np.isnan(rows.points5).any()


@pytest.mark.parametrize("at_once", [1, 4, 100])
def test_landmarks_are_read_by_row_in_any_order(tmp_path, monkeypatch, at_once):
    """Rows of no detection, rows twice, rows without landmarks, and rows on both sides of where a part that is read ends."""
    monkeypatch.setattr(tables, "ROWS_AT_ONCE", at_once)
    detections, _ = scene(face(range(9), 300))
    points = np.random.default_rng(0).normal(size=(9, 68, 2)).astype(np.float32)
    points[4] = np.nan
    detections.points68[:] = points
    found = read_detections(write_detections(tmp_path / "d.parquet", detections, 9))
    rows = np.array([8, -1, 3, 4, 3, 0, 7])
    expected = [np.full((68, 2), np.nan) if row < 0 else points[row] for row in rows]
    np.testing.assert_array_equal(found.points68[rows], expected)


@pytest.mark.parametrize("frames", [0, 5])
def test_a_video_without_frames_or_faces_is_a_result(assign, frames):
    path = assign([face([], 0)], {"v": "main", "v_left": "left"}, frames=frames, identity_distance=None)
    assert (read_trial(path, "v").source == "none").all()
    assert len(read_trial(path, "v_left").source) == frames
    assert read_metadata(path)["trials"]["v"]["coverage"] == 0


def overrides(tmp_path, *rows):
    path = tmp_path / "overrides.csv"
    path.write_text("\n".join(["trial,first_frame,last_frame,track,x,y", *rows]) + "\n")
    return str(path)


def test_overrides_take_the_named_track_the_face_at_a_point_or_nobody(assign, tmp_path):
    faces = [face(range(FRAMES), 320, side=90, identity=ANNA), face(range(FRAMES), 520, identity=BERT)]
    table = overrides(tmp_path, "v,10,19,1,,", "v,50,59,,515,170", "v,100,104,,,", "other,0,199,1,,")
    path = assign(faces, {"v": "main"}, overrides=table)
    tracks = {entry["mean_box"][0]: entry["track"] for entry in read_metadata(path)["tracks"]}
    x = middle(read_trial(path, "v"))
    bert = [*range(10, 20)] * (tracks[480.0] == 1) + [*range(50, 60)]
    expected = np.full(FRAMES, 320.0)
    expected[bert] = 520
    expected[100:105] = np.nan
    np.testing.assert_allclose(x, expected)
    assert read_metadata(path)["trials"]["v"]["overrides"] == 3


def test_nobody_by_override_is_not_filled_from_the_frames_beside(assign, tmp_path):
    table = overrides(tmp_path, "v,100,104,,,")
    rows = read_trial(assign([face(range(FRAMES), 320)], {"v": "main"}, overrides=table, hold=10), "v")
    assert np.flatnonzero(rows.source == "none").tolist() == [100, 101, 102, 103, 104]
    assert (np.delete(rows.source, range(100, 105)) == "detected").all()


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("trial,first,last\nv,1,2\n", r"unknown columns \['first', 'last'\]"),
        ("trial,first_frame,last_frame\nv,1,2\n", "column 'track' is missing"),
        ("trial,first_frame,last_frame,track,x,y\nv,one,2,,,\n", "line 2: 'one' is not a whole number"),
        ("trial,first_frame,last_frame,track,x,y\nv,5,2,,,\n", "line 2"),
        ("trial,first_frame,last_frame,track,x,y\nv,-1,2,,,\n", "line 2"),
        ("trial,first_frame,last_frame,track,x,y\nv,1,2,3,4,5\n", "not both"),
        ("trial,first_frame,last_frame,track,x,y\nv,1,2,,nan,5\n", "line 2: 'nan' is not a number"),
        ("trial,first_frame,last_frame,track,x,y\nv,1,2,,5,\n", "line 2: '' is not a number"),
        ("trial,first_frame,last_frame,track,x,y\nv,1,2,1.5,,\n", "line 2: '1.5' is not a whole number"),
        ("trial,first_frame,last_frame,track,x,y\nv,1,2,,,\nv,1,2,,\n", "line 3: 5 values"),
        (
            "trial,first_frame,last_frame,track,x,y\nv,1,5,,,\n",
            "line 2: there is no frame 5; the video has frames 0 to 4",
        ),
        (
            "trial,first_frame,last_frame,track,x,y\nv,0,4,1,,\n",
            "line 2: there is no track 1; known: 0 in frames 0 to 2",
        ),
        ("trial,first_frame,last_frame,track,x,y\nv,3,4,0,,\n", "line 2: track 0 is seen in frames 0 to 2 only"),
        ("trial,first_frame,last_frame,track,x,y\nv,0,4,,5000,5\n", "line 2: the point lies outside the image"),
    ],
)
def test_overrides_that_cannot_be_meant_name_the_line(assign, tmp_path, content, complaint):
    (tmp_path / "o.csv").write_text(content)
    with pytest.raises(InputError, match=complaint):
        assign([face(range(3), 300)], {"v": "main"}, frames=5, overrides=str(tmp_path / "o.csv"))


def test_a_broken_video_has_nothing_to_correct(assign, tmp_path):
    path = assign([face([], 0)], {"v": "main"}, frames=0, overrides=overrides(tmp_path, "v,0,9,1,,"))
    assert len(read_trial(path, "v").source) == 0


def test_many_overrides_take_little_time(assign, tmp_path):
    table = overrides(tmp_path, *(f"v,{index % 190},{index % 190},0,," for index in range(20_000)))
    began = time.process_time()
    rows = read_trial(assign([face(range(FRAMES), 320)], {"v": "main"}, overrides=table), "v")
    assert time.process_time() - began < 5
    assert (rows.source == "detected").all()


def test_unknown_names_are_refused(assign):
    with pytest.raises(InputError, match=r"gap.*interpolate"):
        parse(TrackingOptions, {"gap": 3}, "faces.tracking")
    with pytest.raises(InputError, match="middle"):
        assign([face(range(5), 300)], {"v": "middle"})
    with pytest.raises(InputError, match="no trial"):
        read_trial(assign([face(range(5), 300)], {"v": "main"}), "w")


@pytest.mark.parametrize(
    ("options", "tracks", "filled"),
    [
        ({}, [(0, 119)], 20),
        ({"interpolate": 0}, [(0, 119)], 0),
        ({"interpolate": 4}, [(0, 119)], 0),
        ({"max_gap": 4}, [(0, 19), (25, 44), (50, 69), (75, 94), (100, 119)], 0),
        ({"max_gap": 4, "interpolate": 0}, [(0, 19), (25, 44), (50, 69), (75, 94), (100, 119)], 0),
    ],
)
def test_a_track_survives_gaps_that_are_not_filled(assign, options, tracks, filled):
    """Somebody walks by and is missed in every 21st to 25th frame: whether a track goes on does not depend on what is filled."""
    seen = np.array([frame for frame in range(120) if frame % 25 < 20])
    about = read_metadata(
        assign([face(seen, 100 + 12.0 * seen)], {"v": "main"}, frames=120, identity_distance=None, **options)
    )
    assert [(track["first_frame"], track["last_frame"]) for track in about["tracks"]] == tracks
    assert about["trials"]["v"]["interpolated"] == filled


SLIDES = [(300 + 5 * (number % 3), np.eye(40)[number]) for number in range(40)]


def slides(each: int, *, identity: bool):
    """One person after the other for ``each`` frames, nearly at the same position: faces, cuts and number of frames."""
    faces = [
        face(range(each * k, each * (k + 1)), x, identity=who[:4] + 0.9 * k if identity else None)
        for k, (x, who) in enumerate(SLIDES)
    ]
    return faces, [each * k for k in range(1, len(SLIDES))], each * len(SLIDES)


@pytest.mark.parametrize("each", [1, 2, 3, 4])
@pytest.mark.parametrize("identity", [True, False])
def test_where_nobody_stays_each_shot_has_its_own_person(assign, each, identity):
    faces, cuts, count = slides(each, identity=identity)
    path = assign(faces, {"v": "main"}, cuts=cuts, frames=count)
    rows = read_trial(path, "v")
    assert (rows.source == "detected").all()
    assert len(set(rows.track.tolist())) == 40
    assert (rows.track.reshape(40, each) == np.arange(40)[:, None]).all()
    facts = read_metadata(path)["trials"]["v"]
    assert (facts["follows"], facts["presence"]) == ("shots", 1 / 40)
    assert [(f.severity, f.finding) for f in face_findings("v", read_metadata(path))] == [("warning", "no_main_person")]


def test_of_several_people_in_a_short_shot_the_most_prominent_is_shown(assign):
    faces, cuts, count = slides(3, identity=True)
    beside = [face(range(3 * k, 3 * k + 3), 560, side=40) for k in range(40)]
    rows = read_trial(assign([*faces, *beside], {"v": "main"}, cuts=cuts, frames=count), "v")
    assert (rows.source == "detected").all()
    np.testing.assert_allclose(middle(rows), np.repeat([x for x, _ in SLIDES], 3))


@pytest.mark.parametrize(("own", "shown"), [(25, 25), (24, 100)])
def test_a_person_in_a_quarter_of_the_frames_is_the_one_to_follow(assign, own, shown):
    """Four smaller people share the other frames of 100."""
    parts = np.array_split(np.arange(own, 100), 4)
    people = [face(range(own), 320, side=90, identity=ANNA)]
    people += [face(part, 200, side=60, identity=np.eye(4)[k] * 3) for k, part in enumerate(parts)]
    path = assign(people, {"v": "main"}, cuts=[int(part[0]) for part in parts], frames=100)
    assert (read_trial(path, "v").source == "detected").sum() == shown


def test_an_insert_of_three_frames_is_not_the_person(assign):
    """Anna, three frames of somebody else at her position, Anna again: with and without identity."""
    for who, other in ((ANNA, BERT), (None, None)):
        frames = [*range(60), *range(63, FRAMES)]
        path = assign(
            [face(frames, 320, identity=who), face(range(60, 63), 320, identity=other)], {"v": "main"}, cuts=[60, 63]
        )
        rows = read_trial(path, "v")
        assert np.flatnonzero(rows.source != "detected").tolist() == [60, 61, 62]


@pytest.mark.parametrize(
    ("places", "sides", "expected"),
    [
        ((100, 320, 540), (80, 80, 80), (100, 320, 540)),
        ((60, 150, 240), (90, 90, 90), (60, 150, 240)),  # the middle one is not the most prominent
        ((400, 500, 600), (60, 110, 60), (400, 500, 600)),
        ((100, 250, 400, 550), (80, 80, 90, 80), (100, 400, 550)),
        ((20, 150, 320, 500), (20, 80, 80, 80), (150, 320, 500)),  # a small bystander outside
    ],
)
def test_of_three_the_outermost_are_left_and_right_and_the_rest_is_main(assign, places, sides, expected):
    people = [face(range(FRAMES), x, side=side) for x, side in zip(places, sides, strict=True)]
    path = assign(people, {"v": "main", "v_left": "left", "v_right": "right"})
    found = [float(np.unique(middle(read_trial(path, trial)))[0]) for trial in ("v_left", "v", "v_right")]
    assert tuple(found) == expected
    assert read_metadata(path)["seen_together"] == FRAMES


def test_company_is_counted_and_said(assign):
    """Two people throughout, a third for a while, a false detection of three frames."""
    people = [face(range(FRAMES), 200), face(range(FRAMES), 420, side=60), face(range(50, 90), 560, side=40)]
    path = assign([*people, face(range(10, 13), 60, side=30)], {"v": "main"})
    about = read_metadata(path)
    assert about["company"] == {"frames": FRAMES, "people": 2}
    assert about["overview"]["frame"] == 50
    assert sorted(f["box"] for f in about["overview"]["faces"]) == [
        [160.0, 140.0, 240.0, 220.0],
        [390.0, 150.0, 450.0, 210.0],
        [540.0, 160.0, 580.0, 200.0],
    ]
    (finding,) = face_findings("v", about)
    assert (finding.finding, finding.severity, finding.detail) == ("several_faces", "warning", "2 faces throughout")
    assert "the most prominent one was followed; see sheet" in finding.rule
    paired = assign(people, {"v_left": "left", "v_right": "right"})
    assert not list(face_findings("v", read_metadata(paired)))
    alone = read_metadata(assign(people[:1], {"v": "main"}))
    assert (alone["company"]["frames"], alone["overview"]) == (0, None)


def test_the_smallest_face_is_said_where_none_is_found(assign):
    path = assign([face([], 0)], {"v": "main"})
    about = read_metadata(path) | {"smallest_face": 96.0}
    (finding,) = face_findings("v", about)
    assert "faces under about 96 pixels cannot be found" in finding.detail
