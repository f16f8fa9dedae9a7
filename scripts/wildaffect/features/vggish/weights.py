"""Weights of VGGish: the files in which they circulate, and the seeded random projection."""

import math
import os
from pathlib import Path

import numpy as np
import torch

from wildaffect.errors import InputError
from wildaffect.features.state_dicts import UNREADABLE, load_exactly, read_state
from wildaffect.features.vggish.network import VGGish

SEED = 2021

# Layer of the network -> scope of the TensorFlow checkpoint (LFAN spec 2.7).
TENSORFLOW = {
    "features.0": "vggish/conv1",
    "features.3": "vggish/conv2",
    "features.6": "vggish/conv3/conv3_1",
    "features.8": "vggish/conv3/conv3_2",
    "features.11": "vggish/conv4/conv4_1",
    "features.13": "vggish/conv4/conv4_2",
    "embeddings.0": "vggish/fc1/fc1_1",
    "embeddings.2": "vggish/fc1/fc1_2",
    "embeddings.4": "vggish/fc2",
}

_NAMES = {
    f"{scope}/{tf}": f"{layer}.{own}"
    for layer, scope in TENSORFLOW.items()
    for tf, own in (("weights", "weight"), ("biases", "bias"))
}


_CONVERT = """use the same weights as .pth ('wildaffect models' says where they are), or convert it once where TensorFlow is installed:
  import numpy, tensorflow
  reader = tensorflow.train.load_checkpoint("vggish_model.ckpt")
  names = [name for name in reader.get_variable_to_shape_map() if name.startswith("vggish/")]
  numpy.savez("vggish.npz", **{name: reader.get_tensor(name) for name in names})"""


def seeded_network(seed: int = SEED) -> VGGish:
    """An untrained network that is the same everywhere: a random projection of the spectrogram, not a learnt embedding.

    Normal deviates of PCG64, scaled by sqrt(2 / fan-in) so that the layers keep the signal's size (K. He et al., ICCV
    2015), biases zero, drawn in the order of the keys.
    """
    generator = np.random.Generator(np.random.PCG64(seed))
    network = _empty()
    state = {key: torch.zeros(tensor.shape) for key, tensor in network.state_dict().items()}
    for key in sorted(key for key in state if key.endswith("weight")):
        values = generator.standard_normal(tuple(state[key].shape), np.float32)
        state[key] = torch.from_numpy(values * np.float32(math.sqrt(2 / values[0].size)))
    network.load_state_dict(state, assign=True)
    return network


def load_network(path: str | os.PathLike) -> VGGish:
    """The network with the weights of a file, every tensor required and no other accepted.

    Args:
        path: ``.safetensors``, ``.pth`` or ``.pt``: a state dict with the keys of :class:`VGGish`, read without running pickled code.
            ``.npz``: the variables of the TensorFlow checkpoint under their own names, as ``numpy.savez`` writes a dict of them.

    Raises:
        InputError: The file cannot be read, is of another format or of another network.
    """
    network = _empty()
    load_exactly(network, _read(Path(path)), path)
    return network


def from_tensorflow(variables: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    """State dict from the checkpoint's variables; a name that is no variable of VGGish is kept as it is.

    Kernels go from (height, width, in, out) to (out, in, height, width), matrices from (in, out) to (out, in). The first
    matrix needs no further care, because the network flattens in TensorFlow's order.
    """
    axes = {4: (3, 2, 0, 1), 2: (1, 0), 1: (0,)}
    return {
        _NAMES.get(name, name): torch.from_numpy(np.ascontiguousarray(value.transpose(axes.get(value.ndim))))
        for name, value in variables.items()
    }


def _empty() -> VGGish:
    with torch.device("meta"):  # 288 MB of initial values that would be replaced
        return VGGish()


def _read(path: Path) -> dict[str, torch.Tensor]:
    if path.suffix == ".ckpt":
        raise InputError(f"{path}: a TensorFlow checkpoint is not read; {_CONVERT}")
    if path.suffix != ".npz":
        return read_state(path)
    try:
        with np.load(path, allow_pickle=False) as archive:
            return from_tensorflow(dict(archive))
    except UNREADABLE as error:
        raise InputError(f"{path}: not a readable weights file ({error}).") from error
