"""Initial weights from earlier stages: the identity pre-training of faces, a visual model, a sound model (M3T spec 3.6)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from wildaffect.errors import InputError
from wildaffect.systems.m3t.checkpoint import PLACES, is_identity
from wildaffect.systems.weights import read_weights

State = dict[str, Tensor]


def load_stream(model: nn.Module, stream: str, path: str | Path, split_layer: int) -> dict[str, Any]:
    """Load the ``stream`` (visual or audio) of a file into ``model``, heads left out where the model has none; the record of the file.

    Everything of the stream must be in the file, but for the recurrent networks over an identity pre-training, which has none.
    """
    state, digest = read_weights(path)
    identity = stream == "visual" and is_identity(state)
    state = from_identity(state, split_layer) if identity else dict(state)
    own = {key: value for key, value in model.state_dict().items() if key.startswith(f"{stream}.")}
    given = {key: value for key, value in state.items() if key in own}
    missing = [key for key in own if key not in given and not (identity and ".gru" in key)]
    shapes = [key for key in given if given[key].shape != own[key].shape]
    if missing or shapes:
        raise InputError(
            f"{path}: does not fit the {stream} stream: {len(missing)} tensors missing, {len(shapes)} of other shape "
            f"({', '.join((missing + shapes)[:3])}). Check recipe.network and the file."
        )
    model.load_state_dict(given, strict=False)
    return {"part": stream, "file": str(path), "sha256": digest, "tensors": len(given)}


def from_identity(state: Mapping[str, Tensor], split_layer: int) -> State:
    """The convolutions of an identity pre-training under the names of a model: the first ones shared, the others for both towers."""
    first = (*PLACES, None)[split_layer]
    found = {}
    for key, value in state.items():
        prefix, _, rest = key.partition("visual.v2p.")
        place, _, name = rest.partition(".")
        if prefix or not place.isdigit():
            continue
        if first is None or int(place) < first:
            found[f"visual.shared.{place}.{name}"] = value
        else:
            found |= {f"visual.{tower}.{int(place) - first}.{name}": value for tower in ("v_private", "a_private")}
    return found
