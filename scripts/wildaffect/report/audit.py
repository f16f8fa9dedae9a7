"""The audit: every anomaly of the corpus in one table, gathered from the metadata of the results.

Nothing is decided here: each stage records its anomalies in the metadata of its files, and this turns them into rows for a reader.
"""

import csv
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, fields
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

from wildaffect.corpus.folds import FOLDS
from wildaffect.corpus.trials import TASKS, TRIALS, Finding, Trial, trials_from_table
from wildaffect.errors import InputError
from wildaffect.faces.copies import Copy, find_copies
from wildaffect.faces.tables import ABSENT
from wildaffect.files import atomic
from wildaffect.media.audio import read_about
from wildaffect.tables import read_metadata, read_table
from wildaffect.textfiles import plain_cell, safe_cell

COLUMNS = tuple(field.name for field in fields(Finding))
SEVERITIES = ("error", "warning", "info")
LOW_COVERAGE = 0.5
# Stated and measured frame rates differ by rounding, and by the length of the last frame.
RATES_APART = 0.01
# Fractions of the frames with a face: several people or doubtful crops in fewer are not worth a line, in more a warning.
NOTED, OFTEN, THROUGHOUT = 0.1, 0.5, 0.9
# A fifth of the organisers' trials has one or two images more than frames (LFAN spec 2.9).
EXPECTED_BEYOND = 2

JOIN_SEVERITY = {"one_more": "info", "more": "warning", "fewer": "warning", "far_off": "error"}
AUDIO_FLAGS = {
    "absent": ("warning", "no audio stream", "silence of the video's length, marked invalid"),
    "undecodable": ("error", "the audio stream cannot be decoded", "silence of the video's length, marked invalid"),
    "outside": ("warning", "no audio during the video", "silence of the video's length, marked invalid"),
    "late": ("info", "audio starts {offset_s:+.3f} s after the first frame", "padded with silence at the start"),
    "early": ("info", "audio starts {offset_s:+.3f} s after the first frame", "trimmed at the start"),
    "short": ("warning", "the audio ends before the video", "padded with silence at the end"),
    "gaps": ("info", "{gaps_s:.3f} s of gaps inside the audio", "kept as silence"),
    "overlaps": ("info", "{overlaps_s:.3f} s of overlapping audio", "later samples dropped"),
    "silent": ("warning", "the audio stream holds only silence", "kept"),
    "clipped": ("info", "{clipped_fraction:.2%} of the samples at full scale", "kept"),
    "damaged": ("warning", "{failed_packets} audio packets could not be decoded", "silence in their place"),
    "rate_changed": ("info", "the sample rate changes inside the file", "later parts resampled to the first rate"),
    "unplaced": (
        "warning",
        "the clock of the audio steps at {unplaced_s[0][0]:.3f} s, that of the frames does not",
        "goes on without the step, marked invalid from there",
    ),
    "cancelling": (
        "warning",
        "the channels cancel each other; channel {channel} of {channels} is used",
        "one channel instead of the mean",
    ),
    "dead_channel": ("warning", "only silence in channel {dead_channels} of {channels}", "averaged with the others"),
    "not_finite": ("warning", "{not_finite} samples are no finite numbers", "set to 0"),
}
# Reasons for a stream that need no second look.
STATED = ("default", "as the table of trials says")
LISTED = 5


def write_audit(
    output: Path,
    *,
    trials: Path,
    frames: Mapping[str, Path],
    audio: Mapping[str, Path],
    persons: Mapping[str, Path],
    labels: Mapping[str, Path],
    folds: Path | None = None,
) -> None:
    """Write the audit: one row per finding, errors first, then by video and trial.

    Args:
        output: CSV file to write, `corpus/audit.csv`.
        trials: Table of trials, with the findings of the scan in its metadata.
        frames: Frame table by video.
        audio: Audio file by video.
        persons: Table of persons by video.
        labels: Label table by task.
        folds: Table of folds, by which copies of one recording are trained on and held out.
    """
    rows = trials_from_table(read_table(trials, TRIALS))
    video_of = {trial.trial: trial.video for trial in rows}
    findings = [Finding(**entry) for entry in read_metadata(trials)["findings"]]
    findings += cross_task_leakage(rows)
    for video, path in frames.items():
        metadata = read_metadata(path)
        findings += media_findings(video, metadata)
        if metadata["status"] != "unreadable":  # else it has no audio and no faces either
            findings += audio_findings(video, read_about(audio[video]))
            findings += face_findings(video, read_metadata(persons[video]))
    for task, path in labels.items():
        findings += label_findings(task, read_metadata(path), video_of)
    if folds:
        findings += copy_findings(find_copies(persons, frames), read_table(folds, FOLDS).to_pylist(), video_of)
    findings.sort(
        key=lambda finding: (SEVERITIES.index(finding.severity), finding.video, finding.trial, finding.finding)
    )
    with atomic(output) as partial, partial.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, COLUMNS)
        writer.writeheader()
        writer.writerows({name: safe_cell(text) for name, text in asdict(finding).items()} for finding in findings)


