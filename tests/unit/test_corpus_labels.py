"""Annotation files: what is a label, what is not, and how rows meet frames."""

import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wildaffect.config import parse
from wildaffect.corpus.label_spaces import EXPRESSIONS7, EXPRESSIONS8
from wildaffect.corpus.labels import (
    LabelRules,
    check_labels,
    classify,
    in_ranges,
    join,
    label_table,
    parse_annotation,
)
from wildaffect.corpus.timed import Range, read_ranges
from wildaffect.corpus.trials import Trial
from wildaffect.errors import InputError

ALL = ",".join(EXPRESSIONS8)


def write(tmp_path, text, name="a.txt"):
    path = tmp_path / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_va_masks_and_keeps_the_valid_half(tmp_path):
    path = write(tmp_path, "valence,arousal\n0.5,-0.25\n-5,-5\n-5,0.1\n1,-1\n-5.0,0\n")
    annotation = parse_annotation(path, "va")
    nan = np.nan
    np.testing.assert_array_equal(annotation.values, [[0.5, -0.25], [nan, nan], [nan, 0.1], [1, -1], [nan, 0]])


@pytest.mark.parametrize(
    ("scale", "rows", "expected"),
    [
        ((-10, 10), [(-10, 10), (0, -5), (5, 2.5)], [(-1, 1), (0, -0.5), (0.5, 0.25)]),
        ((1, 9), [(1, 9), (5, 3), (-5, 5)], [(-1, 1), (0, -0.5), (np.nan, 0)]),
        ((0, 1), [(0, 1), (0.5, 0.25), (-5, -5)], [(-1, 1), (0, -0.5), (np.nan, np.nan)]),
    ],
)
def test_another_scale_is_mapped_linearly(tmp_path, scale, rows, expected):
    """-5 is a value of the first scale and marks what is no label on the others."""
    path = write(tmp_path, "valence,arousal\n" + "".join(f"{v},{a}\n" for v, a in rows))
    np.testing.assert_array_equal(parse_annotation(path, "va", rules=LabelRules(scale=scale)).values, expected)


@given(st.sampled_from([(-1.0, 1.0), (-10.0, 10.0), (1.0, 9.0)]), st.floats(-20, 20).filter(lambda value: value != -5))
def test_what_lies_beyond_the_scale_is_an_error_with_its_line(tmp_path_factory, scale, value):
    path = tmp_path_factory.getbasetemp() / "beyond.txt"
    middle = sum(scale) / 2
    path.write_text(f"valence,arousal\n{middle},{middle}\n{middle},{value!r}\n")
    if scale[0] <= value <= scale[1]:
        assert abs(parse_annotation(path, "va", rules=LabelRules(scale=scale)).values).max() <= 1
    else:
        with pytest.raises(InputError, match=r"beyond\.txt, line 3: .* is not between .*labels\.scale"):
            parse_annotation(path, "va", rules=LabelRules(scale=scale))


def test_a_scale_ascends():
    with pytest.raises(InputError, match="must be the least value, then the largest"):
        parse(LabelRules, {"scale": [1, -1]}, "labels")


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
    named = parse_annotation(write(tmp_path, "Expression\nfear\n-1\nNeutral\n"), "expr", EXPRESSIONS7)
    np.testing.assert_array_equal(named.values, [[3], [np.nan], [0]])
    units = parse_annotation(write(tmp_path, "AU1,AU2,AU12\n0,1,-1\n-1,-1,-1\n"), "au")
    assert units.columns == ("AU1", "AU2", "AU12")
    np.testing.assert_array_equal(units.values, [[0, 1, np.nan], [np.nan] * 3])


def test_classes_of_another_order_go_by_name(tmp_path):
    """As files do whose classes are Fear, Happiness, ...: what is called Sadness is Sadness, wherever it stands."""
    path = write(tmp_path, "Surprise,sadness,NEUTRAL,Anger,Disgust,Fear,Happiness\n0\n1\n2\n6\n-1\n")
    read = parse_annotation(path, "expr", EXPRESSIONS7)
    assert read.columns == ("expression",)
    np.testing.assert_array_equal(read.values, [[6], [5], [0], [4], [np.nan]])


TABLE = {"Angry": "Anger", "Happy": "happiness", "Sad": "Sadness", "Calm": "Neutral", "Contempt": None}


