"""The audit turns what every stage recorded into lines, and hides nothing."""

import csv
import re
from dataclasses import asdict

import pytest

from wildaffect.corpus.trials import Finding, Trial
from wildaffect.errors import InputError
from wildaffect.media.audio import write_audio
from wildaffect.report.audit import (
    AUDIO_FLAGS,
    COLUMNS,
    audio_findings,
    cross_task_leakage,
    face_findings,
    label_findings,
    media_findings,
    verify_corpus,
)

MEDIA = {
    "status": "ok",
    "reason": "",
    "frames": 100,
    "repairs": {},
    "vfr": False,
    "rotation": 0,
    "sample_aspect": "1:1",
    "average_rate": 25.0,
    "jitter_s": 0.0,
}
CHOICE = {"kind": "video", "used": 1, "of": [0, 1]}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, []),
        ({"status": "unreadable", "reason": "not a video"}, [("error", "unreadable_video")]),
        ({"status": "truncated", "reason": "2 packets failed"}, [("error", "truncated_video")]),
        ({"repairs": {"missing": 3, "duplicate": 1}}, [("warning", "timestamps_repaired")] * 2),
        ({"vfr": True, "jitter_s": 0.02, "rotation": 90}, [("info", "variable_frame_rate"), ("info", "rotated")]),
        ({"sample_aspect": "16:11"}, [("info", "anamorphic")]),
        ({"hdr": "PQ"}, [("info", "high_dynamic_range")]),
        ({"nominal_rate": "1000/41"}, [("warning", "stated_frame_rate")]),
        ({"nominal_rate": "2499/100"}, []),
        ({"streams": CHOICE | {"reason": "default"}}, [("info", "video_stream")]),
        ({"streams": CHOICE | {"reason": "most frames"}}, [("warning", "video_stream")]),
    ],
)
def test_media(changes, expected):
    assert [(f.severity, f.finding) for f in media_findings("v", MEDIA | changes)] == expected


def test_changes_inside_a_file_are_told_with_their_frames():
    changes = [
        {"frame": 0, "width": 1280, "height": 720, "rotation": 0},
        {"frame": 15, "width": 720, "height": 1280, "rotation": 0},
    ]
    clocks = [
        {"frame": 0, "begin_s": 10.0, "end_s": 11.8, "shift_s": 0.0},
        {"frame": 45, "begin_s": 10.0, "end_s": 11.8, "shift_s": 1.8},
    ]
    about = MEDIA | {"width": 720, "height": 1280, "changes": changes, "changed": 1, "clocks": clocks}
    image, clock = media_findings("v", about)
    assert (image.severity, image.finding) == ("warning", "image_changes")
    assert image.detail == "1280x720 from frame 0, 720x1280 from frame 15"
    assert (clock.severity, clock.finding) == ("warning", "clock_steps")
    assert clock.detail == "the file's clock steps by -1.800 s at frame 45"
    (image, _) = media_findings("v", about | {"changed": 30})
    assert image.detail.endswith("frame 15 and 29 more")
    about["changes"] = [change | {"rotation": 90 * row} for row, change in enumerate(changes)]
    (image, _) = media_findings("v", about)
    assert image.detail == "1280x720 turned by 0 degrees from frame 0, 720x1280 turned by 90 degrees from frame 15"


def test_the_stream_that_was_chosen_is_named():
    (finding,) = audio_findings("v", {"flags": [], "streams": CHOICE | {"kind": "audio", "reason": "default"}})
    assert (finding.finding, finding.detail) == ("audio_stream", "2 audio streams, used stream 1 (default)")


@pytest.mark.parametrize("flag", sorted(AUDIO_FLAGS))
def test_every_audio_flag_has_its_line(flag):
    about = {
        "flags": [flag],
        "offset_s": 0.5,
        "gaps_s": 0.1,
        "overlaps_s": 0.1,
        "clipped_fraction": 0.02,
        "failed_packets": 3,
        "unplaced_s": [[1.8, 3.6]],
        "channel": 2,
        "channels": 2,
        "dead_channels": [1],
        "not_finite": 7,
    }
    (finding,) = audio_findings("v", about)
    assert finding.finding == f"audio_{flag}" and "{" not in finding.detail


def test_audio_flags_are_those_of_the_media_stage():
    listed = write_audio.__doc__.partition("`flags`, any of:")[2].partition(".\n")[0]
    documented = re.sub(r"\([^)]*\)", "", listed).split(",")
    assert {flag.strip() for flag in documented} == set(AUDIO_FLAGS)


def test_faces():
    about = {"trials": {"a": {"coverage": 0.0}, "b": {"coverage": 0.3}, "c": {"coverage": 0.9}}}
    assert [(f.trial, f.severity) for f in face_findings("v", about)] == [("a", "warning"), ("b", "warning")]


def write_findings(path, *findings):
    with path.open("w", newline="") as handle:
        writer = csv.DictWriter(handle, COLUMNS)
        writer.writeheader()
        writer.writerows(asdict(finding) for finding in findings)
    return path


def test_errors_are_told_at_the_end_unless_accepted(tmp_path):
    broken = Finding("", "v", "error", "unreadable_video", "not a video", "no frames")
    audit = write_findings(
        tmp_path / "audit.csv", broken, Finding("w", "w", "info", "invalid_rows", "2 of 9", "masked")
    )
    verdict = tmp_path / "verdict.txt"
    with pytest.raises(InputError, match=r"v: unreadable_video: not a video[^$]*accept_findings"):
        verify_corpus(audit, verdict, [])
    assert not verdict.exists()
    verify_corpus(audit, verdict, ["unreadable_video"])
    assert verdict.read_text() == "error: 1\nwarning: 0\ninfo: 1\n"


def test_labels():
    facts = {
        "rows": 101,
        "frames": 100,
        "kind": "one_more",
        "rule": "truncate",
        "invalid_rows": 2,
        "half_invalid_rows": 1,
    }
    found = list(label_findings("va", {"trials": {"a_left": facts}}, {"a_left": "a"}))
    assert [f.finding for f in found] == ["label_rows_one_more", "half_invalid_rows", "invalid_rows"]
    assert all(f.video == "a" for f in found) and found[0].rule == "truncate"


def test_excluded_frames_are_counted_and_ranges_without_any_are_named():
    facts = {"kind": "equal", "rule": "none", "rows": 9, "frames": 9, "invalid_rows": 0, "half_invalid_rows": 0}
    facts |= {"excluded": 4, "ranges_without_frame": 1}
    found = list(label_findings("va", {"trials": {"a_left": facts}}, {"a_left": "a"}))
    assert [(f.finding, f.severity) for f in found] == [("excluded_frames", "info"), ("excluded_nothing", "warning")]
    assert "va: 4 of 9 frames" in found[0].detail and "1 ranges" in found[1].detail
    facts["ranges_without_frame"] = 0
    assert len(list(label_findings("va", {"trials": {"a_left": facts}}, {"a_left": "a"}))) == 1


def test_leakage_between_tasks_and_within_one():
    trials = [
        Trial("a", "a", "a.mp4", partition_va="train", partition_expr="test"),
        Trial("b_left", "b", "b.mp4", "left", partition_va="train"),
        Trial("b_right", "b", "b.mp4", "right", partition_va="validation"),
        Trial("c", "c", "c.mp4", partition_va="train", partition_au="train"),
    ]
    found = {(f.video, f.finding, f.severity) for f in cross_task_leakage(trials)}
    assert found == {("a", "cross_task_leakage", "warning"), ("b", "partition_conflict", "error")}
