"""Text that a person writes: encodings and rows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wildaffect.errors import InputError
from wildaffect.textfiles import read_lines, read_rows, read_text


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=50))
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_text_with_a_mark_is_read_as_it_was_written(tmp_path_factory, encoding, text):
    path = tmp_path_factory.getbasetemp() / "text.txt"
    path.write_bytes(text.encode(encoding))
    assert read_text(path) == text


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused_in_words(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "table.csv"
    path.write_bytes(data)
    try:
        rows = read_rows(path, ("a", "b"), ())
    except InputError as error:
        assert str(path) in str(error)
    else:
        assert all(set(values) <= {"a", "b"} for _, values in rows)


def test_lines_of_every_system(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"a\r\nb\rc\n\n d\x0be\n\n")
    assert read_lines(path) == ["a", "b", "c", "", " d\x0be"]
    path.write_bytes(b"\n \n")
    assert read_lines(path) == []


def test_a_file_that_is_none_is_named(tmp_path):
    with pytest.raises(InputError, match=r"nowhere\.csv: cannot be read"):
        read_text(tmp_path / "nowhere.csv")
