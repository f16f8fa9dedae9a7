"""What weights were trained on against what they are used on: any values, any differences."""

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wildaffect.training.origin import Origin, compare, differences, notes, refusal

VALUES = st.none() | st.booleans() | st.integers() | st.text("ab", max_size=3) | st.lists(st.integers(), max_size=2)
NESTED = st.recursive(
    VALUES, lambda inner: st.dictionaries(st.sampled_from("abc"), inner, min_size=1, max_size=3), max_leaves=8
)
ORIGINS = st.dictionaries(st.sampled_from(["faces", "crops", "features"]), NESTED, max_size=3)


@given(ORIGINS)
def test_equal_origins_agree(values):
    agreement = compare(Origin(values), Origin(copy.deepcopy(values)))
    assert agreement.compared and not agreement.refused and not agreement.accepted
    assert refusal("lfan", agreement, []) == ""


@given(ORIGINS, ORIGINS)
def test_every_difference_is_refused_until_it_is_named(first, second):
    names = list(differences(first, second))
    assert list(differences(second, first)) == names
    for number in range(len(names) + 1):
        accept = names[:number]
        agreement = compare(Origin(first), Origin(second), accept)
        assert len(agreement.accepted) + len(agreement.refused) == len(names)
        assert not {*accept} & {*agreement.refused}
        text = refusal("lfan", agreement, accept)
        assert all(f"  - {name}: trained on " in text for name in agreement.refused)
        assert bool(text) == bool(agreement.refused)


@given(ORIGINS, ORIGINS)
def test_the_list_that_the_message_gives_accepts_everything(first, second):
    text = refusal("lfan", compare(Origin(first), Origin(second)), [])
    listed = text.rpartition("accept_inputs: [")[2].rstrip("].").split(", ") if text else []
    assert not compare(Origin(first), Origin(second), listed).refused


@pytest.mark.parametrize("known", [(None, {}), ({}, None), (None, None)])
def test_nothing_is_compared_with_what_is_not_known(known):
    first, second = known
    agreement = compare(Origin(first), Origin(second))
    assert not agreement.compared and not agreement.refused


def test_false_and_zero_are_different_from_nothing():
    assert differences({"a": False, "b": 0}, {}) == {"a": (False, None), "b": (0, None)}


@pytest.mark.parametrize(
    ("trained", "here", "said"),
    [("demo", "folder", True), ("demo", "demo", False), ("affwild2", "folder", False), (None, "demo", False)],
)
def test_only_weights_of_the_demo_mean_nothing_and_only_elsewhere(trained, here, said):
    names = {"system": "lfan", "variant": "unimodal", "target": "valence"}
    found = notes(names, compare(Origin({}, trained), Origin({}, here)), here)
    assert bool(found) == said and all("means nothing" in note for note in found)
