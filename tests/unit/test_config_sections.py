"""Typed sections: what is wrong with a block is said in words, all of it at once."""

import datetime
from types import MappingProxyType
from typing import Annotated, ClassVar, Literal

import pytest
import yaml
from pydantic import Field, ValidationError

from wildaffect.config import Fraction, Names, Section, Seed, Text, parse
from wildaffect.errors import InputError


class Network(Section):
    """A network."""

    units: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=4, max_length=4)] = (3, 4, 14, 3)
    """Units per stage."""

    pooling: Literal[1, 2, None] = 1
    """Side of the squares
    averaged."""


class Recipe(Section):
    """A recipe."""

    renamed: ClassVar = {"rate": "learning_rate"}

    learning_rate: Annotated[float, Field(gt=0, lt=1)] = 1e-5
    """Learning rate."""

    epochs: Annotated[int, Field(ge=1)] | None = 100
    seed: Seed = 0
    balance: Fraction = 1
    augment: bool = True
    order: Literal["adam", "sgd"] = "adam"
    folds: Literal["all"] | Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)] = "all"
    window: int | tuple[int, ...] = 13
    pair: tuple[int, int] = (1, 2)
    title: Text = "x"
    tags: Names = ()
    network: Network = Network()
    parts: dict[Annotated[str, Field(pattern="^[a-z]+$")], Network] = Field({}, alias="import")


def problems(text: str) -> list[str]:
    with pytest.raises(InputError) as caught:
        parse(Recipe, yaml.full_load(text), "recipe")
    first, *lines = str(caught.value).splitlines()
    assert first == "configuration:"
    return [line.removeprefix("  - ") for line in lines]


def test_defaults_and_given_values():
    found = parse(Recipe, {"epochs": None, "network": {"units": [1, 1, 1, 1]}, "import": {"a": {}}}, "recipe")
    assert found.epochs is None and found.network.units == (1, 1, 1, 1) and found.parts == {"a": Network()}
    assert found.plain() == {
        "learning_rate": 1e-5,
        "epochs": None,
        "seed": 0,
        "balance": 1.0,
        "augment": True,
        "order": "adam",
        "folds": "all",
        "window": 13,
        "pair": [1, 2],
        "title": "x",
        "tags": [],
        "network": {"units": [1, 1, 1, 1], "pooling": 1},
        "import": {"a": {"units": [3, 4, 14, 3], "pooling": 1}},
    }
    with pytest.raises(ValidationError):
        found.epochs = 3


