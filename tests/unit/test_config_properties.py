"""Properties of the configuration: what the definitions allow is accepted and kept, all else is refused in words."""

import re
from typing import Any

import pytest
import yaml
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from wildaffect import systems
from wildaffect.config import keys, parse, sections
from wildaffect.errors import InputError
from wildaffect.faces import templates
from wildaffect.faces.options import DETECTORS
from wildaffect.features.registry import FEATURES
from wildaffect.features.spec import SPEECH_NETWORKS
from wildaffect.scoring.editions import editions
from wildaffect.workflow.reference import json_schema, section_schema
from wildaffect.workflow.settings import DLIB_MODELS, Configuration, complete_settings, tasks

SCHEMA = json_schema()
JARGON = re.compile(
    r"pydantic|https?://|Input should|Value error|validation error|Traceback|[A-Z][a-z]+Error|_type\b", re.IGNORECASE
)
REGISTERED = {
    "edition": st.sampled_from(list(editions())),
    "editions": st.lists(st.sampled_from(list(editions())), unique=True),
    "faces.single_pass": st.booleans() | st.lists(st.sampled_from(templates.names()), unique=True),
    "features.single_pass": st.booleans() | st.lists(st.sampled_from(list(FEATURES)), unique=True),
    "samples": st.dictionaries(st.sampled_from(tasks()), st.text(min_size=1)),
    "accept_findings": st.lists(st.text(min_size=1), unique=True),
    "members": st.lists(st.text(min_size=1), unique=True, min_size=1),
    "import": st.dictionaries(st.from_regex(r"\A[a-z0-9_]+\Z"), st.just({"path": "{trial}.npy", "columns": 3})),
    "labels.scale": st.lists(st.floats(-100, 100), unique=True, min_size=2, max_size=2).map(sorted),
    "embeddings": st.dictionaries(
        st.from_regex(r"\A[a-z0-9_]+\Z"),
        st.sampled_from(
            [{"network": "hog", "crops": "arcface112"}, {"network": "resnet18", "weights": "seeded", "crops": "x"}]
        ),
    ),
    "audio_embeddings": st.dictionaries(
        st.from_regex(r"\A[a-z0-9_]+\Z"),
        st.fixed_dictionaries(
            {
                "network": st.sampled_from(list(SPEECH_NETWORKS)),
                "weights": st.text(min_size=1),
                "layers": st.lists(st.integers(1, 12), min_size=1, unique=True),
            },
            optional={"combine": st.sampled_from(["mean", "concatenate"])},
        ),
        max_size=2,
    ),
    "bodies": st.none() | st.just({"source": "face_box"}),
}
"""What the schema leaves to the plan, by key."""


def values_of(node: dict[str, Any], path: str, schema: dict[str, Any] = SCHEMA) -> st.SearchStrategy:
    """Values that a node of the schema allows."""
    key = path.rpartition(".")[2]
    for name in (path, key):
        if name in REGISTERED:
            return REGISTERED[name]
    if "$ref" in node:
        return values_of(schema["$defs"][node["$ref"].rpartition("/")[2]], path, schema)
    if "anyOf" in node:
        return st.one_of(*(values_of(part, path, schema) for part in node["anyOf"]))
    if "enum" in node or "const" in node:
        return st.sampled_from(node.get("enum", [node.get("const")]))
    match node["type"]:
        case "null":
            return st.none()
        case "boolean":
            return st.booleans()
        case "string" if "pattern" in node:
            return st.from_regex(rf"\A(?:{node['pattern'].removeprefix('^').removesuffix('$')})\Z")
        case "string":
            return st.text(min_size=node.get("minLength", 0))
        case "integer":
            top = node["exclusiveMaximum"] - 1 if "exclusiveMaximum" in node else node.get("maximum")
            return st.integers(node.get("minimum"), top)
        case "number":
            open_ends = {"exclude_min": "exclusiveMinimum" in node, "exclude_max": "exclusiveMaximum" in node}
            low, high = (node.get(name, node.get(f"exclusive{name.capitalize()}")) for name in ("minimum", "maximum"))
            return st.floats(low, high, allow_nan=False, allow_infinity=False, **open_ends)
        case "array" if "prefixItems" in node:
            return st.tuples(*(values_of(part, path, schema) for part in node["prefixItems"])).map(list)
        case "array":
            sizes = {"min_size": node.get("minItems", 0), "max_size": min(node.get("maxItems", 6), 6)}
            return st.lists(values_of(node["items"], path, schema), **sizes, unique=True)
        case "object" if "properties" in node:
            required = {name: values_of(part, f"{path}.{name}", schema) for name, part in node["properties"].items()}
            optional = {name: required.pop(name) for name in [*required] if name not in node.get("required", ())}
            return st.fixed_dictionaries(required, optional=optional)
        case "object" if "additionalProperties" in node:
            names = values_of({"type": "string", **node["propertyNames"]}, path)
            return st.dictionaries(names, values_of(node["additionalProperties"], path, schema), max_size=2)
        case "object":
            (inner,) = node["patternProperties"].values()
            return st.dictionaries(st.from_regex(r"\A[a-z0-9_]+\Z"), values_of(inner, path, schema), max_size=2)
    raise AssertionError(f"{path}: no strategy for {node}")


