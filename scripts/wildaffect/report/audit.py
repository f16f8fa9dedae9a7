"""The audit: every anomaly of the corpus in one table, gathered from what the stages found.

Nothing is decided here. Each stage records what it met in the metadata of its files; this turns the records into lines for a person.
"""

import csv
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from wildaffect.corpus.trials import TASKS, TRIALS, Finding, Trial, trials_from_table
from wildaffect.errors import InputError
from wildaffect.files import atomic
from wildaffect.media.audio import read_about
from wildaffect.tables import read_metadata, read_table

COLUMNS = tuple(field.name for field in fields(Finding))
SEVERITIES = ("error", "warning", "info")
LOW_COVERAGE = 0.5

JOIN_SEVERITY = {"one_more": "info", "more": "warning", "fewer": "warning", "far_off": "error"}
AUDIO_FLAGS = {
    "absent": ("warning", "no audio stream", "silence of the video's length, marked invalid"),
    "undecodable": ("error", "the audio stream cannot be decoded", "silence of the video's length, marked invalid"),
    "outside": ("warning", "no sound while the video lasts", "silence of the video's length, marked invalid"),
    "late": ("info", "sound starts {offset_s:+.3f} s after the picture", "padded with silence at the start"),
    "early": ("info", "sound starts {offset_s:+.3f} s after the picture", "trimmed at the start"),
    "short": ("warning", "the sound ends before the picture", "padded with silence at the end"),
    "gaps": ("info", "{gaps_s:.3f} s of gaps inside the sound", "kept as silence"),
    "overlaps": ("info", "{overlaps_s:.3f} s of overlapping sound", "later samples dropped"),
    "silent": ("warning", "the audio stream holds only silence", "kept"),
    "clipped": ("info", "{clipped_fraction:.2%} of the samples at full scale", "kept"),
    "damaged": ("warning", "{failed_packets} audio packets could not be decoded", "silence in their place"),
    "rate_changed": ("info", "the sample rate changes inside the file", "later parts resampled to the first rate"),
}


def write_audit(
    output: Path,
    *,
    trials: Path,
    frames: Mapping[str, Path],
    audio: Mapping[str, Path],
    persons: Mapping[str, Path],
    labels: Mapping[str, Path],
) -> None:
    """Write ``corpus/audit.csv``: one row per finding, errors first, then by video and trial.

    ``frames``, ``audio`` and ``persons`` map videos, ``labels`` maps tasks to the files of the stages.
    """
    rows = trials_from_table(read_table(trials, TRIALS))
    video_of = {trial.trial: trial.video for trial in rows}
    findings = [Finding(**entry) for entry in read_metadata(trials)["findings"]]
    findings += cross_task_leakage(rows)
    for video, path in frames.items():
        about = read_metadata(path)
        findings += media_findings(video, about)
        if about["status"] != "unreadable":  # that it has no sound and no face either goes without saying
            findings += audio_findings(video, read_about(audio[video]))
            findings += face_findings(video, read_metadata(persons[video]))
    for task, path in labels.items():
        findings += label_findings(task, read_metadata(path), video_of)
    findings.sort(
        key=lambda finding: (SEVERITIES.index(finding.severity), finding.video, finding.trial, finding.finding)
    )
    with atomic(output) as partial, partial.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, COLUMNS)
        writer.writeheader()
        writer.writerows(asdict(finding) for finding in findings)


def verify_corpus(audit: Path, output: Path, accepted: Collection[str]) -> None:
    """Write how many findings of each severity the audit has, or raise :class:`InputError` if it has errors not in ``accepted``."""
    with audit.open(newline="", encoding="utf-8") as handle:
        findings = [Finding(**row) for row in csv.DictReader(handle)]
    errors = [f for f in findings if f.severity == "error" and f.finding not in accepted]
    if errors:
        lines = [f"  {f.trial or f.video}: {f.finding}: {f.detail} ({f.rule})" for f in errors]
        raise InputError(
            f"{audit}: everything else is finished, but the corpus has {len(errors)} errors:\n"
            + "\n".join(lines)
            + "\nMend or remove these files, or name the findings in corpus.accept_findings to go on without them."
        )
    counts = Counter(finding.severity for finding in findings)
    with atomic(output) as partial:
        partial.write_text("".join(f"{severity}: {counts[severity]}\n" for severity in SEVERITIES), encoding="utf-8")


