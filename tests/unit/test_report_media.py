"""What overlays show of predictions."""

from pathlib import Path

import numpy as np
import pyarrow as pa

from wildaffect import paths
from wildaffect.corpus.label_spaces import EXPRESSIONS7
from wildaffect.report.media import predicted_values
from wildaffect.tables import write_table

KEYS = [("trial", pa.string()), ("frame", pa.int32())]


def table(folder: Path, system: str, target: str, part: str, partition: str, rows: dict[str, dict[str, float]]) -> Path:
    """A prediction table with the columns of every trial in ``rows``, the same in frames 0 to 2."""
    path = folder / paths.PREDICTIONS.format(
        system=system, variant="audio", target=target, part=part, partition=partition
    ).removeprefix("<results>/")
    columns = list(next(iter(rows.values())))
    values = {
        "trial": [trial for trial in rows for _ in range(3)],
        "frame": np.tile(np.arange(3, dtype=np.int32), len(rows)),
        **{name: np.repeat([float(row[name]) for row in rows.values()], 3).astype(np.float32) for name in columns},
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    write_table(path, pa.table(values), pa.schema([*KEYS, *((name, pa.float32()) for name in columns)]))
    return path


def affect(valence: float) -> dict[str, float]:
    return {"valence": valence, "arousal": -valence}


def test_every_video_has_the_values_of_the_fold_that_held_it_out(tmp_path):
    files = [
        table(tmp_path, "m3t", "va", "fold0", "train", {"b": affect(0.9), "c": affect(0.9)}),
        table(tmp_path, "m3t", "va", "fold0", "validation", {"a": affect(0.1)}),
        table(tmp_path, "m3t", "va", "fold1", "validation", {"b": affect(0.2)}),
        table(tmp_path, "m3t", "va", "ensemble", "test", {"c": affect(0.3)}),
    ]
    for trial, valence in {"a": 0.1, "b": 0.2, "c": 0.3}.items():
        values, title = predicted_values(paths.prediction_entries(files), {trial: 4})
        np.testing.assert_allclose(values[trial].valence, [valence] * 3 + [np.nan], rtol=1e-6)
        np.testing.assert_allclose(values[trial].arousal, [-valence] * 3 + [np.nan], rtol=1e-6)
        assert values[trial].words == ()
        assert title == "m3t/audio"


def test_persons_of_one_video_may_come_from_different_tables(tmp_path):
    files = [
        table(tmp_path, "m3t", "va", "fold0", "validation", {"v#1": affect(0.1)}),
        table(tmp_path, "ntua", "va", "fold1", "validation", {"v#2": affect(0.2)}),
    ]
    values, title = predicted_values(paths.prediction_entries(files), {"v#1": 3, "v#2": 3, "v#3": 3})
    assert {trial: float(shown.valence[0].round(4)) for trial, shown in values.items()} == {"v#1": 0.1, "v#2": 0.2}
    assert title == "m3t/audio, ntua/audio"


def test_expressions_are_those_of_any_target_that_has_them(tmp_path):
    chances = dict.fromkeys(EXPRESSIONS7, 0.05) | {"Fear": 0.7}
    files = [
        table(tmp_path, "ntua", "va", "fold0", "validation", {"a": affect(0.5)}),
        table(tmp_path, "m3t", "mtl", "fold0", "validation", {"a": affect(0.4) | chances}),
    ]
    values, title = predicted_values(paths.prediction_entries(files), {"a": 3})
    assert values["a"].words == ("Fear 70%",) * 3
    np.testing.assert_allclose(values["a"].valence, 0.5)
    assert title == "ntua/audio, m3t/audio"


def test_without_frames_of_the_video_there_is_no_title(tmp_path):
    files = [table(tmp_path, "m3t", "va", "fold0", "validation", {"a": affect(0.1)})]
    assert predicted_values(paths.prediction_entries(files), {"b": 3}) == ({}, "")