def test_descriptions_are_the_text_below_a_key():
    assert Network.model_fields["pooling"].description == "Side of the squares\naveraged."


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("{epoch: 3}", ["recipe: unknown key 'epoch'; did you mean 'epochs'? known: augment, balance, epochs, folds, import, "
                        "learning_rate, network, order, pair, seed, tags, title, window"]),
        ("{network: {unit: [1]}}", ["recipe.network: unknown key 'unit'; did you mean 'units'? known: pooling, units"]),
        ("{import: {a: {unit: 1}}}", ["recipe.import.a: unknown key 'unit'; did you mean 'units'? known: pooling, units"]),
        ("{parts: {}}", ["recipe: unknown key 'parts'; did you mean 'pair'? known: augment, balance, epochs, folds, import, "
                         "learning_rate, network, order, pair, seed, tags, title, window"]),
        ("{rate: 3}", ["recipe: 'rate' was renamed to 'learning_rate'"]),
        ("{order: adan}", ["recipe.order: 'adan' is not possible; did you mean 'adam'? known: adam, sgd"]),
        ("{network: {pooling: 3}}", ["recipe.network.pooling: 3 is not possible; known: 1, 2, null"]),
        ("{epochs: many}", ["recipe.epochs: 'many' where a whole number is expected"]),
        ("{epochs: '7'}", ["recipe.epochs: '7' where a whole number is expected; it is text, write 7"]),
        ("{epochs: 7.5}", ["recipe.epochs: 7.5 where a whole number is expected"]),
        ("{epochs: true}", ["recipe.epochs: true where a whole number is expected"]),
        ("{epochs: 0}", ["recipe.epochs: 0 is too small; the least is 1"]),
        ("{seed: -1}", ["recipe.seed: -1 is too small; the least is 0"]),
        ("{learning_rate: 1e-3}", ["recipe.learning_rate: '1e-3' where a number is expected; it is text, write 0.001"]),
        ("{learning_rate: 1e-7}", ["recipe.learning_rate: '1e-7' where a number is expected; it is text, write 1.0e-07"]),
        ("{learning_rate: 1}", ["recipe.learning_rate: 1 is too large; use less than 1.0"]),
        ("{learning_rate: .inf}", ["recipe.learning_rate: .inf is not a finite number"]),
        ("{balance: .nan}", ["recipe.balance: .nan is not a finite number"]),
        ("{augment: 1}", ["recipe.augment: 1 where true or false is expected"]),
        ("{title: no}", ["recipe.title: false where text is expected; put it in quotes"]),
        ("{title: ''}", ["recipe.title: '' is too short; the least length is 1"]),
        ("{title: 2020-01-02}", ["recipe.title: 2020-01-02 is a date; put it in quotes if text is meant"]),
        ("{folds: al}", ["recipe.folds: 'al' where 'all' or a list is expected"]),
        ("{folds: []}", ["recipe.folds: [] has too few entries; the least are 1"]),
        ("{folds: [0, -1]}", ["recipe.folds[1]: -1 is too small; the least is 0"]),
        ("{window: x}", ["recipe.window: 'x' where a whole number or a list is expected"]),
        ("{window: [3, x]}", ["recipe.window[1]: 'x' where a whole number is expected"]),
        ("{network: {units: [1, 2, 3]}}", ["recipe.network.units: [1, 2, 3] has too few entries; the least are 4"]),
        ("{pair: []}", ["recipe.pair: [] has too few entries"]),
        ("{pair: [1, 2, 3]}", ["recipe.pair: [1, 2, 3] has too many entries; the most are 2"]),
        ("{pair: [1, x]}", ["recipe.pair[1]: 'x' where a whole number is expected"]),
        ("{network: }", ["recipe.network: null where a block of keys is expected"]),
        ("{import: {A b: {}}}", ["recipe.import.A b: 'A b' does not match ^[a-z]+$"]),
        ("{tags: [a, b, a]}", ["recipe.tags: 'a' is named twice"]),
        ("{tags: a}", ["recipe.tags: 'a' where a list is expected"]),
        ("{1: a, title: !!binary aGk=}", ["recipe: the key 1 is not text; put it in quotes",
                                         "recipe.title: bytes is no type of value that a configuration can have"]),
        ("[]", ["recipe: [] where a block of keys is expected"]),
        ("{seed: -1, network: {units: 5}, tags: [3]}", ["recipe.seed: -1 is too small; the least is 0",
                                                       "recipe.tags[0]: 3 where text is expected; put it in quotes",
                                                       "recipe.network.units: 5 where a list is expected"]),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_in_words(text, lines):
    assert problems(text) == lines


def test_blocks_that_contain_themselves():
    assert problems("&a {network: *a}") == [
        "recipe.network: contains itself; remove the YAML alias of a block inside the block"
    ]
    assert problems("{tags: &a [x, *a]}") == [
        "recipe.tags[1]: contains itself; remove the YAML alias of a block inside the block"
    ]


def test_the_same_block_twice_is_no_block_in_itself():
    found = parse(Recipe, yaml.safe_load("{import: {a: &a {pooling: 2}, b: *a}}"), "recipe")
    assert found.parts["a"] == found.parts["b"] == Network(pooling=2)


def test_depth_is_limited():
    text = "{a: " * 16 + "1" + "}" * 16
    assert problems(text)[0].startswith("recipe: unknown key 'a'")
    assert problems("{a: " * 17 + "1" + "}" * 17) == [f"recipe{'.a' * 16}: is nested more than 16 levels deep"]
    assert problems(f"{{a: {'[' * 400}{']' * 400}}}") == [f"recipe.a{'[0]' * 15}: is nested more than 16 levels deep"]


@pytest.mark.timeout(60)
def test_aliases_cannot_fill_the_memory():
    """Nine levels of nine aliases: 387 million values in 300 letters."""
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    lines += [
        f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]"
        for before, name in zip("abcdefgh", "bcdefghi", strict=True)
    ]
    assert problems("\n".join(lines)) == [
        "recipe: more than 100,000 values; do not repeat large blocks by YAML aliases"
    ]


def test_other_mappings_and_tuples_are_read_as_yaml_would_be():
    found = parse(Recipe, MappingProxyType({"network": MappingProxyType({"units": (1, 2, 3, 4)})}), "recipe")
    assert found.network.units == (1, 2, 3, 4)


def test_dates_are_dates_even_if_python_made_them():
    with pytest.raises(InputError, match="2020-01-02 is a date"):
        parse(Recipe, {"title": datetime.date(2020, 1, 2)}, "recipe")
