"""The demo corpus as the workflow sees it: its trials, and the functions behind its two rules."""

from pathlib import Path

from wildaffect.corpus.trials import TASKS, Corpus, Trial
from wildaffect.demo.affect import EDITION
from wildaffect.demo.plan import DemoPerson, DemoVideo, plan

CHALLENGES = {
    "va": "VA_Estimation_Challenge",
    "expr": "EXPR_Classification_Challenge",
    "au": "AU_Detection_Challenge",
}
SETS = {"train": "Train_Set", "validation": "Validation_Set", "test": "Test_Set"}


def annotation_path(person: DemoPerson, task: str) -> str:
    """The annotation file of a trial below the corpus; test trials have theirs in ``truth``, where only a self-check looks."""
    tree = "truth" if person.partition == "test" else "annotations"
    return f"{tree}/{CHALLENGES[task]}/{SETS[person.partition]}/{person.trial}.txt"


def demo_corpus(*, subjects: int, seconds: float, seed: int) -> Corpus:
    """Trials that the demo corpus will hold, known before anything is rendered; same order as an Aff-Wild2 scan."""
    trials = [_trial(video, person) for video in plan(subjects, seconds, seed) for person in video.persons]
    return Corpus(tuple(sorted(trials, key=lambda trial: f"{trial.trial}.txt")))


def _trial(video: DemoVideo, person: DemoPerson) -> Trial:
    tasks = [task for task in TASKS if task != person.unannotated]
    partitions = {f"partition_{task}": person.partition for task in tasks}
    annotations = {f"annotation_{task}": annotation_path(person, task) for task in tasks}
    known = partitions | (annotations if person.partition != "test" else {})
    return Trial(person.trial, video.name, video.media, person.side, **known, edition=EDITION)


def render_demo_video(output: Path, *, subjects: int, seconds: float, seed: int) -> None:
    """Render the one video of the plan whose file is called like ``output``."""
    from wildaffect.demo.render import render_video

    render_video(_by_file(output.name, subjects, seconds, seed), seed, output)


def write_demo_annotations(root: Path, *, subjects: int, seconds: float, seed: int) -> None:
    """Write the annotation files below ``root`` (see `wildaffect.demo.render.write_annotations`)."""
    from wildaffect.demo.render import write_annotations

    write_annotations(plan(subjects, seconds, seed), seed, root)


def _by_file(name: str, subjects: int, seconds: float, seed: int) -> DemoVideo:
    return next(video for video in plan(subjects, seconds, seed) if video.media == name)
