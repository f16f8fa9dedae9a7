"""The rendered subjects: faces that an ordinary detector finds and whose expression tells their affect."""

import dlib
import numpy as np
import pytest

from wildaffect.demo.affect import affect
from wildaffect.demo.plan import SIZE, plan
from wildaffect.demo.subject import draw_subject, frames, landmarks, mesh, portrait, poses
from wildaffect.faces.detectors.dlib import landmark_file

SECONDS = 20.0
SUBJECTS = [person.traits for video in plan() for person in video.persons]
TIMES = np.arange(0.3, SECONDS, 0.97)


@pytest.fixture(scope="module")
def detector():
    return dlib.get_frontal_face_detector()


def draw(traits, times):
    return list(frames(draw_subject(traits), SECONDS, times, np.ones(len(times), bool)))


def signed_areas(points, triangles):
    a, b, c = (points[triangles[:, corner]] for corner in range(3))
    return np.cross(np.pad(b - a, ((0, 0), (0, 1))), np.pad(c - a, ((0, 0), (0, 1))))[:, 2]


def test_no_triangle_folds_over():
    rest = portrait().landmarks
    border, triangles = mesh(rest)
    upright = signed_areas(np.concatenate([rest, border]), triangles)
    for traits in [*SUBJECTS, *range(20)]:
        physique = draw_subject(traits).physique
        for valence in (-1, -0.5, 0, 0.5, 1):
            for arousal in (-1, -0.5, 0, 0.5, 1):
                moved = np.concatenate([landmarks(rest, physique, valence, arousal), border])
                assert (signed_areas(moved, triangles) / upright).min() > 0, (traits, valence, arousal)


@pytest.mark.slow
def test_every_subject_is_found_and_its_expression_follows_its_affect(detector):
    predictor = dlib.shape_predictor(str(landmark_file()))
    found = shown = 0
    for traits in SUBJECTS:
        rows = []
        for time, picture in zip(TIMES, draw(traits, TIMES), strict=True):
            faces = detector(picture, 0)
            shown += 1
            if len(faces) != 1:
                continue
            found += 1
            points = np.array([(p.x, p.y) for p in predictor(picture, faces[0]).parts()], float)
            across = points[42:48].mean(0) - points[36:42].mean(0)
            down = np.array([-across[1], across[0]]) / (across @ across)  # the eyes are one unit apart
            rows.append((time, (points[66] - points[62]) @ down, (points[33] - points[[48, 54]].mean(0)) @ down))
        times, opening, corners = np.array(rows).T
        valence, arousal = affect(traits, SECONDS, times)
        assert np.corrcoef(opening, arousal)[0, 1] > 0.8, traits
        assert np.corrcoef(corners, valence)[0, 1] > 0.95, traits
    assert found >= 0.97 * shown


def test_one_subject_is_found_in_every_picture(detector):
    assert [len(detector(picture, 0)) for picture in draw(SUBJECTS[0], TIMES[::3])] == [1] * len(TIMES[::3])


def test_absent_subject_leaves_only_the_background(detector):
    subject = draw_subject(SUBJECTS[0])
    first, second = frames(subject, SECONDS, np.array([1.0, 1.04]), np.array([True, False]))
    assert len(detector(first, 0)) == 1
    assert len(detector(second, 0)) == 0
    np.testing.assert_array_equal(second, subject.background)


def test_open_mouth_is_dark_inside():
    traits = SUBJECTS[1]
    grid = np.arange(0, SECONDS, 0.05)
    _, arousal = affect(traits, SECONDS, grid)
    times = grid[[arousal.argmin(), arousal.argmax()]]
    subject = draw_subject(traits)
    dark = []
    for time, picture, pose in zip(times, draw(traits, times), poses(subject, times), strict=True):
        points = landmarks(portrait().landmarks, subject.physique, *np.ravel(affect(traits, SECONDS, np.array([time]))))
        x, y = pose[:, :2] @ points[[62, 66]].mean(0) + pose[:, 2]
        x = SIZE - 1 - x if subject.mirrored else x
        patch = picture[round(y) - 8 : round(y) + 9, round(x) - 8 : round(x) + 9].mean(axis=2)
        dark.append(float((patch < 50).mean()))
    assert dark[1] > 0.4
    assert dark[0] < 0.2


def test_picture_depends_on_the_time_alone():
    together, alone = draw(SUBJECTS[2], TIMES[:3])[2], draw(SUBJECTS[2], TIMES[2:3])[0]
    assert together.shape == (SIZE, SIZE, 3)
    assert together.dtype == np.uint8
    np.testing.assert_array_equal(together, alone)


def test_subjects_look_different():
    looks = [draw(traits, TIMES[:1])[0].astype(float) for traits in SUBJECTS[:5]]
    assert all(np.abs(looks[i] - looks[j]).mean() > 10 for i in range(5) for j in range(i))


def test_pose_is_unrelated_to_affect():
    grid = np.arange(0, SECONDS, 0.1)
    related = []
    for traits in range(30):
        angle = np.arctan2(*poses(draw_subject(traits), grid)[:, [1, 0], 0].T)
        related += [np.corrcoef(angle, curve)[0, 1] for curve in affect(traits, SECONDS, grid)]
    assert abs(np.mean(related)) < 0.15
