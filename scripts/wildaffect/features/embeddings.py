"""Vectors of a frozen image network, one per crop."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision
from torch import Tensor, nn
from torch.nn.functional import interpolate

from wildaffect.errors import InputError
from wildaffect.faces.crops import CropFile
from wildaffect.features import face_shape, hsemotion
from wildaffect.features.frames import OF_IMAGE
from wildaffect.features.networks import load_exactly
from wildaffect.features.onnx_files import open_encoder
from wildaffect.features.spec import EMBED_PREFIX, OWN_NOTICE, SEEDED, FeatureSpec, write_about
from wildaffect.features.store import save_blocks, write_valid
from wildaffect.features.vggface import PREPARATION as FACE_PREPARATION
from wildaffect.features.vggface import VggFace, prepared
from wildaffect.files import sha256
from wildaffect.integrity import foreign
from wildaffect.models import resolve
from wildaffect.weights import read_weights

SEED = 2021
SIDE = 224
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
PREPARATION = f"RGB, {SIDE} pixels (antialiased bilinear), divided by 255, minus {MEAN}, divided by {STD}"
GREY = (0.299, 0.587, 0.114)


class OnnxEncoder(nn.Module):
    """A network in an ONNX file: prepared images (n, 3, side, side) -> (n, columns), on the CPU.

    Args:
        path: The file.
        side: Pixels of its images.
        output: Name of the output that is the vector; without one there must be a single output.

    Raises:
        InputError: The file is not readable, takes other images, or has no such output.
    """

    def __init__(self, path: Path, side: int, output: str | None) -> None:
        super().__init__()
        self._path = path
        self._session, self._input, self._output = open_encoder(path, side, output, torch.get_num_threads())
        self.columns = self(torch.zeros(1, 3, side, side)).shape[1]

    def forward(self, images: Tensor) -> Tensor:
        """One row per image."""
        # A graph that was exported for one image takes one at a time.
        parts = images.cpu().numpy()
        found = [self._run(part) for part in (np.split(parts, len(parts)) if self._input.shape[0] == 1 else [parts])]
        return torch.from_numpy(np.concatenate(found).reshape(len(images), -1)).to(images.device)

    def _run(self, images: np.ndarray) -> np.ndarray:
        with foreign(self._path, f"a network of images {images.shape}"):
            found = self._session.run([self._output], {self._input.name: images})[0]
        if found.dtype != np.float32 or found.ndim < 2 or len(found) != len(images):
            raise InputError(
                f"{self._path}: output {self._output} is {found.dtype} {found.shape} for {len(images)} images, not a vector each."
            )
        return found


def grey(images: Tensor, side: int) -> Tensor:
    """Images uint8 (n, size, size, 3) RGB in grey, float32 (n, side, side) in [0, 1]."""
    weights = torch.tensor(GREY, device=images.device)
    scaled = (images.float() / 255 @ weights)[:, None]
    return interpolate(scaled, (side, side), mode="bilinear", align_corners=False, antialias=True)[:, 0]


def prepare(
    images: Tensor, side: int = SIDE, mean: Sequence[float] = MEAN, std: Sequence[float] = STD, channels: str = "rgb"
) -> Tensor:
    """Images uint8 (n, size, size, 3) RGB as most networks take them (by default torchvision's), float32 (n, 3, side, side).

    ``mean`` and ``std`` are of values in [0, 1], in the order of ``channels``.
    """
    scaled = images.permute(0, 3, 1, 2).float() / 255
    if channels == "bgr":
        scaled = scaled.flip(1)
    if scaled.shape[-1] != side:
        scaled = interpolate(scaled, (side, side), mode="bilinear", align_corners=False, antialias=True)
    middle, scale = (torch.tensor(values, device=scaled.device).view(3, 1, 1) for values in (mean, std))
    return (scaled - middle) / scale


@dataclass(frozen=True)
class Encoder:
    """A network that turns images into vectors.

    Attributes:
        load: Gives it, with the weights of a file, or without them where there is none.
        prepare: Turns images uint8 (n, size, size, 3) RGB into its input.
        preparation: The same in words.
        columns: Gives the length of its vectors.
        source: Whose it is.
        part: Which part of it the vectors are.
        brought: The file of weights that a Python package brings for it, by ``path``, ``licence`` and ``citation``, if there is one.
    """

    load: Callable[[Path | None], nn.Module]
    prepare: Callable[[Tensor], Tensor]
    preparation: str
    columns: Callable[[Any], int]
    source: str
    part: str = " before its last layer"
    brought: Callable[[], Mapping[str, Any]] | None = None


def _resnet(build: Callable[..., nn.Module]) -> Encoder:
    def load(path: Path | None) -> nn.Module:
        network = build(weights=None)
        network.fc = nn.Identity()
        if path:
            state = read_weights(path)[0]
            load_exactly(network, {key: value for key, value in state.items() if not key.startswith("fc.")}, path)
        return network

    return Encoder(load, prepare, PREPARATION, lambda network: network.inplanes, "torchvision")


def _load_vggface(path: Path | None) -> nn.Module:
    network = VggFace()
    if path:
        state = {key: value for key, value in read_weights(path)[0].items() if not key.startswith("fc.")}
        face = {key.removeprefix("face."): value for key, value in state.items() if key.startswith("face.")}
        load_exactly(network, face or state, path)
    return network


def _vggface_columns(network: VggFace) -> int:
    classes = network.predictions.out_features if network.predictions is not None else 0
    return network.features.out_features + classes


def _from_file(read: Callable[[Path], nn.Module]) -> Callable[[Path | None], nn.Module]:
    def load(path: Path | None) -> nn.Module:
        if path is None:
            raise InputError("features.embeddings: an ONNX file brings its network; name the file as 'weights'.")
        return read(path)

    return load


def _hsemotion(own: hsemotion.Preparation) -> Encoder:
    load = _from_file(partial(hsemotion.Graph, "embedding"))
    return Encoder(load, own.prepare, own.words, lambda network: network.columns, "EmotiEffLib")


def _described(
    build: Callable[[], nn.Module], side: int, source: str, brought: Callable[[], Mapping[str, Any]] | None = None
) -> Encoder:
    """A description of grey images that nothing has to be given for."""
    words = f"grey, {side} pixels (antialiased bilinear)"
    return Encoder(
        lambda path: build(), partial(grey, side=side), words, lambda network: network.columns, source, "", brought
    )


NETWORKS: Mapping[str, Encoder] = {
    "hog": _described(face_shape.Hog, face_shape.HOG_SIDE, "scikit-image"),
    "aligned_hog": _described(face_shape.aligned_hog, face_shape.SIDE, "dlib, scikit-image", face_shape.about),
    "landmarks": _described(face_shape.aligned_landmarks, face_shape.SIDE, "dlib", face_shape.about),
    "resnet18": _resnet(torchvision.models.resnet18),
    "resnet34": _resnet(torchvision.models.resnet34),
    "resnet50": _resnet(torchvision.models.resnet50),
    "resnet101": _resnet(torchvision.models.resnet101),
    "vggface_resnet50": Encoder(_load_vggface, prepared, FACE_PREPARATION, _vggface_columns, "own"),
    **{name: _hsemotion(own) for name, own in hsemotion.PREPARATIONS.items()},
}
"""Networks of images by name; which weights they take is in `wildaffect.features.spec.IMAGE_NETWORKS`."""


def onnx_encoder(
    *, size: int, channels: str, mean: Sequence[float], std: Sequence[float], output: str | None
) -> Encoder:
    """The network of an ONNX file, by what the configuration says of it (``features.embeddings.<name>.onnx``)."""
    mean, std = tuple(mean), tuple(std)

    return Encoder(
        _from_file(lambda path: OnnxEncoder(path, size, output)),
        partial(prepare, side=size, mean=mean, std=std, channels=channels),
        f"{channels.upper()}, {size} pixels (antialiased bilinear), divided by 255, minus {mean}, divided by {std}",
        lambda network: network.columns,
        "ONNX file",
        f", output {output}" if output else "",
    )


def find_encoder(name: str, onnx: Mapping[str, Any] | None = None) -> Encoder:
    """The encoder ``name``: of `NETWORKS`, or with ``onnx`` the one that a file brings."""
    return onnx_encoder(**onnx) if onnx else NETWORKS[name]


def preparation(name: str, onnx: Mapping[str, Any] | None = None) -> tuple[Callable[[Tensor], Tensor], str]:
    """How images are prepared for a network (see `find_encoder`), as a function and in words."""
    encoder = find_encoder(name, onnx)
    return encoder.prepare, encoder.preparation


def open_network(
    name: str, weights: str | None, models_dir: str | os.PathLike, onnx: Mapping[str, Any] | None = None
) -> tuple[nn.Module, dict[str, Any]]:
    """A network that turns prepared images into vectors (n, dim), and what its weights are.

    Args:
        name: As for `find_encoder`.
        weights: A name in the manifest, a path, or ``seeded``: an untrained network that is the same in every run. The last layer of a file
            is not used. None for an encoder without weights.
        models_dir: Folder of model files.
        onnx: As for `find_encoder`.

    Raises:
        InputError: The file is absent or not of this network.
    """
    file = None if weights in (None, SEEDED) else resolve(str(weights), models_dir)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        network = find_encoder(name, onnx).load(file.path if file else None)
    if file:
        about = {name: getattr(file, name) for name in ("name", "sha256", "verified", "licence", "citation")}
        return network, about | {"trained": True}
    if brought := find_encoder(name, onnx).brought:
        found = dict(brought())
        path = found.pop("path")
        return network, found | {"name": path.name, "sha256": sha256(path), "verified": False, "trained": True}
    if weights is None:
        return network, {"name": "none", "trained": False, "sha256": None}
    note = "Untrained network: the values are a random projection of the picture, not a learnt embedding."
    return network, {"name": SEEDED, "trained": False, "seed": SEED, "sha256": None, "note": note}


def describe_embedding(
    name: str,
    output: str | os.PathLike,
    *,
    network: str,
    weights: str | None,
    crops: str,
    models_dir: str | os.PathLike,
    onnx: Mapping[str, Any] | None = None,
) -> None:
    """Write ``about.json`` of the feature ``embed.<name>``.

    Args:
        name: Name of the embedding in the configuration.
        output: Path of the JSON file.
        network: As for `find_encoder`.
        weights: As for `open_network`.
        crops: Template of the crops.
        models_dir: Folder of model files.
        onnx: As for `find_encoder`.
    """
    encoder = find_encoder(network, onnx)
    opened, about = open_network(network, weights, models_dir, onnx)
    spec = FeatureSpec(
        id=EMBED_PREFIX + name,
        columns=tuple(f"{name}{k}" for k in range(encoder.columns(opened))),
        source=encoder.source,
        module=__name__,
        rule=OF_IMAGE,
        description=f"{network}{encoder.part}, over {crops} crops; frames without a face "
        "have the vector of a black picture",
        notice=f"Weights: {about['licence']}. {about['citation']}".strip() if about["trained"] else OWN_NOTICE,
    )
    parameters = {"network": network, "crops": crops, "preparation": encoder.preparation}
    write_about(output, spec, parameters=parameters, resampling=None, weights=about)


def embed_crops(
    network: nn.Module,
    prepare: Callable[[Tensor], Tensor],
    crops: CropFile,
    output: str | os.PathLike,
    *,
    batch: int = 64,
    device: str = "cpu",
    threads: int = 1,
) -> None:
    """Write the vectors of a network over all crops of a trial as ``.npy``, float32 (frames, dim).

    A frame without a face gets the vector of a black image, computed once: it is what the network gives for the black image that
    systems put there. Which rows these are is written beside them, see `wildaffect.features.store`.

    The network runs in evaluation mode, without gradients and in single precision (no TensorFloat-32), and is left in evaluation mode on
    ``device``. One batch of images and vectors is in memory at a time.

    Args:
        network: Turns prepared images into vectors (n, dim).
        prepare: Turns images uint8 (n, size, size, 3) RGB on ``device`` into the network's input.
        crops: Crops of the trial.
        output: Path of the array.
        batch: Images at a time.
        device: ``cpu`` or ``cuda``.
        threads: PyTorch's number of threads, set for this process.

    Raises:
        InputError: The device is not there, or the network's output is not (n, dim) or not finite.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("device 'cuda' was asked for, but PyTorch sees no CUDA device. Ask for 'cpu' or fix the node.")
    torch.set_num_threads(threads)
    network = network.to(device).eval()

    def vectors(images: np.ndarray) -> np.ndarray:
        with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            rows = network(prepare(torch.from_numpy(images).to(device))).float().cpu().numpy()
        if rows.ndim != 2 or len(rows) != len(images):
            raise InputError(
                f"{crops.path}: the network gave {rows.shape} for {len(images)} images, not a vector each."
            )
        if not np.isfinite(rows).all():
            raise InputError(f"{crops.path}: the network's vectors are not finite. Check its weights and 'prepare'.")
        return rows

    black = vectors(np.zeros((1, crops.size, crops.size, 3), np.uint8))[0]

    def blocks() -> Iterator[np.ndarray]:
        for first in range(0, len(crops), batch):
            valid = crops.valid[first : first + batch]
            rows = np.tile(black, (len(valid), 1))
            if valid.any():
                rows[valid] = vectors(crops.read(first + np.flatnonzero(valid)))
            yield rows

    save_blocks(output, blocks(), black.shape)
    write_valid(output, crops.valid)