def verify_corpus(audit: Path, output: Path, accepted: Collection[str]) -> None:
    """Write the number of findings of each severity.

    Args:
        audit: Table of `write_audit`.
        output: Text file to write.
        accepted: Names of findings that are no reason to stop.

    Raises:
        InputError: The audit has errors that are not accepted.
    """
    with audit.open(newline="", encoding="utf-8") as handle:
        findings = [Finding(**{name: plain_cell(text) for name, text in row.items()}) for row in csv.DictReader(handle)]
    errors = [f for f in findings if f.severity == "error" and f.finding not in accepted]
    if errors:
        lines = [f"  {f.trial or f.video}: {f.finding}: {f.detail} ({f.rule})" for f in errors]
        raise InputError(
            f"{audit}: everything else is finished, but the corpus has {len(errors)} errors:\n"
            + "\n".join(lines)
            + "\nRepair or remove these files, or list the findings in corpus.accept_findings to continue without them."
        )
    counts = Counter(finding.severity for finding in findings)
    with atomic(output) as partial:
        partial.write_text("".join(f"{severity}: {counts[severity]}\n" for severity in SEVERITIES), encoding="utf-8")


def cross_task_leakage(trials: Iterable[Trial]) -> Iterator[Finding]:
    """Training videos of one task that are held out in another: models of both tasks must not be trained on them."""
    partitions: dict[str, dict[str, set[str]]] = {}
    for trial in trials:
        for task in TASKS:
            if partition := trial.partition(task):
                partitions.setdefault(trial.video, {}).setdefault(partition, set()).add(task)
    for video, tasks_of in partitions.items():
        held_out = {task: part for part in ("validation", "test") for task in tasks_of.get(part, ())}
        for train in sorted(tasks_of.get("train", ())):
            for task, part in sorted(held_out.items()):
                name = "partition_conflict" if task == train else "cross_task_leakage"
                severity = "error" if task == train else "warning"
                yield Finding(
                    "", video, severity, name, f"training video of {train}, {part} video of {task}", "reported only"
                )


def media_findings(video: str, metadata: Mapping[str, Any]) -> Iterator[Finding]:
    """Findings of a frame table's metadata."""

    def finding(severity: str, name: str, detail: str, rule: str) -> Finding:
        return Finding("", video, severity, name, detail, rule)

    if metadata["status"] == "unreadable":
        yield finding("error", "unreadable_video", metadata["reason"], "no frames; nothing can be predicted")
        return
    if metadata["status"] != "ok":
        detail = f"{metadata['reason'].rstrip('.')}; {metadata['frames']} frames decoded"
        yield finding("error", "truncated_video", detail, "decodable frames kept")
    for rule, count in metadata["repairs"].items():
        yield finding("warning", "timestamps_repaired", f"{count} frames", rule)
    if metadata["vfr"]:
        detail = f"mean rate {metadata['average_rate']:.3f}, jitter {1000 * metadata['jitter_s']:.1f} ms"
        yield finding("info", "variable_frame_rate", detail, "every frame keeps its own time")
    stated = metadata.get("nominal_rate")
    if stated and abs(float(Fraction(stated)) / metadata["average_rate"] - 1) > RATES_APART:
        detail = (
            f"the file states {float(Fraction(stated)):.3f} frames/s, its frames come at {metadata['average_rate']:.3f}"
        )
        yield finding("warning", "stated_frame_rate", detail, "faithful LFAN and NTUA take it for audio, as published")
    if metadata["rotation"]:
        yield finding("info", "rotated", f"{metadata['rotation']} degrees", "frames are rotated upright")
    if metadata["sample_aspect"] not in (None, "1:1"):
        yield finding(
            "info", "anamorphic", f"sample aspect {metadata['sample_aspect']}", "recorded, pixels kept as stored"
        )
    yield from stream_findings(video, metadata)
    if "changes" in metadata:
        rule = f"all images are {metadata['width']}x{metadata['height']}, others fitted in with their aspect kept"
        yield finding("warning", "image_changes", _changes(metadata["changes"], metadata["changed"]), rule)
    if "hdr" in metadata:
        yield finding(
            "info", "high_dynamic_range", metadata["hdr"], "tone-mapped to BT.709 (libswscale, relative colorimetric)"
        )
    clocks = metadata.get("clocks", [])
    steps = [
        f"{after['begin_s'] - before['end_s']:+.3f} s at frame {after['frame']}" for before, after in pairwise(clocks)
    ]
    if steps:
        rule = "frames and audio go on without the steps"
        yield finding("warning", "clock_steps", f"the file's clock steps by {_some(steps, len(steps))}", rule)


