"""Every setting that a system's schema offers is read by its code, and described."""

import re

import pytest

from wildaffect import systems


def settings_of(schema: dict) -> dict[str, dict]:
    """All keys below a schema, nested ones included."""
    found = {}
    for name, part in schema.get("properties", {}).items():
        found[name] = part
        found |= settings_of(part)
    return found


@pytest.mark.parametrize("system", sorted(systems.available()))
def test_no_setting_is_dead_or_undescribed(root, system):
    folder = root / "scripts" / "wildaffect" / "systems" / system
    code = "\n".join(path.read_text() for path in folder.glob("*.py"))
    settings = settings_of(systems.spec(system).schema["properties"]["recipe"])
    assert settings
    assert [name for name in settings if not re.search(rf"\b{name}\b", code)] == []
    assert [name for name, part in settings.items() if "description" not in part] == []


def test_lfan_pictures_vary_only_where_asked():
    import numpy as np

    from support.runs import trial_in_memory
    from wildaffect.systems.lfan.data import WindowSamples
    from wildaffect.systems.toolbox.sampling import all_rows

    axis = all_rows(trial_in_memory(np.zeros(50, np.float32)), "va")
    frames = {}
    for augment in (True, False):
        samples = WindowSamples(
            [axis],
            {},
            template="lfan48",
            features={},
            window=50,
            hop=50,
            augment=augment,
            pad_counts=True,
            only_counting=False,
        )
        draws = [samples.read(0, np.random.default_rng(seed))["frame"] for seed in range(4)]
        frames[augment] = any((draws[0] != draw).any() for draw in draws[1:])
    assert frames == {True: True, False: False}
