"""What the demo corpus holds: names, persons, partitions and the difficulty that each video carries.

Nothing is rendered here and only the standard library is imported, so a workflow can ask for the plan while it is
being parsed. The same arguments give the same plan.
"""

import random
from dataclasses import dataclass, replace
from fractions import Fraction

from wildaffect.errors import InputError

SIZE = 320
"""Height of every frame and width per person, pixels."""

FEWEST_SUBJECTS = 4
FEWEST_SECONDS = 2.0

_TRAINING_CONDITIONS = ("absent", "late_sound", "no_sound", "avi")
_VALIDATION_CONDITIONS = ("two_persons", "variable_rate")
_FEWEST_LEARNT = 3  # training trials that every task keeps where some are left unannotated
_RATES = (Fraction(25), Fraction(30), Fraction(30000, 1001), Fraction(24))


@dataclass(frozen=True)
class DemoPerson:
    """One trial. ``traits`` seeds looks, voice and affect; ``partition`` is train, validation or test.

    ``unannotated``: the task (expr or au) of which the trial has no annotation file and to whose challenge it does not belong.
    """

    trial: str
    side: str  # main | left | right
    partition: str
    traits: int
    unannotated: str | None = None


@dataclass(frozen=True)
class DemoVideo:
    """One media file. Times are seconds from the first frame; spans are half-open ``(start, end)``.

    ``condition``: plain, two_persons, variable_rate, absent, late_sound, no_sound or avi.
    ``absent``: no person is in the frame. ``unlabelled``: annotations are invalid (-5); covers ``absent``.
    ``frame_rate`` is the constant rate, or the mean aimed at where the rate is variable.
    ``audio_codec`` is None for a file without an audio stream; ``audio_start`` is the time of its first sample.
    """

    name: str
    extension: str
    persons: tuple[DemoPerson, ...]
    condition: str
    seconds: float
    frame_rate: Fraction
    variable_rate: bool = False
    video_codec: str = "libx264"
    audio_codec: str | None = "aac"
    audio_rate: int = 44100
    audio_start: float = 0.0
    absent: tuple[tuple[float, float], ...] = ()
    unlabelled: tuple[tuple[float, float], ...] = ()

    @property
    def media(self) -> str:
        """File name."""
        return f"{self.name}.{self.extension}"

    @property
    def fps(self) -> str:
        """The frame rate in words."""
        return f"about {float(self.frame_rate):g}, variable" if self.variable_rate else f"{float(self.frame_rate):.5g}"


def plan(subjects: int = 11, seconds: float = 20.0, seed: int = 0) -> list[DemoVideo]:
    """Plan a corpus of ``subjects`` trials in ``subjects - 1`` videos of ``seconds`` each.

    About a fifth of the trials are for testing (no annotation files), a quarter for validation, the rest for
    training. Conditions are dealt out in a fixed order within training and validation, the remaining videos are
    plain; from ten subjects on, all are present. As in Aff-Wild2, not every trial is annotated for every task: of the
    training trials, if there are four or more, the last has no action units and the one before it no expressions.
    Raises `InputError` for too few subjects or seconds.
    """
    if subjects < FEWEST_SUBJECTS or seconds < FEWEST_SECONDS:
        raise InputError(
            f"Demo corpus of {subjects} subjects and {seconds} s per video: "
            f"ask for at least {FEWEST_SUBJECTS} subjects and {FEWEST_SECONDS:g} s."
        )
    chance = random.Random(seed)
    testing = max(1, round(0.18 * subjects))
    validating = max(2, round(0.27 * subjects))
    training = subjects - testing - validating
    slots = [
        *_deal("train", _TRAINING_CONDITIONS, training),
        *_deal("validation", _VALIDATION_CONDITIONS, validating - 1),
        *_deal("test", (), testing),
    ]
    numbers = chance.sample(range(1, max(140, 3 * len(slots))), len(slots))
    traits = iter(chance.sample(range(1, 1_000_000), subjects))
    unannotated = {training - 2: "expr", training - 1: "au"} if training > _FEWEST_LEARNT else {}
    videos = []
    for index, ((partition, condition), number) in enumerate(zip(slots, numbers, strict=True)):
        rate = _RATES[index % len(_RATES)]
        name = _name(index, number, rate)
        sides = ("left", "right") if condition == "two_persons" else ("main",)
        persons = tuple(
            DemoPerson(
                name if side == "main" else f"{name}_{side}", side, partition, next(traits), unannotated.get(index)
            )
            for side in sides
        )
        plain = DemoVideo(
            name, "mp4", persons, condition, float(seconds), rate, audio_rate=(44100, 16000)[index % 3 == 1]
        )
        videos.append(_with_condition(plain))
    return videos


def _deal(partition: str, conditions: tuple[str, ...], count: int) -> list[tuple[str, str]]:
    """``count`` videos of one partition: the conditions in order, then plain ones."""
    return [(partition, conditions[i] if i < len(conditions) else "plain") for i in range(count)]


def _name(index: int, number: int, rate: Fraction) -> str:
    """A name in one of the mixed styles of in-the-wild corpora; the size in it is nominal and not the frame's."""
    styles = (f"{number}-{round(rate)}-640x480", f"video{number}", f"{number}", f"video{number}_1")
    return styles[index % len(styles)]


def _with_condition(video: DemoVideo) -> DemoVideo:
    """Apply the video's condition."""
    length = video.seconds
    match video.condition:
        case "variable_rate":
            # A second in which a face is shown but not annotated: only the mask tells.
            span = (round(0.6 * length, 3), round(0.6 * length + min(1.0, 0.1 * length), 3))
            return replace(video, variable_rate=True, frame_rate=Fraction(25), unlabelled=(span,))
        case "absent":
            span = (round(0.4 * length, 3), round(0.4 * length + min(2.0, 0.2 * length), 3))
            return replace(video, absent=(span,), unlabelled=(span,))
        case "late_sound":
            return replace(video, audio_start=0.3)
        case "no_sound":
            return replace(video, audio_codec=None)
        case "avi":
            return replace(video, extension="avi", video_codec="mpeg4", audio_codec="pcm_s16le", audio_rate=16000)
    return video