def stream_findings(video: str, metadata: Mapping[str, Any]) -> Iterator[Finding]:
    """Which stream was used, where the file has several of its kind; of a frame table's or an audio file's metadata."""
    if streams := metadata.get("streams"):
        detail = (
            f"{len(streams['of'])} {streams['kind']} stream{'s' * (len(streams['of']) > 1)}, "
            f"used stream {streams['used']} ({streams['reason']})"
        )
        severity = "info" if streams["reason"] in STATED else "warning"
        yield Finding("", video, severity, f"{streams['kind']}_stream", detail, "the others are not used")


def _changes(changes: Sequence[Mapping[str, int]], changed: int) -> str:
    """Changes of the image in words: the size from each frame on, the rotation where that changes too."""
    turned = len({change["rotation"] for change in changes}) > 1
    words = [
        f"{change['width']}x{change['height']}"
        + (f" turned by {change['rotation']} degrees" if turned else "")
        + f" from frame {change['frame']}"
        for change in changes
    ]
    return _some(words, changed + 1)


def _some(words: Sequence[str], count: int) -> str:
    """The first few of ``count`` things."""
    more = count - len(words[:LISTED])
    return ", ".join(words[:LISTED]) + (f" and {more} more" if more > 0 else "")


def audio_findings(video: str, metadata: Mapping[str, Any]) -> Iterator[Finding]:
    """Findings of an audio file's metadata."""
    for flag in metadata["flags"]:
        severity, detail, rule = AUDIO_FLAGS[flag]
        yield Finding("", video, severity, f"audio_{flag}", detail.format(**metadata), rule)
    yield from stream_findings(video, metadata)


def face_findings(video: str, metadata: Mapping[str, Any]) -> Iterator[Finding]:
    """Findings of a person table's metadata."""
    smallest = metadata.get("smallest_face", 0)
    limit = f"; faces under about {smallest:.0f} pixels cannot be found (faces.options)" if smallest else ""
    for trial, person in metadata["trials"].items():
        if person.get(ABSENT):
            continue
        coverage = person["coverage"]
        if coverage == 0:
            detail = f"no face in any frame{limit}"
            yield Finding(trial, video, "warning", "no_face", detail, "predicted without a face, marked no_face")
        elif coverage < LOW_COVERAGE:
            detail = f"a face in {coverage:.0%} of the frames{limit}"
            yield Finding(trial, video, "warning", "low_face_coverage", detail, "recorded")
        yield from _followed(trial, video, person, metadata)
        yield from _doubtful_crops(trial, video, person)
        if beyond := person.get("pictures_beyond", 0):
            severity = "info" if beyond <= EXPECTED_BEYOND else "warning"
            detail = f"{beyond} images of the face after the last of {metadata['frames']} frames"
            yield Finding(trial, video, severity, "images_beyond", detail, "left out")


