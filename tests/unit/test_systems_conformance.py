"""Every system keeps to the interface; systems of other packages are found; the check finds what is wrong."""

import importlib
import os
import re
import sys
from contextlib import contextmanager
from dataclasses import replace
from textwrap import indent
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from support.pages import blocks
from support.pipeline import ROOT
from support.runs import Corpus, predictions, train
from wildaffect import cli, systems
from wildaffect.errors import InputError
from wildaffect.systems import conformance
from wildaffect.systems.lfan.data import WindowSamples
from wildaffect.systems.skeleton import write_skeleton
from wildaffect.systems.types import Target


@pytest.mark.parametrize("system", systems.available())
def test_every_system_keeps_to_the_interface(system):
    assert conformance.check(system) == []


@contextmanager
def skeleton(name, folder, monkeypatch):
    """The skeleton of a system in a package of its own, installed as far as Python sees."""
    package = f"wildaffect_{name}"
    write_skeleton(name, folder)
    about = folder / f"{package}-0.1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 0.1.0\n")
    (about / "entry_points.txt").write_text(f"[wildaffect.systems]\n{name} = {package}\n")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")]))
    systems._packages.cache_clear()
    yield folder / package
    systems._packages.cache_clear()
    for module in [module for module in sys.modules if module.startswith(package)]:
        del sys.modules[module]


@pytest.fixture
def outside(tmp_path, monkeypatch):
    """A skeleton called pitch."""
    with skeleton("pitch", tmp_path, monkeypatch) as folder:
        yield folder


def test_a_skeleton_outside_is_found_and_keeps_to_the_interface(outside, capsys):
    assert systems.available()["pitch"] == ["audio"]
    assert systems.folder("pitch") == outside
    assert cli.main(["check-system", "pitch"]) == 0
    assert "pitch keeps to the interface" in capsys.readouterr().out


def test_a_skeleton_learns(outside, tmp_path):
    """Valence drives the features of this corpus."""
    corpus = Corpus(tmp_path / "corpus")
    record = train(
        **corpus.train_arguments(
            "skeleton",
            system="pitch",
            variant="audio",
            target="va",
            recipe={"window": 40, "hop": 20, "epochs": 8, "learning_rate": 1e-2},
        )
    )
    assert record["best_score"] > 0.7
    table = predictions(corpus, corpus.folder / "skeleton" / "run", "skeleton.parquet")
    assert table[["valence", "arousal"]].notna().all().all()


def test_the_system_of_the_tutorial_keeps_to_the_interface(tmp_path, monkeypatch):
    """The skeleton, changed as docs/tutorials/new_system.md says."""
    page = ROOT / "docs" / "tutorials" / "new_system.md"
    code = {block.title: block.text for block in blocks(page) if block.title}
    body = {name: indent(code[name], "    ") for name in ("spec.py: Settings", "recipe.py: Audio")}
    with skeleton("breath", tmp_path, monkeypatch) as folder:
        (folder / "model.py").write_text(code["model.py"])
        spec = (folder / "spec.py").read_text()
        (folder / "spec.py").write_text(spec.replace("\n\ndef needs", f"\n{body['spec.py: Settings']}\n\ndef needs"))
        recipe = (folder / "recipe.py").read_text().replace("import Recipe\n", "import Recipe, trainable\n")
        recipe = recipe.replace("import numpy", "import torch\nimport numpy")
        old = re.compile(r"    def model\(.*?(?=\n    def fit)", re.DOTALL)
        (folder / "recipe.py").write_text(old.sub(lambda _: body["recipe.py: Audio"], recipe))
        assert conformance.check("breath") == []
        breath = systems.predictor_of(systems.set_up("breath", "audio", "va", "corrected", {"kernel": 3}))
        model = breath.model()
        assert next(model.parameters()).shape == (32, 39, 3)
        assert isinstance(breath.configure_optimizer(model), torch.optim.AdamW)


