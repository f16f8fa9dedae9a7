"""One recording under two names: found by the movement of faces, by equal files, by subjects."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from support.corpora import touch
from wildaffect.corpus.scan import same_files, shared_subjects
from wildaffect.corpus.trials import Corpus, Trial
from wildaffect.faces.copies import BOXES, TIMES, find_copies
from wildaffect.report.audit import copy_findings
from wildaffect.tables import write_table


def movement(seed: int, times: np.ndarray) -> np.ndarray:
    """Centre and side (n, 3) in pixels of a face that moves as heads do: slow waves of random phase."""
    rng = np.random.default_rng(seed)
    rates, phases = rng.uniform(0.05, 0.7, (3, 6)), rng.uniform(0, 2 * np.pi, (3, 6))
    waves = np.sin(2 * np.pi * rates[:, :, None] * times + phases[:, :, None]).sum(axis=1)
    return (np.array([[300], [200], [90]]) + np.array([[12], [8], [4]]) * waves).T


def write(folder, name, times, places, source="detected"):
    """Tables of persons and frames of a video with one trial of its name; what they are called."""
    low, high = places[:, :2] - places[:, 2:] / 2, places[:, :2] + places[:, 2:] / 2
    rows = {
        "trial": [name] * len(times),
        "frame": pa.array(range(len(times)), pa.int32()),
        "source": [source] * len(times),
        **dict(zip(("x0", "y0", "x1", "y1"), np.hstack([low, high]).astype(np.float32).T, strict=True)),
    }
    write_table(folder / f"{name}.persons.parquet", pa.table(rows), BOXES)
    write_table(folder / f"{name}.frames.parquet", pa.table({"time_s": times}), TIMES)


def copies_in(folder, *names):
    paths = [{name: folder / f"{name}.{kind}.parquet" for name in names} for kind in ("persons", "frames")]
    return find_copies(*paths)


SECONDS = np.arange(0, 40, 1 / 25)


def test_a_copy_that_was_encoded_again_resized_and_cut_is_found(tmp_path):
    """30 frames a second instead of 25, 0.6 of the size, boxes on whole pixels that miss by one, from second 7.3 to 29.3."""
    write(tmp_path, "original", SECONDS, movement(1, SECONDS))
    times = np.arange(0, 22, 1 / 30)
    jitter = np.random.default_rng(0).normal(0, 1, (len(times), 3))
    write(tmp_path, "copy", times, np.round(0.6 * movement(1, times + 7.3) + jitter))
    write(tmp_path, "other", SECONDS, movement(2, SECONDS))
    (found,) = copies_in(tmp_path, "original", "copy", "other")
    assert {found.trial, found.of} == {"original", "copy"}
    assert abs(found.shift) == pytest.approx(7.3, abs=0.25)
    assert found.fraction >= 0.5


def test_other_recordings_are_not_taken_for_copies(tmp_path):
    names = [f"v{seed}" for seed in range(12)]
    for seed, name in enumerate(names):
        write(tmp_path, name, SECONDS, movement(seed, SECONDS))
    assert copies_in(tmp_path, *names) == []


@pytest.mark.parametrize(
    "change",
    [
        lambda places: np.broadcast_to(places[:1], places.shape),  # a still image
        lambda places: places[:1] + np.linspace(0, 200, len(places))[:, None],  # a steady drift
    ],
)
def test_faces_that_do_not_move_of_themselves_say_nothing(tmp_path, change):
    for name in ("a", "b"):
        write(tmp_path, name, SECONDS, np.array(change(movement(1, SECONDS))))
    assert copies_in(tmp_path, "a", "b") == []


def test_short_clips_and_faces_that_were_not_detected_say_nothing(tmp_path):
    short = SECONDS[:75]
    for name in ("a", "b"):
        write(tmp_path, name, short, movement(1, short))
    assert copies_in(tmp_path, "a", "b") == []
    for name in ("a", "b"):
        write(tmp_path, name, SECONDS, movement(1, SECONDS), source="held")
    assert copies_in(tmp_path, "a", "b") == []


def rows(task, fold, **partitions):
    return [{"task": task, "fold": fold, "trial": trial, "partition": part} for trial, part in partitions.items()]


def test_only_copies_on_both_sides_are_findings(tmp_path):
    write(tmp_path, "a", SECONDS, movement(1, SECONDS))
    write(tmp_path, "b", SECONDS, movement(1, SECONDS))
    copies, videos = copies_in(tmp_path, "a", "b"), {"a": "a", "b": "b"}
    assert len(copies) == 1
    together = rows("va", 0, a="train", b="train") + rows("va", 1, a="validation", b="validation")
    assert list(copy_findings(copies, together, videos)) == []
    apart = [*together, *rows("expr", 2, a="validation", b="train"), *rows("expr", 3, a="validation", b="train")]
    (finding,) = copy_findings(copies, apart, videos)
    assert (finding.trial, finding.severity, finding.finding) == ("a", "warning", "held_out_copy")
    assert "that of b does (100% of the stretches" in finding.detail and "(expr, fold 2 and 1 more)" in finding.detail
    (tested,) = copy_findings(copies, rows("va", 0, a="train", b="test"), videos)
    assert tested.trial == "b"


def test_equal_files_of_different_names_are_told(tmp_path):
    touch(tmp_path / "empty1.mp4", tmp_path / "empty2.mp4")
    for name, content in {"a": b"x" * 200_000, "b": b"x" * 200_000, "c": b"x" * 199_999 + b"y", "d": b"x"}.items():
        (tmp_path / f"{name}.mp4").write_bytes(content)
    trials = [
        Trial(name, name, f"{name}.mp4", partition_va="train") for name in ("a", "b", "c", "d", "empty1", "empty2")
    ]
    found = list(same_files(tmp_path, Corpus(tuple(trials))))
    assert [(f.video, f.severity, f.detail) for f in found] == [("b", "warning", "the same file as that of a")]
    bound = [replace(trial, group="1") for trial in trials]
    assert [f.severity for f in same_files(tmp_path, Corpus(tuple(bound)))] == ["info"]
    predicted = [replace(trial, partition_va="test") for trial in trials]
    assert [f.severity for f in same_files(tmp_path, Corpus(tuple(predicted)))] == ["info"]


def test_subjects_and_groups_on_both_sides_are_told():
    trials = (
        Trial("a", "a", "a.mp4", partition_va="train", subject="anna", group="x"),
        Trial("b", "b", "b.mp4", partition_va="validation", subject="anna"),
        Trial("c", "c", "c.mp4", partition_va="train", partition_expr="test", subject="carl", group="x"),
        Trial("d", "d", "d.mp4", partition_va="test", group="x"),
    )
    found = [(f.severity, f.finding, f.detail) for f in shared_subjects(Corpus(trials))]
    assert found == [
        ("warning", "shared_subject", "subject 'anna' is trained on (a) and held out (b) in va"),
        ("warning", "shared_group", "group 'x' is trained on (a) and held out (d) in va"),
    ]
