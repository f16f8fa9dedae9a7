"""Tiny trials for CNU_ADL, and weight files in the layout of Keras with numbers that follow from their names."""

import zlib
from itertools import pairwise
from pathlib import Path

import h5py
import numpy as np

from support import tsav
from support.runs import ArrayImages, write_crops
from wildaffect.systems.types import Labels, TrialData

SIDE = 224
# A network and a recipe that learn the corpus below in seconds on one thread.
NETWORK = {
    "width": 1 / 32, "units": [1, 1, 1, 1], "image_pooling": 4, "classification": [16], "regression": [16],
    "lstm_units": 4, "dropout": 0, "norm_momentum": 0.3,
}  # fmt: skip
TINY = {
    "block": 4,
    "chunk": 4,
    "batch": 16,
    "epochs": 2,
    "frames_per_epoch": 48,
    "learning_rate": 3e-3,
    "augment": False,
    "validation_stride": 3,
    "network": NETWORK,
}
CHANNELS = (64, 256, 512, 1024, 2048)


def faces_of(valence: np.ndarray, seed: int) -> np.ndarray:
    """uint8 (N, 224, 224, 3): a noisy grey whose level is the valence."""
    return tsav.faces_of(valence, seed).repeat(2, axis=1).repeat(2, axis=2)


def trial_in_memory(
    frames: int = 40, unseen: tuple[int, ...] = (2,), tasks: tuple[str, ...] = ("expr", "va"), seed: int = 0
) -> TrialData:
    """A trial whose frames ``unseen`` have no face; labels are missing as :func:`support.tsav.labels_of` says."""
    valence = tsav.valence_of(frames, seed)
    seen = ~np.isin(np.arange(frames), unseen)
    faces = faces_of(valence, seed) * seen[:, None, None, None].astype(np.uint8)
    labels = {
        task: Labels(values, ~np.isnan(values).any(axis=1))
        for task, values in tsav.labels_of(valence).items()
        if task in tasks
    }
    return TrialData(f"t{seed}", np.arange(frames) / tsav.FPS, {"cnu224": ArrayImages(faces, seen)}, {}, labels)


class Corpus(tsav.Corpus):
    """The trials of TSAV's tests with crops of their own."""

    def __init__(self, folder: Path):
        super().__init__(folder)
        self.crops["cnu224"] = {name: folder / "cnu224" / f"{name}.arrow" for name in self.trials}
        (folder / "cnu224").mkdir()
        for number, (name, path) in enumerate(self.crops["cnu224"].items()):
            write_crops(path, faces_of(self.valence[name], number), np.arange(self.lengths[name]) != 2)

    def inputs(self) -> dict:
        """Arguments that ``train`` and ``predict`` share."""
        return {"frames": self.frames, "crops": self.crops, "features": {}}

    def train_arguments(self, name: str, **changes) -> dict:
        """Arguments of a short training whose files go to ``folder/name``."""
        return super().train_arguments(
            name, **({"system": "cnu_adl", "variant": "frames_stat", "recipe": TINY} | changes)
        )


