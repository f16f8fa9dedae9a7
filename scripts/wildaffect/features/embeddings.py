"""Vectors of a frozen image network, one per crop."""

import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
import torchvision
from torch import Tensor, nn
from torch.nn.functional import interpolate

from wildaffect.errors import InputError
from wildaffect.faces.crops import CropFile
from wildaffect.features import hsemotion
from wildaffect.features.frames import OF_IMAGE
from wildaffect.features.networks import load_exactly
from wildaffect.features.spec import EMBED_PREFIX, OWN_NOTICE, SEEDED, FeatureSpec, write_about
from wildaffect.features.store import save_blocks, write_valid
from wildaffect.features.vggface import PREPARATION as FACE_PREPARATION
from wildaffect.features.vggface import VggFace, prepared
from wildaffect.models import ModelFile, resolve
from wildaffect.weights import read_weights

SEED = 2021
SIDE = 224
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
PREPARATION = f"RGB, {SIDE} pixels (antialiased bilinear), divided by 255, minus {MEAN}, divided by {STD}"
NETWORKS: Mapping[str, Callable[..., nn.Module]] = {
    "resnet18": torchvision.models.resnet18,
    "resnet34": torchvision.models.resnet34,
    "resnet50": torchvision.models.resnet50,
    "resnet101": torchvision.models.resnet101,
    "vggface_resnet50": lambda weights: VggFace(),
}
"""Networks of PyTorch; those of `wildaffect.features.hsemotion` are files that bring their network."""
HOG_SIDE = 64
HOG = {"orientations": 9, "pixels_per_cell": (8, 8), "cells_per_block": (2, 2)}
HOG_PREPARATION = f"grey, {HOG_SIDE} pixels (antialiased bilinear)"
GREY = (0.299, 0.587, 0.114)


class Hog(nn.Module):
    """Histograms of oriented gradients (Dalal and Triggs 2005; scikit-image) of grey images (n, 64, 64), float32 (n, 1764)."""

    columns = 9 * 2 * 2 * 7 * 7

    def forward(self, images: Tensor) -> Tensor:
        """On the CPU, image by image."""
        from skimage.feature import hog

        rows = [hog(image, **HOG) for image in images.cpu().numpy()]
        return torch.from_numpy(np.stack(rows).astype(np.float32)).to(images.device)


def grey(images: Tensor) -> Tensor:
    """Images uint8 (n, size, size, 3) RGB as `Hog` takes them, float32 (n, 64, 64) in [0, 1]."""
    weights = torch.tensor(GREY, device=images.device)
    scaled = (images.float() / 255 @ weights)[:, None]
    return interpolate(scaled, (HOG_SIDE, HOG_SIDE), mode="bilinear", align_corners=False, antialias=True)[:, 0]


def open_network(name: str, weights: str | None, models_dir: str | os.PathLike) -> tuple[nn.Module, dict[str, Any]]:
    """A network that turns prepared images into vectors (n, dim), and what its weights are.

    Args:
        name: A key of `NETWORKS` or of `wildaffect.features.hsemotion.PREPARATIONS`, or ``hog``.
        weights: A name in the manifest, a path, or ``seeded``: an untrained network that is the same in every run. The last layer of a file
            is not used. None for ``hog``.
        models_dir: Folder of model files.

    Raises:
        InputError: The file is absent or not of this network.
    """
    if weights is None:
        return Hog(), {"name": "none", "trained": False, "sha256": None}
    if name in hsemotion.PREPARATIONS:
        if weights == SEEDED:
            raise InputError(
                f"features.embeddings: {name} is a file with its network, so it cannot be {SEEDED}. Name the file."
            )
        found = resolve(weights, models_dir)
        return hsemotion.Graph("embedding", found.path), _described(found)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        network = NETWORKS[name](weights=None)
    if not isinstance(network, VggFace):
        network.fc = nn.Identity()
    if weights == SEEDED:
        note = "Untrained network: the values are a random projection of the picture, not a learnt embedding."
        return network, {"name": SEEDED, "trained": False, "seed": SEED, "sha256": None, "note": note}
    file = resolve(weights, models_dir)
    state = {key: value for key, value in read_weights(file.path)[0].items() if not key.startswith("fc.")}
    if isinstance(network, VggFace):
        state = {key.removeprefix("face."): value for key, value in state.items() if key.startswith("face.")} or state
    load_exactly(network, state, file.path)
    return network, _described(file)


def _described(file: ModelFile) -> dict[str, Any]:
    """What the weights are."""
    about = {name: getattr(file, name) for name in ("name", "sha256", "verified", "licence", "citation")}
    return about | {"trained": True}


def preparation(name: str) -> tuple[Callable[[Tensor], Tensor], str]:
    """How images are prepared for the network ``name``, as a function and in words."""
    if name in hsemotion.PREPARATIONS:
        own = hsemotion.PREPARATIONS[name]
        return own.prepare, own.words
    others = {"vggface_resnet50": (prepared, FACE_PREPARATION), "hog": (grey, HOG_PREPARATION)}
    return others.get(name, (prepare, PREPARATION))


def prepare(images: Tensor) -> Tensor:
    """Images uint8 (n, size, size, 3) RGB as torchvision's networks take them, float32 (n, 3, 224, 224)."""
    scaled = images.permute(0, 3, 1, 2).float() / 255
    if scaled.shape[-1] != SIDE:
        scaled = interpolate(scaled, (SIDE, SIDE), mode="bilinear", align_corners=False, antialias=True)
    mean, std = (torch.tensor(values, device=scaled.device).view(3, 1, 1) for values in (MEAN, STD))
    return (scaled - mean) / std


def describe_embedding(
    name: str,
    output: str | os.PathLike,
    *,
    network: str,
    weights: str | None,
    crops: str,
    models_dir: str | os.PathLike,
) -> None:
    """Write ``about.json`` of the feature ``embed.<name>``.

    Args:
        name: Name of the embedding in the configuration.
        output: Path of the JSON file.
        network: As for `open_network`.
        weights: As for `open_network`.
        crops: Template of the crops.
        models_dir: Folder of model files.
    """
    opened, about = open_network(network, weights, models_dir)
    dimension, source = _origin_of(opened)
    spec = FeatureSpec(
        id=EMBED_PREFIX + name,
        columns=tuple(f"{name}{k}" for k in range(dimension)),
        source=source,
        module=__name__,
        rule=OF_IMAGE,
        description=f"{network}{'' if isinstance(opened, Hog) else ' before its last layer'}, over {crops} crops; frames without a face "
        "have the vector of a black picture",
        notice=f"Weights: {about['licence']}. {about['citation']}".strip() if about["trained"] else OWN_NOTICE,
    )
    parameters = {"network": network, "crops": crops, "preparation": preparation(network)[1]}
    write_about(output, spec, parameters=parameters, resampling=None, weights=about)


def _origin_of(network: Any) -> tuple[int, str]:
    """Length of a network's vectors, and whose network it is."""
    if isinstance(network, VggFace):
        layers: tuple[Any, Any] = network.features, network.predictions
        return sum(layer.out_features for layer in layers), "own"
    return (Hog.columns, "scikit-image") if isinstance(network, Hog) else (network.inplanes, "torchvision")


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
