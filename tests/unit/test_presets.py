"""Presets of recipes: values that are ours, over which those of the recipe win."""

import re

import pytest
import yaml

from wildaffect import systems
from wildaffect.config import keys, sections
from wildaffect.errors import InputError

WITH_PRESETS = [name for name in sorted(systems.available()) if systems.spec(name).settings.presets]


def differences(values, defaults, prefix=""):
    """Keys, with dots, whose plain values differ."""
    found = set()
    for key, value in values.items():
        if isinstance(value, dict) and isinstance(defaults[key], dict):
            found |= differences(value, defaults[key], f"{prefix}{key}.")
        elif value != defaults[key]:
            found.add(prefix + key)
    return found


def paths_of(values, prefix=""):
    return {
        name
        for key, value in values.items()
        for name in (paths_of(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key})
    }


def test_systems_that_can_learn_from_little_have_the_preset():
    assert WITH_PRESETS == ["cnu_adl", "lfan", "m3t", "ntua", "sequence", "tsav"]


@pytest.mark.parametrize("system", WITH_PRESETS)
def test_a_preset_changes_what_it_lists_and_nothing_else(system):
    spec = systems.spec(system)
    defaults = systems.resolve_settings(system).plain()
    for name, values in spec.settings.presets.items():
        chosen = systems.resolve_settings(system, {"preset": name})
        assert differences(chosen.plain(), defaults) == {"preset"} | paths_of(values)
        # A run record holds all values: read back they are the same, whatever the preset may become.
        assert systems.resolve_settings(system, chosen.plain()) == chosen
    assert defaults["preset"] is None


def test_what_a_recipe_says_wins_over_the_preset():
    preset = systems.resolve_settings("m3t", {"preset": "small_data"})
    mixed = systems.resolve_settings("m3t", {"preset": "small_data", "epochs": 3, "network": {"dropout": 0.5}})
    assert (mixed.epochs, mixed.network.dropout) == (3, 0.5)
    assert mixed.network.audio_hidden == preset.network.audio_hidden != 256  # the rest of a block stays the preset's
    published = systems.resolve_settings("m3t", {"preset": "small_data", "batch": 96, "network": {"audio_hidden": 256}})
    assert (published.batch, published.network.audio_hidden) == (96, 256)  # also where it says the default


def test_wrong_presets_and_wrong_values_beside_one_are_named():
    with pytest.raises(InputError, match=r"small_dta.*is not possible.*small_data"):
        systems.resolve_settings("ntua", {"preset": "small_dta"})
    with pytest.raises(InputError, match="epochs: 0 is too small"):
        systems.resolve_settings("ntua", {"preset": "small_data", "epochs": 0})
    with pytest.raises(InputError, match="unknown key 'preset'"):
        systems.resolve_settings("fer2013", {"preset": "small_data"})


@pytest.mark.parametrize("system", WITH_PRESETS)
def test_the_reference_lists_the_values(root, system):
    page = (root / "docs" / "reference" / f"{system}.md").read_text()
    shown = yaml.safe_load(re.search(r"## `preset: small_data`.*?```yaml\n(.*?)```", page, re.DOTALL)[1])
    assert shown == yaml.safe_load(yaml.safe_dump(dict(systems.spec(system).settings.presets["small_data"])))
    assert "ours, not published" in page


@pytest.mark.parametrize("system", WITH_PRESETS)
def test_presets_name_keys_that_there_are(system):
    def known(section, values):
        assert set(values) <= set(keys(section))
        for key, value in values.items():
            if isinstance(value, dict):
                known(sections(keys(section)[key].annotation)[0], value)

    known(systems.spec(system).settings, systems.spec(system).settings.presets["small_data"])
