"""One reader for the YAML files of the project and of plug-ins: what it refuses, it refuses in words."""

import pytest

from wildaffect.errors import InputError
from wildaffect.files import read_yaml


def refusal(path, text: str | bytes) -> str:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(InputError) as raised:
        read_yaml(path)
    return str(raised.value)


def test_values_are_those_of_yaml_and_json(tmp_path):
    path = tmp_path / "values.yaml"
    path.write_text("a: &one {b: [1, 2.5, null, yes, 'text']}\nc: *one\nd: é\n", encoding="utf-8")
    block = {"b": [1, 2.5, None, True, "text"]}
    assert read_yaml(path) == {"a": block, "c": block, "d": "é"}
    path.write_text('{"a": [1e-3, "1"], "b": {}}')
    assert read_yaml(path) == {"a": ["1e-3", "1"], "b": {}}, "YAML 1.1 has a point in every number with an exponent"
    path.write_text("")
    assert read_yaml(path) is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [1,", "not readable YAML"),
        ("a: !!python/name:os.system", "not readable YAML"),
        (b"a: \xff", "not readable YAML"),
        ("a: 2020-13-45", "not readable YAML"),
        ("a: *unknown", "not readable YAML"),
        ("a: {b: .nan}", "data.yaml.a.b: .nan is not a finite number"),
        ("a: [1, -.inf]", "data.yaml.a[1]: -.inf is not a finite number"),
        ("a: {1: one}", "data.yaml.a: the key 1 is not text; put it in quotes"),
        ("a: &a [*a]", "data.yaml.a[0]: contains itself"),
        ("a: 2020-01-02", "data.yaml.a: 2020-01-02 is a date"),
    ],
)
def test_what_no_configuration_may_hold_is_named_with_file_and_key(tmp_path, text, words):
    assert words in refusal(tmp_path / "data.yaml", text)


@pytest.mark.parametrize("depth", [17, 2_000, 1_000_000])
@pytest.mark.parametrize("brackets", ["[]", ("{a: ", "}")])
def test_deep_files_are_refused_before_they_crash_the_parser(tmp_path, depth, brackets):
    text = brackets[0] * depth + brackets[1] * depth
    assert "is nested more than 16 levels deep" in refusal(tmp_path / "deep.yaml", text)
    (tmp_path / "flat.yaml").write_text(brackets[0] * 16 + brackets[1] * 16)
    assert read_yaml(tmp_path / "flat.yaml")


def test_aliases_that_multiply_are_refused(tmp_path):
    """Eleven lines that would be ten billion values."""
    lines = ["a0: &a0 [x]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 11))]
    assert "more than 100,000 values" in refusal(tmp_path / "bomb.yaml", "\n".join(lines))


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match=r"absent\.yaml: cannot be read \(No such file"):
        read_yaml(tmp_path / "absent.yaml")
