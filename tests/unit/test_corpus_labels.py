"""Annotation files: what is a label, what is not, and how rows meet frames."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wildaffect.corpus.labels import JoinRules, classify, join, label_table, parse_annotation
from wildaffect.corpus.trials import Trial
from wildaffect.errors import InputError


def write(tmp_path, text, name="a.txt"):
    path = tmp_path / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_va_masks_and_keeps_the_valid_half(tmp_path):
    path = write(tmp_path, "valence,arousal\n0.5,-0.25\n-5,-5\n-5,0.1\n1,-1\n1.2,0\n")
    annotation = parse_annotation(path, "va")
    nan = np.nan
    np.testing.assert_array_equal(annotation.values, [[0.5, -0.25], [nan, nan], [nan, 0.1], [1, -1], [nan, 0]])


def test_va_columns_go_by_name(tmp_path):
    annotation = parse_annotation(write(tmp_path, "Arousal, Valence\n0.1,0.9\n"), "va")
    assert annotation.columns == ("valence", "arousal")
    np.testing.assert_array_equal(annotation.values, [[0.9, 0.1]])


def test_byte_order_mark_carriage_returns_and_blank_end(tmp_path):
    path = write(tmp_path, b"\xef\xbb\xbfvalence,arousal\r\n0.1,0.2\r\n0.3,0.4\r\n\r\n\n")
    assert parse_annotation(path, "va").values.shape == (2, 2)


def test_expression_and_units(tmp_path):
    header = "Neutral,Anger,Disgust,Fear,Happiness,Sadness,Surprise,Other"
    expression = parse_annotation(write(tmp_path, f"{header}\n0\n-1\n7\n"), "expr")
    np.testing.assert_array_equal(expression.values, [[0], [np.nan], [7]])
    units = parse_annotation(write(tmp_path, "AU1,AU2,AU12\n0,1,-1\n-1,-1,-1\n"), "au")
    assert units.columns == ("AU1", "AU2", "AU12")
    np.testing.assert_array_equal(units.values, [[0, 1, np.nan], [np.nan] * 3])


@pytest.mark.parametrize(
    ("task", "text", "message"),
    [
        ("va", "", "empty"),
        ("va", "time,valence\n0,0\n", "line 1"),
        ("va", "valence,arousal\n0,0\n0\n", "line 3"),
        ("va", "valence,arousal\n0,zero\n", "line 2"),
        ("expr", "Neutral\n9\n", "line 2: 9 is not a label"),
        ("expr", "Neutral\n0.5\n", "not a label"),
        ("expr", "Neutral\nnan\n", "line 2: .*'nan' is not a number"),
        ("au", "AU1,smile\n0,1\n", "line 1"),
        ("au", "AU1,AU1\n0,1\n", "line 1"),
        ("au", "AU1,AU2\n0,2\n", "2 is not a label"),
        ("va", b"\xff\xfe\x00binary", "cannot be read"),
    ],
)
def test_malformed_files_name_file_and_line(tmp_path, task, text, message):
    path = write(tmp_path, text)
    with pytest.raises(InputError, match=message) as caught:
        parse_annotation(path, task)
    assert str(path) in str(caught.value)


values = st.floats(-1, 1).map(lambda value: round(value, 6))


@given(st.lists(st.tuples(st.one_of(values, st.just(-5.0)), st.one_of(values, st.just(-5.0))), max_size=30))
def test_va_round_trip(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("labels") / "a.txt"
    path.write_text("\n".join(["valence,arousal", *(f"{v},{a}" for v, a in rows)]))
    expected = np.array(rows, float).reshape(-1, 2)
    np.testing.assert_array_equal(parse_annotation(path, "va").values, np.where(expected == -5, np.nan, expected))


@given(st.text(max_size=200), st.sampled_from(["va", "expr", "au"]))
def test_any_text_is_parsed_or_refused_in_words(tmp_path_factory, text, task):
    path = tmp_path_factory.mktemp("labels") / "a.txt"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        annotation = parse_annotation(path, task)
    except InputError as error:
        assert str(path) in str(error)
    else:
        assert annotation.values.shape[1] == len(annotation.columns)


@pytest.mark.parametrize(
    ("rows", "frames", "kind", "rule"),
    [
        (100, 100, "equal", "none"),
        (101, 100, "one_more", "truncate"),
        (102, 100, "more", "mask"),
        (130, 100, "more", "mask"),
        (131, 100, "far_off", "exclude"),
        (99, 100, "fewer", "mask"),
        (69, 100, "far_off", "exclude"),
        (100, 0, "far_off", "exclude"),
    ],
)
def test_counts_are_classified(rows, frames, kind, rule):
    assert classify(rows, frames, JoinRules()) == (kind, rule)


def test_join_never_shifts_a_row(tmp_path):
    annotation = parse_annotation(write(tmp_path, "valence,arousal\n0.1,0\n0.2,0\n0.3,0\n"), "va")
    np.testing.assert_array_equal(join(annotation, 2, "truncate")[:, 0], [0.1, 0.2])
    np.testing.assert_array_equal(join(annotation, 5, "mask")[:, 0], [0.1, 0.2, 0.3, np.nan, np.nan])
    assert np.isnan(join(annotation, 3, "exclude")).all()


def test_label_table_has_a_row_per_frame_and_says_what_it_did(tmp_path):
    write(tmp_path, "valence,arousal\n0.1,0.2\n-5,0.4\n-5,-5\n0.7,0.8\n")
    trials = [Trial("a", "a", "a.mp4", partition_va="train", annotation_va="a.txt"), Trial("b", "b", "b.mp4")]
    times = {"a": np.array([0.0, 0.04, 0.08])}
    table, report = label_table("va", trials, tmp_path, times, JoinRules())
    assert table["frame"].to_pylist() == [0, 1, 2]
    assert table["valence"].to_pylist() == [pytest.approx(0.1), None, None]
    assert table["arousal"].to_pylist() == [pytest.approx(0.2), pytest.approx(0.4), None]
    assert table["valid"].to_pylist() == [True, False, False]
    facts = report["trials"]["a"]
    assert (facts["kind"], facts["rule"], facts["invalid_rows"], facts["half_invalid_rows"]) == (
        "one_more",
        "truncate",
        1,
        1,
    )


def test_editions_are_not_mixed(tmp_path):
    write(tmp_path, "AU1,AU2\n0,1\n", "a.txt")
    write(tmp_path, "AU1,AU20\n0,1\n", "b.txt")
    trials = [Trial(n, n, f"{n}.mp4", partition_au="train", annotation_au=f"{n}.txt") for n in ("a", "b")]
    with pytest.raises(InputError, match="Do not mix editions"):
        label_table("au", trials, tmp_path, {"a": np.zeros(1), "b": np.zeros(1)}, JoinRules())
