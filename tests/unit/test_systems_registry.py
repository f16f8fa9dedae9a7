"""Discovery of systems, their settings, and that planning needs no torch."""

import subprocess
import sys

import pytest
from pydantic import ValidationError

from wildaffect import systems
from wildaffect.errors import InputError


def test_lfan_is_available():
    assert systems.available()["lfan"] == ["unimodal", "multimodal"]


def test_planning_imports_nothing_heavy(root):
    program = """
import sys
from wildaffect import systems
for name, variants in systems.available().items():
    spec = systems.spec(name)
    for variant in variants:
        for mode in spec.modes:
            spec.needs(variant, mode, systems.resolve_settings(name))
print(sorted({"torch", "lightning", "cv2", "scipy", "pandas"} & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=root / "scripts", capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_needs_follow_variant_and_mode():
    needs, recipe = systems.spec("lfan").needs, systems.resolve_settings("lfan")
    assert needs("unimodal", "faithful", recipe).features == ()
    assert needs("multimodal", "faithful", recipe).features == ("vggish128.indexed", "mfcc39.indexed")
    assert needs("multimodal", "corrected", recipe).features == ("vggish128", "mfcc39")
    assert needs("multimodal", "corrected", recipe).crops == ("lfan48",)


def test_defaults_are_the_published_recipe():
    recipe = systems.resolve_settings("lfan")
    published = {"window": 300, "hop": 200, "batch": 8, "epochs": 100, "learning_rate": 1e-5, "weight_decay": 1e-3,
                 "plateau_patience": 5, "plateau_factor": 0.1, "minimum_rate": 1e-6, "patience": 20}  # fmt: skip
    assert {key: getattr(recipe, key) for key in published} == published
    assert recipe.backbone.units == (3, 4, 14, 3)


def test_overrides_reach_into_nested_settings():
    recipe = systems.resolve_settings("lfan", {"hop": 100, "backbone": {"units": [1, 1, 1, 1]}})
    assert recipe.hop == 100
    assert recipe.backbone.units == (1, 1, 1, 1)
    assert recipe.backbone.embedding == 512
    assert systems.resolve_settings("lfan").backbone.units == (3, 4, 14, 3)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"learnig_rate": 1}, "learnig_rate"),
        ({"batch": 0}, "lfan.recipe.batch"),
        ({"backbone": {"units": [1, 1]}}, "lfan.recipe.backbone.units"),
        ({"backbone": 5}, "lfan.recipe.backbone"),
        ({"backbone_training": "some"}, "lfan.recipe.backbone_training"),
    ],
)
def test_wrong_settings_are_named(settings, named):
    with pytest.raises(InputError, match=named):
        systems.resolve_settings("lfan", settings)


@pytest.mark.parametrize(
    ("system", "old", "new"),
    [
        ("ntua", {"early_stop": 3}, "'early_stop' was renamed to 'patience'"),
        ("lfan", {"early_stop_per_phase": True}, "'early_stop_per_phase' was renamed to 'patience_per_phase'"),
        ("m3t", {"decay_factor": 0.3}, "'decay_factor' was renamed to 'plateau_factor'"),
        ("tsav", {"network": {"picture_pooling": 2}}, "'picture_pooling' was renamed to 'image_pooling'"),
    ],
)
def test_former_names_are_answered_with_the_new_ones(system, old, new):
    with pytest.raises(InputError, match=new):
        systems.resolve_settings(system, old)


def test_former_names_in_a_run_record_are_read():
    record = {"drop_sound": 0.25, "early_stop": 4, "network": {"picture_pooling": 2, "width": 0.5}}
    settings = systems.recorded_settings("tsav", record, {"patience": 9})
    assert (settings.drop_audio, settings.patience) == (0.25, 9)
    assert (settings.network.image_pooling, settings.network.width) == (2, 0.5)


def test_settings_do_not_change():
    with pytest.raises(ValidationError, match="frozen"):
        systems.resolve_settings("lfan").epochs = 3


def test_unknown_names_list_the_known_ones():
    with pytest.raises(InputError, match=r"nosuch.*lfan"):
        systems.spec("nosuch")
    with pytest.raises(InputError, match=r"trimodal.*unimodal, multimodal"):
        systems.build_model("lfan", "trimodal")
    with pytest.raises(InputError, match=r"joy.*valence, arousal"):
        systems.build_recipe("lfan", "unimodal", "joy", "faithful")
    with pytest.raises(InputError, match=r"fast.*faithful, corrected"):
        systems.build_recipe("lfan", "unimodal", "valence", "fast")