def blocks() -> st.SearchStrategy[dict[str, Any]]:
    """Whole configurations; the blocks of systems and the options of detectors are those of other tests."""
    parts = {key: node for key, node in SCHEMA["properties"].items() if key != "systems"}
    faces = {
        key: node
        for key, node in SCHEMA["$defs"]["Faces"]["properties"].items()
        if key not in ("options", "backend", "model")
    }
    strategies = {key: values_of(node, key) for key, node in parts.items() if key != "faces"}
    strategies["faces"] = st.tuples(values_of({"type": "object", "properties": faces}, "faces"), detectors()).map(
        lambda both: {**both[0], **both[1]}
    )
    return st.fixed_dictionaries({}, optional=strategies).filter(persons_fit)


def persons_fit(raw: dict[str, Any]) -> bool:
    """Whether several persons are asked for only of a folder."""
    corpus = raw.get("corpus") or {}
    return corpus.get("persons", 1) == 1 or corpus.get("layout") == "folder"


def detectors() -> st.SearchStrategy[dict[str, Any]]:
    retinaface = {"backend": st.just("retinaface"), "model": st.text(min_size=1), "options": st.fixed_dictionaries(
        {}, optional={"threshold": st.floats(0, 1), "det_sizes": st.lists(st.integers(1, 40).map(lambda n: 32 * n), min_size=1),
                      "follow": st.none() | st.fixed_dictionaries({}, optional={"every": st.integers(1)})})}  # fmt: skip
    dlib = {"backend": st.just("dlib"), "model": st.sampled_from(DLIB_MODELS), "options": st.fixed_dictionaries(
        {}, optional={"max_side": st.integers(0), "identity": st.booleans()})}  # fmt: skip
    return st.fixed_dictionaries(retinaface) | st.fixed_dictionaries(dlib) | st.just({})


def holds(complete: Any, given: Any) -> bool:
    """Whether ``complete`` has everything that was ``given``."""
    if isinstance(complete, dict) and isinstance(given, dict):
        return all(key in complete and holds(complete[key], value) for key, value in given.items())
    return (type(given) in (int, float) and complete == given) or (type(complete), complete) == (type(given), given)


@given(blocks())
@settings(max_examples=60, deadline=None)
def test_what_the_definitions_allow_is_accepted_kept_and_complete(raw):
    complete = complete_settings(raw)
    assert holds(complete, raw)
    assert complete.keys() == SCHEMA["properties"].keys()
    # What is complete stays as it is, also through a file.
    assert complete_settings(yaml.safe_load(yaml.safe_dump(complete))) == complete


@pytest.mark.parametrize("system", systems.available())
@given(data=st.data())
@settings(max_examples=15, deadline=None)
def test_blocks_of_systems(system, data):
    spec = systems.spec(system)
    choices = {
        "variants": st.just("all") | st.lists(st.sampled_from(list(spec.variants)), min_size=1, unique=True),
        "targets": st.just("all") | st.lists(st.sampled_from(list(spec.targets)), min_size=1, unique=True),
        "mode": st.sampled_from(spec.modes),
        "folds": st.just("all") | st.lists(st.integers(0), min_size=1, unique=True),
        "trained": st.none() | st.text(min_size=1),
        "fusion": st.fixed_dictionaries(
            {}, optional={"method": st.just("mean"), "clip": st.sampled_from(["early", "none"])}
        ),
    }
    block = data.draw(st.none() | st.fixed_dictionaries({}, optional=choices))
    complete = complete_settings({"systems": {system: block}})["systems"][system]
    given_values = {key: value for key, value in (block or {}).items() if value != "all"}
    assert holds(complete, given_values)
    assert {*complete["variants"]} <= {*spec.variants} and {*complete["targets"]} <= {*spec.targets}
    assert complete["fusion"]["method"] in ("mean", "ccc_centring", "ccc_centring_published")