def _followed(trial: str, video: str, person: Mapping[str, Any], metadata: Mapping[str, Any]) -> Iterator[Finding]:
    """What a trial without a suffix followed, where that was a choice."""
    if person.get("person") != "main" or len(metadata["trials"]) > 1:
        return
    if person.get("follows") == "shots":
        detail = (
            f"nobody stays: the most prominent person is seen in {person['presence']:.0%} of the frames with a face"
        )
        yield Finding(
            trial, video, "warning", "no_main_person", detail, "the most prominent face of each shot was followed"
        )
    company = metadata.get("company", {"frames": 0})
    if company["frames"] and (often := company["frames"] / metadata["frames_with_face"]) >= NOTED:
        when = "throughout" if often >= THROUGHOUT else f"in {often:.0%} of the frames with a face"
        severity = "warning" if often >= OFTEN else "info"
        rule = "the most prominent one was followed; see sheet"
        yield Finding(trial, video, severity, "several_faces", f"{company['people']} faces {when}", rule)


def _doubtful_crops(trial: str, video: str, person: Mapping[str, Any]) -> Iterator[Finding]:
    """Crops that show little of the face, or not as the template says."""
    shown = sum(person.get(source, 0) for source in ("detected", "interpolated", "held"))
    for quality, detail, rule in (
        ("misaligned", "landmarks of no use", "crop taken from the box, upright; see sheet"),
        ("small", "a face of less than 32 pixels", "enlarged"),
    ):
        if (count := person.get(quality, 0)) and count >= NOTED * shown:
            severity = "warning" if count >= OFTEN * shown else "info"
            yield Finding(trial, video, severity, f"{quality}_faces", f"{detail} in {count} of {shown} frames", rule)


def copy_findings(
    copies: Iterable[Copy], folds: Iterable[Mapping[str, Any]], video_of: Mapping[str, str]
) -> Iterator[Finding]:
    """Recordings under two names of which a fold trains on one and holds out the other; `folds` are rows of the table of folds."""
    divisions: dict[str, dict[tuple[str, int], str]] = {}
    for row in folds:
        divisions.setdefault(row["trial"], {})[row["task"], row["fold"]] = row["partition"]
    for copy in copies:
        for held_out, trained in ((copy.trial, copy.of), (copy.of, copy.trial)):
            own, other = divisions.get(held_out, {}), divisions.get(trained, {})
            where = [key for key, part in own.items() if part != "train" and other.get(key) == "train"]
            if where:
                task, fold = where[0]
                more = f" and {len(where) - 1} more" if len(where) > 1 else ""
                detail = (
                    f"its face moves as that of {trained} does ({copy.fraction:.0%} of the stretches compared, shifted by "
                    f"{abs(copy.shift):.1f} s), which is trained on where this is held out ({task}, fold {fold}{more})"
                )
                rule = "reported only; if it is one recording, give both one group in trials.csv, or leave one out"
                yield Finding(held_out, video_of[held_out], "warning", "held_out_copy", detail, rule)


def label_findings(task: str, metadata: Mapping[str, Any], video_of: Mapping[str, str]) -> Iterator[Finding]:
    """Findings of a label table's metadata; `video_of` maps trials to videos."""
    for trial, join in metadata["trials"].items():
        if join["kind"] in JOIN_SEVERITY:
            detail = f"{task}: {join['rows']} annotation rows, {join['frames']} decoded frames"
            severity = JOIN_SEVERITY[join["kind"]]
            yield Finding(trial, video_of[trial], severity, f"label_rows_{join['kind']}", detail, join["rule"])
        if "excluded" in join:
            detail = f"{task}: {join['excluded']} of {join['frames']} frames lie in ranges of labels.exclude"
            yield Finding(trial, video_of[trial], "info", "excluded_frames", detail, "without a label")
        if beside := join.get("ranges_without_frame", 0):
            detail = f"{task}: {beside} ranges of labels.exclude hold no frame; are they of this video?"
            yield Finding(trial, video_of[trial], "warning", "excluded_nothing", detail, "no effect")
        if join["half_invalid_rows"]:
            detail = f"{task}: {join['half_invalid_rows']} rows with some values valid and some not"
            rule = "each unit join for itself" if task == "au" else "row not used"
            yield Finding(trial, video_of[trial], "info", "half_invalid_rows", detail, rule)
        if join["invalid_rows"]:
            detail = f"{task}: {join['invalid_rows']} of {join['rows']} rows"
            yield Finding(trial, video_of[trial], "info", "invalid_rows", detail, "masked")