def test_other_names_are_mapped_by_the_table_and_need_not_be_all(tmp_path):
    rules = LabelRules(classes=TABLE)
    path = write(tmp_path, "angry,Calm,Happy,Contempt,Fear\n0\n1\n2\n3\n4\n")
    np.testing.assert_array_equal(
        parse_annotation(path, "expr", EXPRESSIONS7, rules).values, [[1], [0], [4], [np.nan], [3]]
    )
    path = write(tmp_path, "expression\nHappy\ncontempt\ncalm\n")
    np.testing.assert_array_equal(parse_annotation(path, "expr", EXPRESSIONS7, rules).values, [[4], [np.nan], [0]])


@pytest.mark.parametrize(
    ("text", "rules", "message"),
    [
        ("4\n4\n5\n", {}, "line 1: '4' is no header"),
        ("Angry,Disgust,Fear,Happy,Sad,Surprise,Neutral\n3\n", {}, "in labels.classes what 'Angry' is called"),
        (",".join(EXPRESSIONS8) + "\n3\n", {}, "what 'Other' is called"),
        (",".join(EXPRESSIONS7[:6]) + "\n3\n", {}, "Check the edition"),
        ("Neutral," + ",".join(EXPRESSIONS7) + "\n3\n", {}, "Check the edition"),
        ("Happy,Calm\n2\n", {"classes": TABLE}, "line 2: 2 is not a label; expected -1 .none. or 0 to 1"),
        ("expression\nhappy\n3\n", {"classes": TABLE}, "line 3: '3' is not a label"),
        (
            "Happy\n0\n",
            {"classes": {"Happy": "Happines"}},
            "'Happines' is no class of corpus.edition; did you mean 'Happiness'",
        ),
    ],
)
def test_classes_that_cannot_be_told_are_refused(tmp_path, text, rules, message):
    with pytest.raises(InputError, match=message):
        parse_annotation(write(tmp_path, text), "expr", EXPRESSIONS7, LabelRules(**rules))


@pytest.mark.parametrize(
    ("name", "task", "message"),
    [
        ("label_nohdr", "expr", "line 1: '4' is no header"),
        ("label_fer", "expr", "line 1: classes 'Angry,Disgust,Fear"),
        ("label_afew", "va", "line 2: 6 is not between -1 and 1"),
    ],
)
@pytest.mark.shared
def test_files_of_other_data_sets_are_refused_at_their_beginning(shared, name, task, message):
    path = shared / "cases" / f"{name}.txt"
    with pytest.raises(InputError, match=message):
        parse_annotation(path, task, EXPRESSIONS7, LabelRules())
    with pytest.raises(InputError, match=message):
        check_labels(annotated(path.name, task), task, path.parent, EXPRESSIONS7, LabelRules())
    declared = LabelRules(scale=(-10, 10), classes={"Angry": "Anger", "Happy": "Happiness", "Sad": "Sadness"})
    if name != "label_nohdr":
        values = parse_annotation(path, task, EXPRESSIONS7, declared).values
        assert values.min() >= (-1 if task == "va" else 4) and values.max() == (1 if task == "va" else 4)


def annotated(name: str, task: str) -> Trial:
    return Trial("a", "a", "a.mp4", **{f"partition_{task}": "train", f"annotation_{task}": name})


def test_the_beginning_of_a_long_file_is_checked_without_its_last_line(tmp_path):
    def check(text):
        write(tmp_path, text)
        check_labels(annotated("a.txt", "va"), "va", tmp_path, (), LabelRules())

    row = "0.25,0.25\n"
    check("valence,arousal\n" + row * 500 + "0,2\n")
    check(("valence,arousal\n" + row * 500).encode("utf-16"))
    with pytest.raises(InputError, match="line 102: 2 is not between"):
        check("valence,arousal\n" + row * 100 + "0,2\n" + row * 400)