@pytest.mark.parametrize("system", systems.available())
@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_recipes(system, data):
    """Of every system: what its settings allow is kept, complete and the same after a file; a block of theirs is read in the whole."""
    section = systems.spec(system).settings
    schema = section_schema(section)
    recipe = data.draw(values_of(schema, "recipe", schema))
    try:
        complete = parse(section, recipe, "recipe").plain()
    except InputError as error:
        assert all(line.startswith("  - recipe: ") for line in str(error).splitlines()[1:]), error
        reject()  # settings that are each allowed and exclude each other
    assert holds(complete, recipe)
    assert complete.keys() == schema["properties"].keys()
    assert section.from_plain(yaml.safe_load(yaml.safe_dump(complete))).plain() == complete
    complete_settings({"systems": {system: {"recipe": recipe}}})


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.dates() | st.binary(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text() | st.integers(), inner, max_size=3),
    max_leaves=6,
)


def refusal(raw: Any) -> str:
    with pytest.raises(InputError) as caught:
        complete_settings(raw)
    message = str(caught.value)
    assert not JARGON.search(message), message
    return message


def leaves(node: dict[str, Any], path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Paths of all keys of the main configuration that hold no block."""
    found = []
    for key, part in node["properties"].items():
        inner = SCHEMA["$defs"][part["$ref"].rpartition("/")[2]] if "$ref" in part else None
        found += leaves(inner, (*path, key)) if inner else [(*path, key)]
    return found


LEAVES = leaves(SCHEMA)
FREE = {
    *("options", "systems", "import", "embeddings", "audio_embeddings", "ensembles", "samples", "bodies", "classes"),
    "thresholds",
}
"""Keys that hold blocks of names, or of keys that depend on others."""


def test_the_leaves_are_all_keys():
    assert len(LEAVES) == 71 and ("faces", "tracking", "max_gap") in LEAVES


def nested(path: tuple[str, ...], value: Any) -> dict[str, Any]:
    return {path[0]: nested(path[1:], value) if path[1:] else value}


@pytest.mark.parametrize("path", LEAVES, ids=".".join)
def test_a_block_or_bytes_in_place_of_a_value_are_refused_by_name(path):
    if path[-1] not in FREE:
        assert f"config.{'.'.join(path)}: " in refusal(nested(path, {"a": 1}))
    assert f"config.{'.'.join(path)}: " in refusal(nested(path, b"bytes"))
    assert f"config.{'.'.join(path)}: " in refusal(nested(path, float("nan")))


@given(path=st.sampled_from(LEAVES), value=ANYTHING)
@settings(max_examples=300, deadline=None)
def test_any_value_is_taken_or_refused_by_name(path, value):
    raw = nested(path, value)
    try:
        complete_settings(raw)
    except InputError as error:
        lines = str(error).splitlines()[1:]
        assert lines and all(line.startswith(f"  - config.{path[0]}") for line in lines), lines
        assert any(path[-1] in line for line in lines)
        assert not JARGON.search("\n".join(lines).replace(repr(value), "")) or isinstance(value, str | dict | list)


@given(ANYTHING)
@settings(max_examples=200, deadline=None)
def test_anything_in_place_of_a_configuration_is_taken_or_refused(raw):
    try:
        complete_settings(raw)
    except InputError as error:
        assert str(error).startswith("configuration:\n  - config")


SECTIONS = {
    section.__name__: section
    for top in (Configuration, *DETECTORS.values(), *(systems.spec(name).settings for name in systems.available()))
    for section in (top, *(inner for field in top.model_fields.values() for inner in sections(field.annotation)))
}
MISSPELT = [(name, key) for name, section in SECTIONS.items() for key in keys(section) if len(key) > 4]


@given(pair=st.sampled_from(MISSPELT), data=st.data())
@settings(max_examples=100, deadline=None)
def test_a_misspelt_key_is_answered_with_the_right_one(pair, data):
    section, key = SECTIONS[pair[0]], pair[1]
    at = data.draw(st.integers(1, len(key) - 1))
    wrong = key[:at] + key[at + 1 :]
    with pytest.raises(InputError) as caught:
        parse(section, {wrong: None}, "block")
    assert f"block: unknown key {wrong!r}; did you mean {key!r}? known: " in str(caught.value)
