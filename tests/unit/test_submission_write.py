"""Writing submissions: exact text, fill rules, samples, refusals, round trip in every edition."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from wildaffect.corpus.trials import TRIALS, Trial, trials_from_table, trials_table
from wildaffect.errors import InputError
from wildaffect.files import sha256
from wildaffect.scoring import score
from wildaffect.scoring.editions import editions, get_task
from wildaffect.scoring.read import read_rows
from wildaffect.submission import validate, write
from wildaffect.submission.export import export_csv
from wildaffect.submission.writer import FILL_RULES, fill_predictions, submitted_trials, task_table, write_submission
from wildaffect.tables import read_table, write_table

TRACKS = [(edition, name) for edition, tasks in editions().items() for name, task in tasks.items() if task.format]
LENGTHS = {"b_left": 7, "24": 16, "a": 20}


def va(lengths, values=None, **more):
    total = sum(lengths.values())
    values = np.linspace(-1, 1, total) if values is None else values
    keys = {
        "trial": [name for name, length in lengths.items() for _ in range(length)],
        "frame": pa.array([frame for length in lengths.values() for frame in range(length)], pa.int32()),
    }
    return pa.table({**keys, "arousal": -np.asarray(values, float), "valence": np.asarray(values, float), **more})


def truth_table(edition, name):
    """Labels in which every class and unit state occurs, as labels and as the columns of a prediction."""
    rng, total = np.random.default_rng(0), sum(LENGTHS.values())
    table = va(LENGTHS).select(["trial", "frame"])
    for part in get_task(edition, name).parts:
        for i, column in enumerate(part.columns):
            if part.kind == "values":
                column_values = rng.uniform(-1, 1, total).round(6)
            else:
                column_values = (np.arange(total) + i) % (len(part.names) if part.kind == "classes" else 2)
            table = table.append_column(column, pa.array(column_values))
    return table


@pytest.mark.parametrize(("edition", "name"), TRACKS)
def test_truth_written_and_read_back_scores_full_marks(tmp_path, edition, name):
    task, truth = get_task(edition, name), truth_table(edition, name)
    shuffled = truth.take(np.random.default_rng(1).permutation(len(truth)))
    about = write(shuffled, tmp_path / "out", edition, name)
    assert about["rules"] == dict.fromkeys((*FILL_RULES, "cut", "clipped"), 0) | {"predicted": len(truth)}
    assert validate(tmp_path / "out", None, edition, name, frames=LENGTHS) == []
    result = score(read_rows(tmp_path / "out", task), truth, edition, name)
    assert result["metric"][0].as_py() == f"{name}_score"
    assert result["value"][0].as_py() == pytest.approx(len(task.parts), abs=1e-12)


def test_exact_text_of_the_folder_layout(tmp_path):
    predictions = va({"a": 3, "v_left": 1}, [0.1234567, 1e-9, -1e-9, 1.5])
    about = write(predictions, tmp_path / "VA", "abaw2", "va")
    assert sorted(path.name for path in (tmp_path / "VA").iterdir()) == ["a.txt", "v_left.txt"]
    assert (
        tmp_path / "VA" / "a.txt"
    ).read_bytes() == b"valence,arousal\n0.123457,-0.123457\n0.000000,0.000000\n0.000000,0.000000\n"
    assert (tmp_path / "VA" / "v_left.txt").read_bytes() == b"valence,arousal\n1.000000,-1.000000\n"
    assert json.loads((tmp_path / "VA.json").read_text()) == about
    assert about["rules"]["clipped"] == 1 and about["by_trial"] == {"v_left": {"clipped": 1, "predicted": 1}}


def test_exact_text_of_lists(tmp_path):
    names = get_task("abaw5", "expr").parts[0].names
    hot = {name: [float(name == "Other"), float(name == "Anger")] for name in sorted(names)}
    predictions = pa.table({"trial": ["v_right"] * 2, "frame": [0, 1], **hot})
    write(predictions, tmp_path / "EXPR", "abaw5", "expr")
    header = b"image_location,Neutral,Anger,Disgust,Fear,Happiness,Sadness,Surprise,Other\n"
    assert (
        tmp_path / "EXPR" / "predictions.txt"
    ).read_bytes() == header + b"v_right/00001.jpg,7\nv_right/00002.jpg,1\n"
    units = {name: [0.5, 0.51] for name in get_task("abaw8", "au").columns}
    write(pa.table({"trial": ["v"] * 2, "frame": [0, 1], **units}), tmp_path / "AU", "abaw8", "au")
    lines = (tmp_path / "AU" / "predictions.txt").read_text().splitlines()
    assert lines[1:] == ["v/00001.jpg" + ",0" * 12, "v/00002.jpg" + ",1" * 12]
    mtl = truth_table("abaw7", "mtl").slice(0, 1)
    write(mtl, tmp_path / "MTL", "abaw7", "mtl")
    header, row = (tmp_path / "MTL" / "predictions.txt").read_text().splitlines()
    assert header == "image,valence,arousal,expression,aus"
    assert len(row.split(",")) == 16 and row.startswith("b_left/00001.jpg,")


def test_a_sample_list_gives_rows_and_order(tmp_path):
    sample = tmp_path / "sample.txt"
    wanted = ["b/00002.jpg", "a/00004.jpg", "b/00001.jpg", "a/00001.jpg"]
    sample.write_bytes(
        b"\xef\xbb\xbfimage_location,valence,arousal\r\n" + "".join(f"{row},\r\n" for row in wanted).encode()
    )
    predictions = va({"a": 6, "b": 2, "extra": 1}, np.arange(9) / 10)
    about = write(predictions, tmp_path / "out", "abaw6", "va", sample=sample)
    lines = (tmp_path / "out" / "predictions.txt").read_text().splitlines()
    assert lines == [
        "image_location,valence,arousal",
        "b/00002.jpg,0.700000,-0.700000",
        "a/00004.jpg,0.300000,-0.300000",
        "b/00001.jpg,0.600000,-0.600000",
        "a/00001.jpg,0.000000,0.000000",
    ]
    assert about["rules"]["predicted"] == 4 and about["rules"]["cut"] == 4
    assert about["trials_not_wanted"] == ["extra"] and about["sample"] == "sample.txt"
    assert validate(tmp_path / "out", sample, "abaw6") == []


def test_official_counts_cut_or_repeat_the_last(tmp_path):
    predictions = va({"a": 4, "b": 3}, np.arange(7) / 10)
    about = write(predictions, tmp_path / "out", "abaw2", "va", frames={"a": 2, "b": 5})
    assert (tmp_path / "out" / "a.txt").read_text().count("\n") == 3
    assert (tmp_path / "out" / "b.txt").read_text().splitlines()[3:] == ["0.600000,-0.600000"] * 3
    assert about["rules"] | {"predicted": 0} == dict.fromkeys((*FILL_RULES, "cut", "clipped"), 0) | {
        "repeat_last": 2,
        "cut": 2,
    }
    assert about["by_trial"] == {"a": {"cut": 2, "predicted": 2}, "b": {"predicted": 3, "repeat_last": 2}}
    counted = tmp_path / "counts.txt"
    counted.write_text("trial,frames\nb.txt,5\na,2\n")
    write(predictions, tmp_path / "again", "abaw2", "va", sample=counted)
    assert [(tmp_path / d / "b.txt").read_bytes() for d in ("out", "again")].count(
        (tmp_path / "out" / "b.txt").read_bytes()
    ) == 2
    write(predictions, tmp_path / "third", "abaw2", "va", sample=tmp_path / "out")
    assert (tmp_path / "third" / "b.txt").read_bytes() == (tmp_path / "out" / "b.txt").read_bytes()


def test_frames_without_prediction_are_filled_by_named_rules(tmp_path):
    values = np.array([np.nan, 0.2, np.nan, np.nan, 0.8, np.nan])
    source = ["no_face", "model", "no_face", "no_face", "model", "no_face"]
    about = write(va({"a": 6}, values, source=source), tmp_path / "out", "abaw2", "va")
    lines = (tmp_path / "out" / "a.txt").read_text().splitlines()[1:]
    assert [line.split(",")[0] for line in lines] == [
        "0.200000",
        "0.200000",
        "0.400000",
        "0.600000",
        "0.800000",
        "0.800000",
    ]
    assert about["rules"]["interpolated"] == 4 and about["sources"] == {"model": 2, "no_face": 4}
    classes = pa.table({"trial": ["a"] * 4, "frame": [1, 2, 4, 5], "expression": [None, 3.0, 5.0, None]})
    about = write(classes, tmp_path / "expr", "abaw2", "expr", frames={"a": 8})
    assert (tmp_path / "expr" / "a.txt").read_text().splitlines()[1:] == ["3", "3", "3", "3", "5", "5", "5", "5"]
    assert about["by_trial"]["a"] == {"held": 4, "predicted": 2, "repeat_last": 2}
    assert set(about["meaning"]) == {"held", "predicted", "repeat_last"}
    assert "latest prediction before" in about["meaning"]["held"]


def test_fill_rules_one_by_one():
    frames, values = np.array([2, 3, 5]), np.array([[1.0], [np.nan], [4.0]])
    filled, rules = fill_predictions(frames, values, np.array([6, 5, 4, 3, 2, 0]), "values")
    assert filled[:, 0].tolist() == [4, 4, 3, 2, 1, 1]
    assert [FILL_RULES[rule] for rule in rules] == [
        "repeat_last",
        "predicted",
        "interpolated",
        "interpolated",
        "predicted",
        "interpolated",
    ]
    filled, rules = fill_predictions(frames, values, np.array([0, 2, 3, 4, 5, 9]), "classes")
    assert filled[:, 0].tolist() == [1, 1, 1, 1, 4, 4]
    assert [FILL_RULES[rule] for rule in rules] == ["held", "predicted", "held", "held", "predicted", "repeat_last"]
    filled, rules = fill_predictions(np.empty(0, int), np.empty((0, 2)), np.arange(3), "units")
    assert not filled.any() and set(rules) == {FILL_RULES.index("constant")}


def test_partial_submissions_are_refused_unless_allowed(tmp_path):
    predictions = va({"a": 3, "dark": 2}, [0.1, 0.2, 0.3, np.nan, np.nan])
    counts = {"a": 3, "dark": 2, "gone": 4}
    with pytest.raises(InputError, match="2 of 3 trials have no prediction, first 'dark'"):
        write(predictions, tmp_path / "out", "abaw2", "va", frames=counts)
    assert not list(tmp_path.iterdir())
    about = write(predictions, tmp_path / "out", "abaw2", "va", frames=counts, allow_partial=True)
    assert about["by_trial"] == {"dark": {"constant": 2}, "gone": {"constant": 4}}
    assert validate(tmp_path / "out", None, "abaw2", "va", frames=counts) == []


@pytest.mark.parametrize(
    ("arguments", "content", "message"),
    [
        (("abaw2", "expr"), None, "column Neutral, Anger, Disgust.* missing"),
        (("abaw3", "mtl"), None, "format of task mtl in edition abaw3 is not known"),
        (("abaw5", "va"), "valence,arousal\n", "belongs to another task or edition"),
        (("abaw5", "va"), "image_location,valence,arousal\n", "no rows"),
        (("abaw5", "va"), "image_location,valence,arousal\na/00001.jpg,\na/00001.jpg,\n", "listed more than once"),
        (("abaw5", "va"), "image_location,valence,arousal\na.jpg,\n", "line 2: expected '<trial>/"),
        (("abaw2", "va"), "a\na\n", "line 2: expected a new"),
        (("abaw2", "va"), "a,many\n", "line 1: expected a new"),
        (("abaw2", "va"), "", "no trial is listed"),
        (("abaw2", "va"), "a\nb\n", "2 trials have no frame count, first 'a'"),
    ],
)
def test_refusals(tmp_path, arguments, content, message):
    sample = None
    if content is not None:
        sample = tmp_path / "sample.txt"
        sample.write_text(content)
    with pytest.raises(InputError, match=message):
        write(va({"a": 3}), tmp_path / "out", *arguments, sample=sample)
    assert not (tmp_path / "out").exists()


def test_only_submission_folders_are_replaced(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    (home / "thesis.docx").write_text("years of work")
    with pytest.raises(InputError, match="is not a submission folder"):
        write(va({"a": 3}), home, "abaw2", "va")
    assert (home / "thesis.docx").exists()
    write(va({"a": 3, "b": 2}), tmp_path / "out", "abaw2", "va")
    write(va({"a": 3}), tmp_path / "out", "abaw2", "va")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.txt"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home", "out", "out.json"]


@pytest.fixture
def variant(tmp_path):
    """Fused files of separate targets, a trials table and frame tables: video w holds the test trials w and w_left."""
    rng, entries = np.random.default_rng(3), []
    values = {target: rng.uniform(-0.9, 0.9, 40).astype(np.float32) for target in ("valence", "arousal")}
    for target, column in values.items():
        keys = {
            "trial": ["w"] * 20 + ["w_left"] * 20,
            "frame": np.tile(np.arange(20), 2),
            "time_s": np.tile(np.arange(20) / 30, 2),
        }
        pq.write_table(pa.table({**keys, target: column, "source": ["model"] * 40}), tmp_path / f"{target}.parquet")
        entries.append({"target": target, "path": tmp_path / f"{target}.parquet"})
    trials = [
        Trial("w", "w", "w.mp4", partition_va="test"),
        Trial("w_left", "w", "w.mp4", "left", partition_va="test"),
        Trial("v", "v", "v.mp4", partition_va="train", partition_expr="test"),
    ]
    write_table(tmp_path / "trials.parquet", trials_table(trials), TRIALS)
    pq.write_table(pa.table({"frame": np.arange(22)}), tmp_path / "frames.parquet")
    return entries, values, {"trials": tmp_path / "trials.parquet", "frames": {"w": tmp_path / "frames.parquet"}}


def test_submission_of_a_variant(tmp_path, variant):
    entries, values, corpus = variant
    out, about = tmp_path / "s" / "va", tmp_path / "s" / "va.json"
    write_submission(about, predictions=entries, **corpus, task=get_task("abaw2", "va"))
    assert sorted(path.name for path in out.iterdir()) == ["w.txt", "w_left.txt"]
    table = read_rows(out, get_task("abaw2", "va"))
    for target, column in values.items():
        assert table[target].to_numpy()[:20] == pytest.approx(column[:20], abs=1e-6)
        assert table[target].to_numpy()[20:22] == pytest.approx(column[[19, 19]], abs=1e-6)
    record = json.loads(about.read_text())
    assert record["rules"]["repeat_last"] == 4
    assert record["files"] == {path.name: sha256(path) for path in sorted(out.iterdir())}
    assert validate(out, None, "abaw2", "va", frames={"w": 22, "w_left": 22}) == []


def mtl_test_trials(path, edition):
    return submitted_trials(trials_from_table(read_table(path, TRIALS)), get_task(edition, "mtl"))


def mtl_corpus(tmp_path):
    """Predictions of one multi-task target, and trials of which only w is a test trial of all three tasks."""
    truth = truth_table("abaw7", "mtl")
    names = sorted(set(truth["trial"].to_pylist()))
    pq.write_table(truth, tmp_path / "mtl.parquet")
    test = {f"partition_{task}": "test" for task in ("va", "expr", "au")}
    trials = [Trial(names[0], "w", "w.mp4", **test), Trial(names[1], "v", "v.mp4", partition_va="test")]
    write_table(tmp_path / "trials.parquet", trials_table(trials), TRIALS)
    length = sum(name == names[0] for name in truth["trial"].to_pylist())
    pq.write_table(pa.table({"frame": np.arange(length)}), tmp_path / "frames.parquet")
    corpus = {"trials": tmp_path / "trials.parquet", "frames": {"w": tmp_path / "frames.parquet"}}
    return names, [{"target": "mtl", "path": tmp_path / "mtl.parquet"}], corpus


@pytest.mark.parametrize("edition", ["abaw4", "abaw7"])
def test_multi_task_submission_of_a_corpus_and_of_a_sample(tmp_path, edition):
    names, entries, corpus = mtl_corpus(tmp_path)
    assert [t.trial for t in mtl_test_trials(corpus["trials"], edition)] == [names[0]]
    write_submission(tmp_path / "own.json", predictions=entries, **corpus, task=get_task(edition, "mtl"))
    lines = (tmp_path / "own" / "predictions.txt").read_text().splitlines()
    assert lines[0] == "image,valence,arousal,expression,aus" and {line.split("/")[0] for line in lines[1:]} == {
        names[0]
    }
    sample = tmp_path / "MTL.txt"
    wanted = [f"{names[1]}/00002.jpg", f"{names[0]}/00001.jpg"]
    sample.write_text("image,valence,arousal,expression,aus\n" + "".join(f"{row}\n" for row in wanted))
    about = tmp_path / "sampled.json"
    write_submission(about, predictions=entries, **corpus, task=get_task(edition, "mtl"), sample=sample)
    rows = (tmp_path / "sampled" / "predictions.txt").read_text().splitlines()[1:]
    assert [row.split(",")[0] for row in rows] == wanted and all(len(row.split(",")) == 16 for row in rows)
    assert json.loads(about.read_text())["sample"] == "MTL.txt"
    assert validate(tmp_path / "sampled", sample, edition) == []


def test_compound_expressions_follow_their_sample(tmp_path):
    part = get_task("abaw6", "compound").parts[0]
    rng = np.random.default_rng(8)
    scores = rng.random((6, 7))
    keys = {"trial": ["01"] * 6, "frame": np.arange(6), "time_s": np.arange(6) / 30, "source": ["model"] * 6}
    predictions = pa.table({**keys, **dict(zip(part.names, scores.T, strict=True))})
    sample = tmp_path / "sample.txt"
    sample.write_text("image_location," + ",".join(part.names) + "\n01/00004.jpg,0\n01/00001.jpg,0\n")
    write(predictions, tmp_path / "out", "abaw6", "compound", sample=sample)
    lines = (tmp_path / "out" / "predictions.txt").read_text().splitlines()
    assert lines[1:] == [f"01/{frame + 1:05d}.jpg,{scores[frame].argmax()}" for frame in (3, 0)]
    assert validate(tmp_path / "out", sample, "abaw6") == []
    # A corpus keeps no partition for this task, so without a sample the rows are unknown.
    _, entries, corpus = mtl_corpus(tmp_path)
    pq.write_table(predictions, entries[0]["path"])
    with pytest.raises(InputError, match=r"no test trials of task compound.*submission\.samples.compound"):
        write_submission(tmp_path / "no.json", predictions=entries, **corpus, task=get_task("abaw6", "compound"))


def test_targets_that_make_a_submission():
    task = get_task("abaw2", "va")
    both, valence = va({"a": 3}), va({"a": 3}).drop_columns("arousal")
    assert task_table({"mtl": both, "va": both.slice(1)}, task).num_rows == 2
    assert task_table({"mtl": both, "expr": valence}, task) is both
    with pytest.raises(InputError, match="targets mtl, other all predict va"):
        task_table({"mtl": both, "other": both}, task)
    with pytest.raises(InputError, match="targets valence do not predict all of va"):
        task_table({"valence": valence}, task)


def test_csv_export(tmp_path, variant):
    entries, values, _ = variant
    export_csv(tmp_path / "csv", entries)
    assert sorted(path.name for path in (tmp_path / "csv").iterdir()) == ["w.csv", "w_left.csv"]
    table = pa.csv.read_csv(tmp_path / "csv" / "w_left.csv")
    assert table.column_names == ["frame", "time_s", "valence", "arousal", "source"]
    for target in ("valence", "arousal"):
        assert table[target].to_numpy() == pytest.approx(values[target][20:])