def test_a_label_of_a_whole_clip_holds_for_every_frame(tmp_path):
    write(tmp_path, "expression\nFear\n")
    trials = [Trial("a", "a", "a.mp4", partition_expr="train", annotation_expr="a.txt")]
    times = {"a": np.arange(90) / 30}
    table, report = label_table("expr", trials, tmp_path, times, LabelRules(per_clip=True), EXPRESSIONS7)
    assert table["expression"].to_pylist() == [3] * 90 and all(table["valid"].to_pylist())
    assert (report["trials"]["a"]["kind"], report["trials"]["a"]["rule"]) == ("per_clip", "repeat")
    inline = [Trial("a", "a", "a.mp4", partition_expr="train", clip_expr="Fear"), Trial("b", "b", "b.mp4")]
    assert label_table("expr", inline, tmp_path, times, LabelRules(), EXPRESSIONS7)[0].equals(table)
    write(tmp_path, "expression\nFear\nFear\n")
    with pytest.raises(InputError, match="2 rows where one row for the whole clip"):
        label_table("expr", trials, tmp_path, times, LabelRules(per_clip=True), EXPRESSIONS7)


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ({"clip_va": "6,0"}, "trials.csv, trial 'a': 6 is not between"),
        ({"clip_expr": "Joy"}, "trials.csv, trial 'a': 'joy' is not a label"),
    ],
)
def test_labels_of_whole_clips_are_checked_as_those_of_files(tmp_path, label, message):
    (task,) = (name.removeprefix("clip_") for name in label)
    with pytest.raises(InputError, match=message):
        check_labels(Trial("a", "a", "a.mp4", **label), task, tmp_path, EXPRESSIONS7, LabelRules())
    rules = LabelRules(scale=(0, 8), classes={"Joy": "Happiness"})
    table, _ = label_table(task, [Trial("a", "a", "a.mp4", **label)], tmp_path, {"a": np.zeros(2)}, rules, EXPRESSIONS7)
    expected = {"va": {"valence": [0.5] * 2, "arousal": [-1] * 2}, "expr": {"expression": [4, 4]}}[task]
    assert table.select(list(expected)).to_pydict() == expected


