"""audformat: a database with the videos as media, and tables of labels and predictions with a segment per frame.

There is a table per role of a person (`labels.main`, `predictions.left`, …), because a table has each segment once. The misc table `trials`
says which trial a role in a video is; `wildaffect.corpus.audformat` reads all of it again.
"""

from pathlib import Path

import audformat
import numpy as np
import pandas as pd

from wildaffect.corpus.audformat import ROLE_TABLES, SPLITS
from wildaffect.corpus.label_spaces import VALENCE_AROUSAL
from wildaffect.corpus.trials import TASKS
from wildaffect.export.media import link_media
from wildaffect.export.results import EXPRESSION, Recording, Run, is_unit


def write(run: Run, folder: Path, final: Path) -> None:
    """Write the database ``db.yaml`` with tables as CSV, and links to the media."""
    database = audformat.Database(
        run.name,
        source="wildaffect",
        usage=audformat.define.Usage.UNRESTRICTED
        if run.corpus.get("layout") == "demo"
        else audformat.define.Usage.OTHER,
        description=" ".join(["Affect predicted by wildaffect, and labels.", *run.notes]),
    )
    database.media["video"] = audformat.Media(type=audformat.define.MediaType.VIDEO, video_fps=None)
    database.raters["labels"] = audformat.Rater(audformat.define.RaterType.HUMAN)
    database.raters["predictions"] = audformat.Rater(audformat.define.RaterType.MACHINE)
    for ours, theirs in SPLITS.items():
        database.splits[theirs] = audformat.Split(type=theirs, description=ours)
    parts: dict[tuple[str, str], list[pd.DataFrame]] = {}
    for recording in run.recordings():
        file = f"media/{recording.video}{recording.media.suffix}"
        link_media(recording, folder, final, file)
        index = _index(recording, file)
        for person in recording.persons:
            found = {"labels": _labels(run, person.labels), "predictions": dict(person.values)}
            for kind, columns in found.items():
                known = {name: values for name, values in columns.items() if not pd.isna(values).all()}
                if known:
                    parts.setdefault((kind, person.trial.person), []).append(pd.DataFrame(known, index=index))
    for (kind, role), frames in parts.items():
        joined = pd.concat(frames)
        table = audformat.Table(joined.index, media_id="video", description=f"{kind} of the person {role}")
        database[ROLE_TABLES[kind].format(person=role)] = table
        for name in joined.columns:
            _add_column(run, database, table, kind, name)
            table[name].set(joined[name])
    _add_trials(run, database)
    database.save(str(folder), storage_format="csv", update_other_formats=False)


def _index(recording: Recording, file: str) -> pd.MultiIndex:
    """Each frame as a segment, in time from the beginning of the file."""
    edges = pd.to_timedelta(np.round(1e9 * recording.edges).astype(np.int64), unit="ns")
    return audformat.segmented_index([file] * len(recording.times), edges[:-1], edges[1:])


def _labels(run: Run, labels) -> dict[str, np.ndarray]:
    texts = {
        name: np.array([None if np.isnan(k) else run.classes[int(k)] for k in values], object)
        for name, values in labels.items()
        if name == EXPRESSION
    }
    return {**labels, **texts}


def _add_column(run: Run, database: audformat.Database, table: audformat.Table, kind: str, name: str) -> None:
    column = run.columns[name][3] if kind == "predictions" else name
    scheme = column if kind == "labels" or column in VALENCE_AROUSAL else f"score.{column}"
    if scheme not in database.schemes:
        if scheme == EXPRESSION:
            made = audformat.Scheme(labels=list(run.classes))
        elif scheme in VALENCE_AROUSAL:
            # Predictions are not clipped, so the scheme has no limits.
            made = audformat.Scheme("float", description="from -1 to 1")
        elif is_unit(scheme):
            made = audformat.Scheme("int", labels=[0, 1])
        else:
            made = audformat.Scheme("float", description=f"score of {column}")
        database.schemes[scheme] = made
    source = None if kind == "labels" else "/".join(run.columns[name][:3])
    table[name] = audformat.Column(scheme_id=scheme, rater_id=kind, description=source)


def _add_trials(run: Run, database: audformat.Database) -> None:
    """The table of trials: names, videos, persons and partitions."""
    names = pd.Index([trial.trial for trial in run.trials], name="trial", dtype="string")
    database["trials"] = audformat.MiscTable(names, description="one person in one video")
    for column in ("file", "video", "person", *(f"partition_{task}" for task in TASKS)):
        database["trials"][column] = audformat.Column()
        values = [
            f"media/{trial.video}{Path(trial.media).suffix}" if column == "file" else getattr(trial, column)
            for trial in run.trials
        ]
        database["trials"][column].set(pd.array(values, dtype="object"))
