"""Initial weights of the trunks from files in torchvision's names (NTUA spec 3.2)."""

from pathlib import Path
from typing import Any

from torch import nn

from wildaffect.systems.weights import load_state, read_weights

# Places of torchvision's layers in a trunk (NTUA spec 3.4).
PLACES = {"conv1": "0", "bn1": "1", "layer1": "4", "layer2": "5", "layer3": "6", "layer4": "7"}


def load_trunk(trunk: nn.Sequential, path: str | Path) -> dict[str, Any]:
    """Weights of a ResNet into a trunk of its kind; returns the record of the file.

    The classifier ``fc`` is left out, whatever its size, and the prefix ``module.`` of networks on several GPUs is cut. Files of before
    2018 do not count batches; that number has no use.
    """
    state, digest = read_weights(path)
    counters = {key: value for key, value in trunk.state_dict().items() if key.endswith("num_batches_tracked")}
    renamed = {}
    for key, value in state.items():
        layer, _, rest = key.removeprefix("module.").partition(".")
        if layer != "fc":
            renamed[f"{PLACES.get(layer, layer)}.{rest}"] = value
    load_state(trunk, counters | renamed, path, digest)
    return {"file": str(path), "sha256": digest}