@pytest.mark.parametrize(
    ("task", "text", "message"),
    [
        ("va", "valence,arousal\n0,nan\n", "line 2"),
        ("va", "valence,arousal\n0,0\n0,inf\n", "line 3"),
        ("va", "valence,arousal\n0,0_1\n", "line 2"),
        ("va", "valence,arousal\n0,0,1\n", "line 2: 3 values where 2"),
        ("va", "valence,arousal\n0,0,\n0,0\n", "line 2"),
        ("va", "valence,arousal\n0\n0,0,0\n", "line 2"),
        ("va", "0.1,0.2\n0,0\n", "line 1"),
        ("au", "0,1\n0,1\n", "line 1"),
        ("va", "", "empty"),
        ("va", "time,valence\n0,0\n", "line 1"),
        ("va", "valence,arousal\n0,0\n0\n", "line 3"),
        ("va", "valence,arousal\n0,zero\n", "line 2"),
        ("expr", f"{ALL}\n9\n", "line 2: 9 is not a label"),
        ("expr", f"{ALL}\n0.5\n", "not a label"),
        ("expr", f"{ALL}\nnan\n", "line 2: .*'nan' is not a number"),
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


def _number(field):
    """What a field spells, by its letters."""
    if not re.fullmatch(r"[ \t]*[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?[ \t]*", field):
        return None
    return float(field) if math.isfinite(float(field)) else None


fields = st.one_of(
    st.sampled_from(["0.5", "-1", "1e0", " 0", "-0", ".25", "5.e-1", "1e999"]), st.text("01.-+eE \t,", max_size=4)
)


@given(st.lists(st.lists(fields, min_size=1, max_size=3).map(",".join), min_size=1, max_size=5))
def test_each_line_of_numbers_is_read_or_the_first_that_is_none_is_named(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("labels") / "a.txt"
    path.write_text("\n".join(["valence,arousal", *rows]), newline="")
    read = [[_number(field) for field in line.split(",")] for line in path.read_text().rstrip().split("\n")[1:]]
    wrong = [row for row, numbers in enumerate(read) if None in numbers or len(numbers) != 2]
    wrong = wrong or [row for row, numbers in enumerate(read) if max(map(abs, numbers)) > 1]
    if wrong:
        with pytest.raises(InputError, match=rf"line {wrong[0] + 2}:"):
            parse_annotation(path, "va")
    else:
        np.testing.assert_array_equal(parse_annotation(path, "va").values, np.array(read, float).reshape(-1, 2))


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
    assert classify(rows, frames, LabelRules()) == (kind, rule)


def test_join_never_shifts_a_row(tmp_path):
    annotation = parse_annotation(write(tmp_path, "valence,arousal\n0.1,0\n0.2,0\n0.3,0\n"), "va")
    np.testing.assert_array_equal(join(annotation, 2, "truncate")[:, 0], [0.1, 0.2])
    np.testing.assert_array_equal(join(annotation, 5, "mask")[:, 0], [0.1, 0.2, 0.3, np.nan, np.nan])
    assert np.isnan(join(annotation, 3, "exclude")).all()


def test_label_table_has_a_row_per_frame_and_says_what_it_did(tmp_path):
    write(tmp_path, "valence,arousal\n0.1,0.2\n-5,0.4\n-5,-5\n0.7,0.8\n")
    trials = [Trial("a", "a", "a.mp4", partition_va="train", annotation_va="a.txt"), Trial("b", "b", "b.mp4")]
    times = {"a": np.array([0.0, 0.04, 0.08])}
    table, report = label_table("va", trials, tmp_path, times, LabelRules())
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


def test_frames_in_excluded_ranges_have_no_label(tmp_path):
    write(tmp_path, "valence,arousal\n0.1,0.2\n0.3,0.4\n0.5,0.6\n0.7,0.8\n", "a.txt")
    write(tmp_path, "AU1,AU2\n0,1\n1,-1\n", "b.txt")
    (tmp_path / "ranges.csv").write_text(
        "trial,video,start_s,end_s,label\na,,0.04,0.12,hand\n,b,0,9,all\na,a,0.08,0.12,again\na,,7,8,beyond\n"
    )
    excluded = read_ranges(tmp_path / "ranges.csv", {"a": "a", "b_left": "b", "c": "c"})
    va = [Trial(n, n, f"{n}.mp4", partition_va="train", annotation_va="a.txt") for n in ("a", "c")]
    times = {"a": np.arange(4) / 25, "c": np.arange(4) / 25, "b": np.arange(2) / 25}
    table, report = label_table("va", va, tmp_path, times, LabelRules(), excluded=excluded)
    assert table["valid"].to_pylist() == [True, False, False, True] + [True] * 4
    assert table["arousal"].to_pylist()[:4] == [pytest.approx(0.2), None, None, pytest.approx(0.8)]
    assert (report["trials"]["a"]["excluded"], report["trials"]["a"]["ranges_without_frame"]) == (2, 1)
    assert "excluded" not in report["trials"]["c"]
    au = [Trial("b_left", "b", "b.mp4", partition_au="train", annotation_au="b.txt")]
    table, report = label_table("au", au, tmp_path, times, LabelRules(), excluded=excluded)
    assert table["AU1"].to_pylist() == [None, None] and table["valid"].to_pylist() == [False, False]
    assert report["trials"]["b_left"]["excluded"] == 2
    # Of a video without frames nothing can be excluded.
    _, report = label_table("va", va[:1], tmp_path, {"a": np.zeros(0)}, LabelRules(), excluded=excluded)
    assert (report["trials"]["a"]["excluded"], report["trials"]["a"]["ranges_without_frame"]) == (0, 3)
    # Without ranges nothing is said of them, so that tables stay what they were.
    assert "excluded" not in label_table("va", va, tmp_path, times, LabelRules())[1]["trials"]["a"]


@given(st.lists(st.floats(0.001, 0.5), min_size=1, max_size=30), st.data())
def test_ranges_of_whole_frames_hold_these_frames(durations, data):
    edges = np.concatenate([[0.0], np.cumsum(durations)])
    first = data.draw(st.integers(0, len(durations) - 1))
    last = data.draw(st.integers(first, len(durations) - 1))
    inside = in_ranges(edges[:-1], [Range(edges[first], edges[last + 1], "")])
    assert np.flatnonzero(inside[0]).tolist() == list(range(first, last + 1))


def test_editions_are_not_mixed(tmp_path):
    write(tmp_path, "AU1,AU2\n0,1\n", "a.txt")
    write(tmp_path, "AU1,AU20\n0,1\n", "b.txt")
    trials = [Trial(n, n, f"{n}.mp4", partition_au="train", annotation_au=f"{n}.txt") for n in ("a", "b")]
    with pytest.raises(InputError, match="Do not mix editions"):
        label_table("au", trials, tmp_path, {"a": np.zeros(1), "b": np.zeros(1)}, LabelRules())