def test_code_of_other_packages_counts(outside):
    first = systems.outside_hash("pitch")
    assert len(first) == 16 and systems.inside("pitch") == []
    (outside / "card.md").write_text("# other words")
    assert systems.outside_hash("pitch") == first
    (outside / "model.py").write_text(
        (outside / "model.py").read_text().replace("bidirectional=True", "bidirectional=False")
    )
    assert systems.outside_hash("pitch") != first
    assert systems.outside_hash("lfan") == "" and systems.inside("lfan") == ["wildaffect.systems.lfan"]


def test_two_systems_of_one_name_are_refused(outside):
    (outside.parent / "wildaffect_pitch-0.1.0.dist-info" / "entry_points.txt").write_text(
        "[wildaffect.systems]\nlfan = wildaffect_pitch\n"
    )
    systems._packages.cache_clear()
    importlib.invalidate_caches()
    with pytest.raises(InputError, match="a system called 'lfan' exists already"):
        systems.available()


@pytest.mark.parametrize(("name", "wrong"), [("Pitch", "no name of a system"), ("lfan", "there is a system called")])
def test_impossible_names_of_skeletons(tmp_path, name, wrong, capsys):
    assert cli.main(["new-system", name, "--into", str(tmp_path)]) == 2
    assert wrong in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_skeleton_replaces_nothing(tmp_path, capsys):
    assert cli.main(["new-system", "pitch", "--into", str(tmp_path)]) == 0
    assert "pip install" in capsys.readouterr().out
    assert cli.main(["new-system", "pitch", "--into", str(tmp_path)]) == 2
    assert "exists" in capsys.readouterr().err


def problems_of(monkeypatch, **changes):
    """What the check says about LFAN with other declarations."""
    monkeypatch.setattr("wildaffect.systems.lfan.spec.SPEC", replace(systems.spec("lfan"), **changes))
    return conformance.check("lfan")


def test_wrong_declarations_are_found(monkeypatch):
    target = Target("valence", ("valence", "valence"), {"va": ("joy",)})
    found = problems_of(monkeypatch, name="lfam", targets={"valence": target}, narrowed={"bimodal": ("valence",)})
    assert [line for line in found if "lfam" in line] and [line for line in found if "column is named twice" in line]
    assert [line for line in found if "called joy" in line] and [line for line in found if "bimodal" in line]


def test_wrong_needs_are_found(monkeypatch):
    needs = SimpleNamespace(crops=("face9",), features=("mfcc40",), masks=("tsav112",))
    found = "\n".join(problems_of(monkeypatch, needs=lambda *_: needs))
    assert "no crop template 'face9'" in found and "mfcc40" in found and "masks of 'tsav112' need its crops" in found


@pytest.mark.parametrize(
    ("method", "wrong", "said"),
    [
        ("loss", lambda self, outputs, batch: outputs.sum() * torch.nan, "no finite number"),
        ("loss", lambda self, outputs, batch: (outputs * 0).sum(), "no gradient"),
        ("epoch_indices", lambda self, count, epoch, seed: np.array([count]), "no indices of samples"),
        (
            "configure_optimizer",
            lambda self, model: torch.optim.Adam(model.parameters()),
            "exactly the trainable tensors",
        ),
        ("score", lambda self, predictions, trials: {"error": 1.0}, "score has no ccc"),
    ],
)
def test_wrong_recipes_are_found(monkeypatch, method, wrong, said):
    for name in ("Faithful", "Corrected"):
        monkeypatch.setattr(f"wildaffect.systems.lfan.recipe.{name}.{method}", wrong)
    spec = systems.spec("lfan")
    found = problems_of(monkeypatch, variants=("unimodal",), targets={"valence": spec.targets["valence"]})
    assert any(said in line for line in found), found


def test_samples_that_depend_on_company_are_found(monkeypatch):
    original = WindowSamples.to_frames
    wrong = lambda self, outputs: [values + len(outputs) for values in original(self, outputs)]  # noqa: E731
    monkeypatch.setattr(WindowSamples, "to_frames", wrong)
    spec = systems.spec("lfan")
    found = problems_of(monkeypatch, variants=("unimodal",), targets={"valence": spec.targets["valence"]})
    assert any("depend on what it is predicted with" in line for line in found)
