"""The demo corpus as the workflow sees it: its trials, and the functions behind its two rules."""

from pathlib import Path

from wildaffect.corpus.trials import Corpus, Trial
from wildaffect.demo.plan import DemoVideo, plan

FOLDERS = {"train": "Train_Set", "validation": "Validation_Set"}
ANNOTATIONS = "annotations/VA_Estimation_Challenge"


def demo_corpus(*, subjects: int, seconds: float, seed: int) -> Corpus:
    """Trials that the demo corpus will hold, known before anything is rendered; same order as an Aff-Wild2 scan."""
    trials = []
    for video in plan(subjects, seconds, seed):
        for person in video.persons:
            folder = FOLDERS.get(person.partition)
            annotation = f"{ANNOTATIONS}/{folder}/{person.trial}.txt" if folder else None
            trials.append(
                Trial(
                    person.trial,
                    video.name,
                    video.media,
                    person.side,
                    partition_va=person.partition,
                    annotation_va=annotation,
                    edition="abaw2",
                )
            )
    return Corpus(tuple(sorted(trials, key=lambda trial: f"{trial.trial}.txt")))


def render_demo_video(output: Path, *, subjects: int, seconds: float, seed: int) -> None:
    """Render the one video of the plan whose file is called like ``output``."""
    from wildaffect.demo.render import render_video

    render_video(_by_file(output.name, subjects, seconds, seed), seed, output)


def write_demo_annotations(root: Path, *, subjects: int, seconds: float, seed: int) -> None:
    """Write the annotation files below ``root`` (see :func:`wildaffect.demo.render.write_annotations`)."""
    from wildaffect.demo.render import write_annotations

    write_annotations(plan(subjects, seconds, seed), seed, root)


def _by_file(name: str, subjects: int, seconds: float, seed: int) -> DemoVideo:
    return next(video for video in plan(subjects, seconds, seed) if video.media == name)
