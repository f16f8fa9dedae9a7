"""The comparison on labels that nobody here made: corpora, plain models and figures, on made-up recordings and pictures."""

import sys
from pathlib import Path

import av
import numpy as np
import pandas as pd
import pytest
import soundfile
from sklearn.metrics import f1_score

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module", autouse=True)
def benchmarks():
    """The scripts find each other as they do when one of them is run."""
    sys.path.insert(0, str(ROOT / "benchmarks" / "real"))
    yield
    sys.path.remove(str(ROOT / "benchmarks" / "real"))


def test_recordings_become_clips_with_labels_and_actors(tmp_path):
    import ravdess

    from wildaffect.corpus.table import scan

    noise = np.random.default_rng(0).integers(-9000, 9000, 8000).astype(np.int16)
    for name in ("03-01-02-01-01-01-07", "03-01-05-02-02-01-08"):
        soundfile.write(tmp_path / f"{name}.flac", noise, 16000)
    ravdess.build(tmp_path, tmp_path / "corpus")
    calm, angry = scan(tmp_path / "corpus", tmp_path / "corpus").trials
    assert (calm.subject, calm.clip_expr, calm.clip_va) == ("actor07", "Neutral", "0.5,-0.5")
    assert (angry.subject, angry.clip_expr, angry.clip_va) == ("actor08", "Anger", "-0.5,0.5")
    with av.open(str(tmp_path / "corpus" / angry.media)) as clip:
        heard = np.concatenate([frame.to_ndarray()[0] for frame in clip.decode(audio=0)])
    np.testing.assert_array_equal(heard, noise)  # not a sample is lost
    with av.open(str(tmp_path / "corpus" / angry.media)) as clip:
        assert sum(1 for _ in clip.decode(video=0)) == ravdess.FPS // 2


def test_recordings_are_thinned_evenly_and_wrong_names_refused(tmp_path):
    import ravdess

    from wildaffect.errors import InputError

    files = [
        Path(f"03-01-0{emotion}-01-0{take}-01-0{actor}.wav")
        for actor in (1, 2)
        for emotion in (1, 2)
        for take in range(4)
    ]
    kept = ravdess.spread(files, 2)
    assert len(kept) == 8 and {path.stem.split("-")[4] for path in kept} == {"00", "02"}
    with pytest.raises(InputError, match="not the name of a RAVDESS recording"):
        ravdess.row(Path("angry_1.wav"))


def test_columns_of_power_are_described_in_decibel(tmp_path):
    import ravdess

    for feature in ("tsav_mel", "egemaps25"):
        (tmp_path / "features" / feature).mkdir(parents=True)
        np.save(tmp_path / "features" / feature / "a.npy", np.array([[1.0, 0.01], [100.0, 0.01]], np.float32))
    np.testing.assert_allclose(ravdess.moments(tmp_path, "tsav_mel", "a"), [[10, -20, 10, 0]], atol=1e-5)
    np.testing.assert_allclose(ravdess.moments(tmp_path, "egemaps25", "a"), [[50.5, 0.01, 49.5, 0]], atol=1e-5)


