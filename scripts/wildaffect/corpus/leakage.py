"""Training on what is held out: found before anything is trained."""

from collections.abc import Mapping

from wildaffect.corpus.members import Division


def shared_videos(division: Division, videos: Mapping[str, str]) -> list[str]:
    """Source videos that one fold of one task both trains on and holds out (validation or test), sorted.

    ``videos`` gives the source video of each trial: ``a_left`` to learn from and ``a_right`` to test with share ``a``.
    """
    learnt = {videos[trial] for trial in division.get("train", ())}
    held_out = {videos[trial] for part in ("validation", "test") for trial in division.get(part, ())}
    return sorted(learnt & held_out)
