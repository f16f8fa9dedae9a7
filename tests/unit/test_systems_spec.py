"""Every setting of a system is read by its code."""

import inspect
import re

import pytest

from wildaffect import systems
from wildaffect.config import keys, sections
from wildaffect.systems.types import RecipeSettings


def names_of(section) -> list[str]:
    """All keys of a section, nested ones included."""
    inner = [name for field in keys(section).values() for part in sections(field.annotation) for name in names_of(part)]
    return [*keys(section), *inner]


@pytest.mark.parametrize("system", sorted(systems.available()))
def test_no_setting_is_dead(root, system):
    folder = root / "scripts" / "wildaffect" / "systems" / system
    spec = systems.spec(system)
    code = "\n".join(path.read_text() for path in folder.glob("*.py") if path.name != "spec.py")
    code += (folder.parent / "base.py").read_text() + inspect.getsource(spec.needs)
    code += inspect.getsource(RecipeSettings._over_preset)
    names = names_of(spec.settings)
    assert len(names) >= 20 or spec.trained
    assert [name for name in names if not re.search(rf"\b{name}\b", code)] == []


def test_lfan_pictures_vary_only_where_asked():
    import numpy as np

    from support.runs import trial_in_memory
    from wildaffect.systems.lfan.data import WindowSamples
    from wildaffect.systems.toolbox import all_rows

    axis = all_rows(trial_in_memory(np.zeros(50, np.float32)), "va")
    frames = {}
    for augment in (True, False):
        samples = WindowSamples(
            [axis],
            {},
            template="lfan48",
            features=(),
            window=50,
            hop=50,
            augment=augment,
            pad_counts=True,
            only_counting=False,
        )
        draws = [samples.read(0, np.random.default_rng(seed))["frame"] for seed in range(4)]
        frames[augment] = any((draws[0] != draw).any() for draw in draws[1:])
    assert frames == {True: True, False: False}