def face_shapes(width: float, units: tuple[int, ...]) -> dict[str, dict[str, tuple[int, ...]]]:
    """Shapes of the variables of every layer of the face network, by the names that Keras has for them."""
    channels = [max(1, round(count * width)) for count in CHANNELS]
    layers = conv("conv1/7x7_s2", 7, 3, channels[0])
    before = channels[0]
    for stage, (count, outputs) in enumerate(zip(units, channels[1:], strict=True), 2):
        inner = max(1, outputs // 4)
        for number in range(1, count + 1):
            name = f"conv{stage}_{number}"
            layers |= conv(f"{name}_1x1_reduce", 1, before, inner) | conv(f"{name}_3x3", 3, inner, inner)
            layers |= conv(f"{name}_1x1_increase", 1, inner, outputs)
            layers |= conv(f"{name}_1x1_proj", 1, before, outputs) if number == 1 else {}
            before = outputs
    return layers | {
        "features": {"kernel": (before, before), "bias": (before,)},
        "predictions": {"kernel": (before, 7)},
    }


def conv(name: str, size: int, inputs: int, outputs: int) -> dict[str, dict[str, tuple[int, ...]]]:
    """A convolution and its batch norm."""
    norm = dict.fromkeys(("gamma", "beta", "moving_mean", "moving_variance"), (outputs,))
    return {name: {"kernel": (size, size, inputs, outputs)}, f"{name}/bn": norm}


def head_shapes(prefix: str, inputs: int, hidden: dict[str, tuple[int, ...]]) -> dict[str, dict[str, tuple[int, ...]]]:
    """Shapes of the four heads; ``hidden`` layers by branch."""
    outputs = {"class": ("class", 7), "aro": ("aro_ccc", 1), "val": ("val_ccc", 1), "aroval": ("aroval_mse", 5)}
    layers = {}
    for branch, (name, count) in outputs.items():
        sizes = [inputs, *hidden[branch]]
        for number, pair in enumerate(pairwise(sizes), 1):
            layers[f"{prefix}{branch}_feature{number}"] = {"kernel": pair, "bias": pair[1:]}
        layers[f"{prefix}predictions_{name}"] = {"kernel": (sizes[-1], count), "bias": (count,)}
    return layers


def lstm_shapes(number: int, inputs: int, units: int) -> dict[str, dict[str, tuple[int, ...]]]:
    """A bidirectional layer."""
    shapes = {"kernel": (inputs, 4 * units), "recurrent_kernel": (units, 4 * units), "bias": (4 * units,)}
    name = "lstm" if number == 1 else f"lstm_{number - 1}"
    return {f"bidirectional_{number}/{side}_{name}/lstm_cell": shapes for side in ("forward", "backward")}


def numbers(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """float32 values of the variable ``layer/variable``; those of tests/golden/test_cnu_adl.py were given to Keras by the same rule."""
    values = np.random.Generator(np.random.PCG64(zlib.crc32(f"cnu:{name}".encode()))).standard_normal(shape)
    variable = name.rpartition("/")[2]
    if variable == "moving_variance":
        values = (1 + 0.1 * abs(values)) * (2e4 if name.startswith("conv1") else 2)
    elif variable == "gamma":
        values = 1 + 0.1 * values
    elif len(shape) == 1:
        values = 0.1 * values
    else:
        values = values * np.sqrt(2 / np.prod(shape[:3])) if len(shape) == 4 else values / np.sqrt(shape[0])
    return values.astype(np.float32)


def write_keras(path: Path, groups: dict[str, dict[str, np.ndarray]], *, model: bool = False, split: int | None = None):
    """Arrays by ``{layer of the model: {layer/variable: values}}`` as ``save_weights`` writes them, or ``save`` (``model``).

    ``split``: lists of names are cut into attributes of so many, as Keras does with long ones.
    """

    def names(group, attribute, values):
        encoded = [value.encode() for value in values]
        if split is None:
            group.attrs[attribute] = encoded
        else:
            for part in range(0, max(len(encoded), 1), split):
                group.attrs[f"{attribute}{part // split}"] = encoded[part : part + split]

    with h5py.File(path, "w") as file:
        root = file.create_group("model_weights") if model else file
        names(root, "layer_names", groups)
        for layer, arrays in groups.items():
            group = root.create_group(layer)
            names(group, "weight_names", [f"{name}:0" for name in arrays])
            for name, values in arrays.items():
                group[f"{name}:0"] = values
        if model:
            file.attrs["training_config"] = '{"loss": "mse"}'


def filled(layers: dict[str, dict[str, tuple[int, ...]]]) -> dict[str, np.ndarray]:
    """Numbers for all variables of ``layers``."""
    return {
        f"{layer}/{variable}": numbers(f"{layer}/{variable}", shape)
        for layer, shapes in layers.items()
        for variable, shape in shapes.items()
    }


def small_checkpoint(variant: str) -> dict[str, dict[str, np.ndarray]]:
    """Groups of a checkpoint of a narrow model, with the shared face network stored three times in the frame variants."""
    face = filled(face_shapes(1 / 32, (1, 2, 1, 1)))
    if variant == "image":
        own = {name: values for name, values in face.items() if not name.startswith("predictions/")}
        hidden = dict.fromkeys(("class", "aro", "val", "aroval"), (8, 6))
        return flat(own) | flat(filled(head_shapes("expr_va_image_", 64, hidden)))
    groups = {"input_1": {}, "time_distributed_1": face, "model_1": dict(face), "model_2": dict(face)}
    del groups["model_1"]["predictions/kernel"]
    inputs, prefix = 64 + 28, "expr_va_frames_"
    if variant == "stat_bilstm":
        lstms = filled(lstm_shapes(1, 7, 5)) | filled(lstm_shapes(2, 10, 5))
        for number in (1, 2):
            name = f"bidirectional_{number}"
            groups[name] = {key: values for key, values in lstms.items() if key.startswith(name)}
        inputs, prefix = inputs + 10, "expr_va_frames_lstm_"
    hidden = {"class": (8,), **dict.fromkeys(("aro", "val", "aroval"), (8, 6))}
    return groups | flat(filled(head_shapes(prefix, inputs, hidden)))


def flat(arrays: dict[str, np.ndarray]) -> dict[str, dict[str, np.ndarray]]:
    """A group per layer."""
    groups = {}
    for name, values in arrays.items():
        groups.setdefault(name.rpartition("/")[0], {})[name] = values
    return groups


SMALL = {"width": 1 / 32, "units": (1, 2, 1, 1), "lstm_units": 5, "regression": (8, 6)}
"""Options of the model that :func:`small_checkpoint` fits; its classification head has hidden layers (8, 6) or, with frames, (8,)."""
