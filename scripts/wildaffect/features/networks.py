"""Image networks whose vectors can be features: torchvision's residual networks up to the layer before the classes, and VGGFace2's.

K. He et al., Deep Residual Learning for Image Recognition, CVPR 2016. Any local state dict of the same network will do, whatever
number of classes it was trained for. ``vggface_resnet50`` answers its features and the probabilities of seven expressions; the state dict
of a whole model will do that has it under ``face.``.
"""

import os
from collections.abc import Callable, Mapping
from typing import Any

import torch
import torchvision
from torch import Tensor, nn
from torch.nn.functional import interpolate

from wildaffect.features.about import write_about
from wildaffect.features.registry import EMBED_PREFIX, OWN_NOTICE, SEEDED, FeatureSpec
from wildaffect.features.state_dicts import load_exactly, read_state
from wildaffect.features.vggface import PREPARATION as FACE_PREPARATION
from wildaffect.features.vggface import FaceNetwork, prepared
from wildaffect.models import resolve

SEED = 2021
SIDE = 224
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
PREPARATION = f"RGB, {SIDE} pixels (antialiased bilinear), divided by 255, minus {MEAN}, divided by {STD}"
NETWORKS: Mapping[str, Callable[..., nn.Module]] = {
    "resnet18": torchvision.models.resnet18,
    "resnet34": torchvision.models.resnet34,
    "resnet50": torchvision.models.resnet50,
    "resnet101": torchvision.models.resnet101,
    "vggface_resnet50": lambda weights: FaceNetwork(),
}


def open_network(name: str, weights: str, models_dir: str | os.PathLike) -> tuple[nn.Module, dict[str, Any]]:
    """The network ``name`` (a key of :data:`NETWORKS`) that answers (n, dim) to (n, 3, 224, 224), and what its weights are.

    ``weights``: a name in the manifest, a path, or ``seeded``: an untrained network that is the same in every run. The last layer of a
    file is not used. Raises :class:`~wildaffect.errors.InputError` for a file that is absent or not of this network.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        network = NETWORKS[name](weights=None)
    if not isinstance(network, FaceNetwork):
        network.fc = nn.Identity()
    if weights == SEEDED:
        note = "Untrained network: the values are a random projection of the picture, not a learnt embedding."
        return network, {"name": SEEDED, "trained": False, "seed": SEED, "sha256": None, "note": note}
    file = resolve(weights, models_dir)
    state = {key: value for key, value in read_state(file.path).items() if not key.startswith("fc.")}
    if isinstance(network, FaceNetwork):
        state = {key.removeprefix("face."): value for key, value in state.items() if key.startswith("face.")} or state
    load_exactly(network, state, file.path)
    about = {name: getattr(file, name) for name in ("name", "sha256", "verified", "licence", "citation")}
    return network, about | {"trained": True}


def preparation(name: str) -> tuple[Callable[[Tensor], Tensor], str]:
    """How pictures are prepared for the network ``name``, as a function and in words."""
    return (prepared, FACE_PREPARATION) if name == "vggface_resnet50" else (prepare, PREPARATION)


def prepare(pictures: Tensor) -> Tensor:
    """Pictures uint8 (n, size, size, 3) RGB as the networks were trained to see them, float32 (n, 3, 224, 224)."""
    scaled = pictures.permute(0, 3, 1, 2).float() / 255
    if scaled.shape[-1] != SIDE:
        scaled = interpolate(scaled, (SIDE, SIDE), mode="bilinear", align_corners=False, antialias=True)
    mean, std = (torch.tensor(values, device=scaled.device).view(3, 1, 1) for values in (MEAN, STD))
    return (scaled - mean) / std


def describe_embedding(
    name: str, output: str | os.PathLike, *, network: str, weights: str, crops: str, models_dir: str | os.PathLike
) -> None:
    """Write ``about.json`` of the feature ``embed.<name>``: vectors of ``network`` over the crops of template ``crops``."""
    opened, about = open_network(network, weights, models_dir)
    face = isinstance(opened, FaceNetwork)
    dimension = opened.features.out_features + opened.predictions.out_features if face else opened.inplanes
    spec = FeatureSpec(
        id=EMBED_PREFIX + name,
        columns=tuple(f"{name}{k}" for k in range(dimension)),
        source="own" if face else "torchvision",
        module=__name__,
        rule="picture",
        description=f"{network} before its last layer, over {crops} crops; frames without a face have the vector of a black picture",
        notice=f"Weights: {about['licence']}. {about['citation']}".strip() if about["trained"] else OWN_NOTICE,
    )
    parameters = {"network": network, "crops": crops, "preparation": preparation(network)[1]}
    write_about(output, spec, parameters=parameters, resampling=None, weights=about)
