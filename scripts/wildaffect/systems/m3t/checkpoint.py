"""What a weight file is, from the names and shapes of its tensors (M3T spec 3.7). Imports no torch."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from wildaffect.errors import InputError

CHANNELS = (64, 128, 256, 512, 512)
VECTORS = 512
AUDIO = 200


@dataclass(frozen=True)
class Form:
    """A variant's inputs, number of outputs, and whether it fuses by attention."""

    modality: str
    outputs: int
    attention: bool = False


VARIANTS = {
    "visual_mtl": Form("visual", 9),
    "audio": Form("audio", 9),
    "audio_va": Form("audio", 2),
    "audiovisual_mtl": Form("audiovisual", 9),
    "audiovisual_attention_mtl": Form("audiovisual", 9, attention=True),
}
PUBLISHED = {
    "channels": CHANNELS,
    "hidden": 512,
    "audio_hidden": 256,
    "split_layer": 3,
    "fc_layers": 2,
    "vectors": VECTORS,
    "arousal_vectors": None,
    "audio_columns": AUDIO,
}
# Positions of a convolution in the sequence of layers, by its number: the first three are followed by three layers, the others by two.
POSITIONS = (0, 4, 8, 12, 15)


@dataclass(frozen=True)
class Structure:
    """A variant and the options of ``model.build`` in which it differs from the published one."""

    variant: str
    options: Mapping[str, Any]


def detect(state: Mapping[str, Any]) -> Structure:
    """The model that ``state`` (names to tensors) belongs to; :class:`InputError` if it is none, or one that is not offered."""
    if any(key.startswith("fusion.decoder.") for key in state):
        raise InputError(
            "the weights are of M3T's attention decoder, an experiment of its authors that is not offered."
        )
    if is_identity(state):
        raise InputError(
            "the weights are of face identity pre-training, not a model; give them as recipe.visual_weights."
        )
    try:
        return _detect({key: tuple(value.shape) for key, value in state.items()})
    except (KeyError, IndexError, ValueError) as error:
        raise InputError(f"the weights are not those of an M3T model (looked for {error}).") from error


def advice(state: Mapping[str, Any]) -> str:
    """One sentence that says what ``state`` is."""
    try:
        found = detect(state)
    except InputError as error:
        return str(error)
    options = ", ".join(f"{name} {value}" for name, value in found.options.items()) or "no options"
    return f"The weights are of variant {found.variant} with {options}."


def is_identity(state: Mapping[str, Any]) -> bool:
    """``state`` comes from the identity pre-training of the visual stream."""
    return any(key.startswith("visual.v2p.") for key in state)


def _detect(shapes: Mapping[str, tuple[int, ...]]) -> Structure:
    options: dict[str, Any] = {}
    if "fusion.gru.weight_ih_l0" in shapes:
        attention = any(key.startswith("att_fuse.") for key in shapes)
        variant = "audiovisual_attention_mtl" if attention else "audiovisual_mtl"
        options["fc_layers"], outputs = _head(shapes, "fusion.")
        options |= _visual(shapes) | _audio(shapes)
    elif "visual.shared.0.weight" in shapes:
        variant = "visual_mtl"
        options |= _visual(shapes)
        towers = ("visual.gru.",) if "visual.gru.gru.weight_ih_l0" in shapes else ("visual.gru_v.", "visual.gru_a.")
        heads = [_head(shapes, tower) for tower in towers]
        options["fc_layers"], outputs = heads[0][0], sum(count for _, count in heads)
    else:
        options["fc_layers"], outputs = _head(shapes, "audio.")
        variant = "audio" if outputs == VARIANTS["audio"].outputs else "audio_va"
        options |= _audio(shapes)
    if outputs not in (2, 9):
        raise ValueError(f"2 or 9 outputs, found {outputs}")
    different = {name: value for name, value in options.items() if value != PUBLISHED[name]}
    return Structure(variant, different | ({"outputs": outputs} if outputs != VARIANTS[variant].outputs else {}))


def _head(shapes: Mapping[str, tuple[int, ...]], prefix: str) -> tuple[int, int]:
    """Number of linear layers and of outputs."""
    if f"{prefix}fc.weight" in shapes:
        return 1, shapes[f"{prefix}fc.weight"][0]
    pattern = re.compile(re.escape(prefix) + r"fc\.(\d+)\.weight")
    positions = sorted(int(found[1]) for key in shapes if (found := pattern.fullmatch(key)))
    if positions not in ([0, 2], [0, 2, 4]):
        raise ValueError(f"{prefix}fc of one to three layers")
    return len(positions), shapes[f"{prefix}fc.{positions[-1]}.weight"][0]


def _audio(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    return {"audio_hidden": shapes["audio.gru.weight_hh_l0"][1], "audio_columns": shapes["audio.gru.weight_ih_l0"][1]}


def _visual(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    split = sum(f"visual.shared.{position}.weight" in shapes for position in POSITIONS)
    private = [position - POSITIONS[split] for position in POSITIONS[split:]]
    channels = tuple(
        shapes[name][0]
        for name in (
            *(f"visual.shared.{position}.weight" for position in POSITIONS[:split]),
            *(f"visual.v_private.{position}.weight" for position in private),
        )
    )
    one_tower = split == len(POSITIONS)
    first = "visual.gru" if one_tower else "visual.gru_v"
    vectors = shapes[f"{first}.gru.weight_ih_l0"][1] - channels[-1]
    if one_tower:
        vectors, arousal = vectors // 2, vectors // 2
    else:
        arousal = shapes["visual.gru_a.gru.weight_ih_l0"][1] - channels[-1]
    return {
        "channels": channels,
        "hidden": shapes[f"{first}.gru.weight_hh_l0"][1],
        "split_layer": split,
        "vectors": vectors,
        "arousal_vectors": None if arousal == vectors else arousal,
    }
