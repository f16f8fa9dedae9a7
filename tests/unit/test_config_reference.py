"""The files that are written from the definitions of the configuration: in step, complete, and right for editors."""

import json
import re
from collections.abc import Iterator

import pytest
import yaml
from jsonschema import Draft202012Validator

from wildaffect import systems
from wildaffect.config import Section, keys, sections
from wildaffect.faces.options import DETECTORS
from wildaffect.workflow.reference import COMMAND, SCHEMA, commented_yaml, contents, json_schema, paragraphs
from wildaffect.workflow.settings import Configuration, System, complete_settings

DEMO = ("demo", "demo_tsav", "demo_m3t", "demo_ntua", "demo_cnu_adl", "demo_sequence", "demo_fold0", "demo_fusion")


@pytest.fixture(scope="module")
def written() -> dict[str, str]:
    return contents()


@pytest.fixture(scope="module")
def editor(root) -> Draft202012Validator:
    """The shipped schema, as an editor applies it."""
    schema = json.loads((root / SCHEMA).read_text())
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def all_sections(section: type[Section] = Configuration) -> Iterator[type[Section]]:
    yield section
    for field in section.model_fields.values():
        for inner in sections(field.annotation):
            yield from all_sections(inner)


OTHERS = [*DETECTORS.values(), *(systems.spec(name).settings for name in systems.available())]
OTHERS = [*DETECTORS.values(), *(systems.spec(name).settings for name in systems.available())]
EVERY = [
    *dict.fromkeys([*all_sections(), *all_sections(System), *(part for top in OTHERS for part in all_sections(top))])
]


def test_generated_files_are_in_step(root, written):
    stale = [name for name, text in written.items() if not (root / name).is_file() or (root / name).read_text() != text]
    assert not stale, f"{', '.join(stale)}: written from other definitions. Run `{COMMAND}`."
    pages = {f"docs/reference/{path.name}" for path in (root / "docs" / "reference").iterdir()}
    assert pages == {name for name in written if name.startswith("docs/reference/")}, "a page of no system"


@pytest.mark.parametrize("section", EVERY, ids=lambda section: section.__name__)
def test_every_key_is_described(section):
    assert section.__doc__ and section.__doc__ != Section.__doc__
    undescribed = [
        key for key, field in keys(section).items() if not field.description and not sections(field.annotation)
    ]
    assert undescribed == []


def test_config_yaml_holds_every_key_with_its_default():
    loaded = yaml.safe_load(commented_yaml(json_schema()))
    assert loaded["systems"].keys() == {"lfan"}
    assert complete_settings(loaded) == complete_settings({"systems": {"lfan": {}}})

    def check(section: type[Section], values: dict) -> None:
        assert list(values) == list(keys(section))
        for key, field in keys(section).items():
            if isinstance(values[key], dict) and isinstance(field.default, Section):
                check(type(field.default), values[key])

    check(Configuration, loaded)
    check(System, loaded["systems"]["lfan"])


def test_config_yaml_is_fit_to_read():
    lines = commented_yaml(json_schema()).splitlines()
    assert max(map(len, lines)) <= 140
    assert lines[0] == f"# yaml-language-server: $schema={SCHEMA}"
    described = [line for line in lines if re.match(r" *[a-z_]+:", line)]
    assert all(re.search(r"  # \S", line) for line in described)
    assert "  layout: affwild2              # How videos and annotations are stored." in lines
    assert " " * 32 + "# folder:    any folder of videos without labels; everything is predicted" in lines
    assert " " * 32 + "# Example: {va: sample.txt}" in lines


def test_descriptions_are_read_by_paragraph():
    assert paragraphs("One\ntwo.\n- a: b\n  c\n- d: e") == ["One two.", "- a: b c", "- d: e"]


def merged(base, over):
    if isinstance(base, dict) and isinstance(over, dict):
        return base | {key: merged(base.get(key), value) for key, value in over.items()}
    return over


def test_editors_accept_what_is_shipped(root, editor):
    shipped = yaml.safe_load((root / "config.yaml").read_text())
    assert list(editor.iter_errors(shipped)) == []
    for name in DEMO:
        over = yaml.safe_load((root / "config" / f"{name}.yaml").read_text())
        assert list(editor.iter_errors(over)) == [], name
        shipped = merged(shipped, over)
    assert list(editor.iter_errors(shipped)) == []
    assert complete_settings(shipped)["systems"].keys() == {"lfan", "tsav", "m3t", "ntua", "cnu_adl", "sequence"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"corpus": {"layuot": "demo"}},
        {"corpus": {"layout": "affwild"}},
        {"faces": {"backend": "dlib", "options": {"det_sizes": [640]}}},
        {"faces": {"backend": "retinaface", "options": {"max_side": 3}}},
        {"systems": {"lfan": {"folds": "none"}}},
        {"systems": {"lfan": {"smoothing": {"methud": "wiener"}}}},
        {"score": {"ensembles": {"both": {}}}},
        {"features": {"import": {"a": {"path": "a.npy"}}}},
        {"training": {"seed": -1}},
    ],
)
def test_editors_mark_what_is_wrong(editor, wrong):
    assert list(editor.iter_errors(wrong))


@pytest.mark.parametrize(
    "right",
    [
        {},
        {"systems": ["all"]},
        {"systems": {"lfan": False, "a_new_one": {"recipe": {"anything": 1}}}},
        {"corpus": {"edition": "abaw99"}},
        {"faces": {"backend": "dlib", "model": "hog", "options": {"max_side": 320}, "single_pass": ["new112"]}},
    ],
)
def test_editors_leave_the_names_of_plug_ins_to_the_plan(editor, right):
    assert list(editor.iter_errors(right)) == []


@pytest.mark.parametrize("section", EVERY, ids=lambda section: section.__name__)
def test_examples_are_right(section):
    for key, field in keys(section).items():
        for example in field.examples or ():
            paths = {
                "Features": "features",
                "Score": "score",
                "Submission": "submission",
                "Labels": "labels",
                "Tables": "tables",
            }
            if section is System:
                given = complete_settings({"systems": {"lfan": {key: example}}})["systems"]["lfan"][key]
            else:
                path = paths[section.__name__]
                given = complete_settings({path: {key: example}})[path][key]
            assert merged(given, example) == given


def test_pages_say_type_default_and_meaning(written):
    rows = written["docs/configuration.md"].splitlines()
    assert "| `count` | whole number ≥ 2 | `6` | Number of folds of the scheme `grouped`. |" in rows
    assert any(row.startswith("| `columns` | whole number ≥ 1 or list of text | required | ") for row in rows)
    assert any(row.startswith("| `annotations` | text or null | `null` | ") for row in rows)
    headings = {row for row in rows if row.startswith("## ")}
    assert {
        "## `faces.options` (backend: dlib)",
        "## `features.import.<name>`",
        "## `systems.<name>.smoothing`",
    } <= headings
    recipe = written["docs/reference/lfan.md"].splitlines()
    assert any(row.startswith("| `epochs` | whole number ≥ 1 | `100` | ") for row in recipe)
    assert "## `systems.lfan.recipe.backbone`" in recipe
    assert not [row for row in rows + recipe if row.startswith("|") and row.count(" | ") != 3 and "---" not in row]
