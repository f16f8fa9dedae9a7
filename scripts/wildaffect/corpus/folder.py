"""A plain folder of videos without labels: every video is one trial to predict."""

from pathlib import Path

from wildaffect.corpus.media_files import VIDEO_SUFFIXES, find_videos
from wildaffect.corpus.trials import TASKS, Corpus, Trial
from wildaffect.errors import InputError


def scan(root: Path) -> Corpus:
    """One trial per video, person `main`, partition `test` in every task.

    Raises:
        InputError: There are no videos.
    """
    videos = find_videos(root)
    if not videos:
        raise InputError(
            f"{root}: no video files below this folder (known endings: {' '.join(sorted(VIDEO_SUFFIXES))})."
        )
    partitions = {f"partition_{task}": "test" for task in TASKS}
    return Corpus(tuple(Trial(video, video, media, **partitions) for video, media in videos.items()))