def test_pictures_become_frames_with_their_labels(tmp_path):
    import fer2013
    from PIL import Image

    from wildaffect.corpus.table import scan

    images = np.arange(5, dtype=np.uint8)[:, None, None] * np.full((1, 48, 48), 50, np.uint8)
    for part in fer2013.PARTITIONS:
        np.savez(tmp_path / f"{part}.npz", images=images, labels=np.array([4, 0, 1, 2, 6]))
    fer2013.build(tmp_path, tmp_path / "corpus")
    train, validation = scan(tmp_path / "corpus", tmp_path / "corpus").trials
    assert (train.partition("expr"), validation.partition("va")) == ("train", "validation")
    lines = (tmp_path / "corpus" / train.annotation("expr")).read_text().split()
    affect = (tmp_path / "corpus" / train.annotation("va")).read_text().split()
    assert lines[0].startswith("Neutral,Anger")
    for index, (label, values) in enumerate(zip(lines[1:], affect[1:], strict=True), start=1):
        for folder in fer2013.FOLDERS:
            shown = np.asarray(Image.open(tmp_path / f"corpus/{folder}/{train.trial}/{index:05d}.png"))[0, 0]
            assert [4, 0, 1, 2, 6][shown // 50] == int(label)
        assert values == {"4": "0.5,0.5", "0": "0.0,0.0", "6": "0.5,0.5"}.get(label, "-0.5,0.5")


def two_folds():
    """Six clips of four frames, class and arousal told by the first input; and a second input that tells the wrong thing."""
    from comparison import Corpus

    names = [f"clip{number}" for number in range(6)]
    folds = [(names[2:], names[:2]), (names[:2] + names[4:], names[2:4]), (names[:4], names[4:])]
    expression = {name: np.full(4, float(number % 2)) for number, name in enumerate(names)}
    affect = {name: np.column_stack([np.zeros(4), np.full(4, number % 2 - 0.5)]) for number, name in enumerate(names)}
    return Corpus(folds, expression, affect)


def test_plain_models_learn_what_can_be_learnt_from_other_clips():
    from comparison import FIGURES, figures, linear, majority, radial

    corpus = two_folds()

    def told(trial):
        return np.array([[2.0 * corpus.expression[trial][0] - 1]])

    for model in (linear, radial):
        row = model("told", corpus, told)
        assert all((row.expression[trial] == corpus.expression[trial]).all() for trial in corpus.expression)
        found = figures(row, corpus, lambda trial: trial)
        assert found[FIGURES[0]][0] == pytest.approx(2 / 7)  # two of the seven classes occur, both always right
        assert found[FIGURES[2]][0] > 0.5
    found = figures(majority(corpus), corpus, None)
    assert found[FIGURES[0]][0] <= 1 / 7 and found[FIGURES[2]][0] <= 0


def test_figures_are_those_of_other_libraries():
    from comparison import concordance, macro_f1

    from wildaffect.scoring import ccc

    rng = np.random.default_rng(1)
    truth, guess = rng.integers(0, 7, 200).astype(float), rng.integers(0, 7, 200)
    weights = np.stack([np.ones(200, int), np.arange(200) % 3])
    found = macro_f1(truth, guess, weights)
    assert found[0] == pytest.approx(f1_score(truth, guess, average="macro"))
    assert found[1] == pytest.approx(f1_score(truth, guess, average="macro", sample_weight=weights[1]))
    values = rng.normal(size=200)
    heard = values + rng.normal(size=200)
    found = concordance(values, heard, weights)
    twice = np.repeat(np.arange(200), weights[1])
    np.testing.assert_allclose(found, [ccc(values, heard), ccc(values[twice], heard[twice])])


def test_intervals_draw_whole_units():
    from comparison import Corpus, Row, figures

    # One of two actors is always right, the other always wrong: the interval goes from none to all.
    expression = {"a": np.zeros(50), "b": np.zeros(50)}
    affect = {trial: np.zeros((50, 2)) for trial in expression}
    corpus = Corpus([((), ("a", "b"))], expression, affect)
    row = Row("half", {"a": np.zeros(50), "b": np.ones(50)}, None)
    value, low, high = figures(row, corpus, lambda trial: trial)["F1 expression"]
    assert (low, high) == (0, pytest.approx(1 / 7)) and low < value < high
    _, low, high = figures(row, corpus, None)["F1 expression"]
    assert high - low < 0.05


def test_differences_are_paired(tmp_path):
    from comparison import Corpus, Row, differences, write_differences

    # Actor b is hard for both models; one of them errs once more on each.
    expression = {"a": np.zeros(50), "b": np.zeros(50)}
    corpus = Corpus([((), ("a", "b"))], expression, {trial: np.zeros((50, 2)) for trial in expression})
    wrong = np.arange(50) < 20
    good = Row("good", {"a": np.zeros(50), "b": 1.0 * wrong}, None)
    bad = Row("bad", {"a": 1.0 * (np.arange(50) == 0), "b": 1.0 * (np.arange(50) < 21)}, None)
    value, low, high = differences(good, bad, corpus, lambda trial: trial)["F1 expression"]
    assert 0 < low <= value <= high < 0.01  # though each model's own interval goes from 0.1 to 0.14
    assert differences(bad, good, corpus, lambda trial: trial)["F1 expression"][0] == -value
    text = write_differences(good, [bad], corpus, tmp_path, lambda trial: trial)
    assert (tmp_path / "differences.md").read_text() == text and f"| bad | {value:+.2f} (" in text


def test_tables_say_what_was_found(tmp_path):
    from comparison import FIGURES, majority, write_figures

    corpus = two_folds()
    text = write_figures([majority(corpus)], corpus, tmp_path, None, {"majority class, mean": {FIGURES[0]: 0.25}})
    table = pd.read_csv(tmp_path / "figures.csv")
    assert list(table["figure"]) == list(FIGURES) and table["last_epoch"][0] == 0.25
    assert (tmp_path / "figures.md").read_text() == text and "| 0.25 |" in text


@pytest.mark.slow
@pytest.mark.shared
def test_speech_is_learnt_through_the_workflow(shared, tmp_path, monkeypatch, capsys):
    import ravdess

    recordings = shared / "realdata" / "ravdess"
    if not recordings.is_dir():
        pytest.skip(f"{recordings} not found: no real recordings to learn from")
    few = tmp_path / "few"
    few.mkdir()
    for path in sorted(recordings.glob("03-01-0[45]-02-01-01-0[12].*")):
        (few / path.name).symlink_to(path)
    small = ravdess.CLIPS | {"epochs": 4, "network": {"audio_hidden": 8}}
    monkeypatch.setitem(
        ravdess.SYSTEMS, "m3t", {"variants": ["audio"], "targets": ["mtl"], "recipe": {"preset": "small_data", **small}}
    )
    monkeypatch.setattr(
        sys, "argv", ["ravdess.py", str(few), str(tmp_path / "out"), "--systems", "m3t", "--folds", "2"]
    )
    ravdess.main()
    shown = capsys.readouterr().out
    table = pd.read_csv(tmp_path / "out" / "figures.csv")
    assert {"m3t audio", "majority class, mean", "eGeMAPS functionals, linear SVM"} <= set(table["model"])
    assert "| m3t audio | " in shown and table["value"].between(-1, 1).all()