def cross_task_leakage(trials: Iterable[Trial]) -> Iterator[Finding]:
    """Videos that train one task and are held out in another: models of several tasks must not see them."""
    partitions: dict[str, dict[str, set[str]]] = {}
    for trial in trials:
        for task in TASKS:
            if trial.partition(task):
                partitions.setdefault(trial.video, {}).setdefault(trial.partition(task), set()).add(task)
    for video, found in partitions.items():
        held_out = {task: part for part in ("validation", "test") for task in found.get(part, ())}
        for train in sorted(found.get("train", ())):
            for task, part in sorted(held_out.items()):
                name = "partition_conflict" if task == train else "cross_task_leakage"
                severity = "error" if task == train else "warning"
                yield Finding(
                    "", video, severity, name, f"training video of {train}, {part} video of {task}", "reported only"
                )


def media_findings(video: str, about: Mapping[str, Any]) -> Iterator[Finding]:
    """What the frame table says of a video."""

    def found(severity: str, name: str, detail: str, rule: str) -> Finding:
        return Finding("", video, severity, name, detail, rule)

    if about["status"] == "unreadable":
        yield found("error", "unreadable_video", about["reason"], "no frames; nothing can be predicted")
        return
    if about["status"] != "ok":
        detail = f"{about['reason'].rstrip('.')}; {about['frames']} frames decoded"
        yield found("error", "truncated_video", detail, "decodable frames kept")
    for rule, count in about["repairs"].items():
        yield found("warning", "timestamps_repaired", f"{count} frames", rule)
    if about["vfr"]:
        detail = f"mean rate {about['average_rate']:.3f}, jitter {1000 * about['jitter_s']:.1f} ms"
        yield found("info", "variable_frame_rate", detail, "every frame keeps its own time")
    if about["rotation"]:
        yield found("info", "rotated", f"{about['rotation']} degrees", "pictures are turned upright")
    if about["sample_aspect"] not in (None, "1:1"):
        yield found("info", "anamorphic", f"sample aspect {about['sample_aspect']}", "recorded, pixels kept as stored")


def audio_findings(video: str, about: Mapping[str, Any]) -> Iterator[Finding]:
    """What the audio stage says of a video."""
    for flag in about["flags"]:
        severity, detail, rule = AUDIO_FLAGS[flag]
        yield Finding("", video, severity, f"audio_{flag}", detail.format(**about), rule)


def face_findings(video: str, about: Mapping[str, Any]) -> Iterator[Finding]:
    """What person assignment says of the trials of a video."""
    for trial, facts in about["trials"].items():
        coverage = facts["coverage"]
        if coverage == 0:
            yield Finding(
                trial,
                video,
                "warning",
                "no_face",
                "no face in any frame",
                "predicted without a picture, marked no_face",
            )
        elif coverage < LOW_COVERAGE:
            yield Finding(
                trial, video, "warning", "low_face_coverage", f"a face in {coverage:.0%} of the frames", "recorded"
            )


def label_findings(task: str, about: Mapping[str, Any], video_of: Mapping[str, str]) -> Iterator[Finding]:
    """What the label join says of the trials of a task."""
    for trial, facts in about["trials"].items():
        if facts["kind"] != "equal":
            detail = f"{task}: {facts['rows']} annotation rows, {facts['frames']} decoded frames"
            severity = JOIN_SEVERITY[facts["kind"]]
            yield Finding(trial, video_of[trial], severity, f"label_rows_{facts['kind']}", detail, facts["rule"])
        if facts["half_invalid_rows"]:
            detail = f"{task}: {facts['half_invalid_rows']} rows with some values valid and some not"
            rule = "each unit counts for itself" if task == "au" else "row not used"
            yield Finding(trial, video_of[trial], "info", "half_invalid_rows", detail, rule)
        if facts["invalid_rows"]:
            detail = f"{task}: {facts['invalid_rows']} of {facts['rows']} rows"
            yield Finding(trial, video_of[trial], "info", "invalid_rows", detail, "masked")
