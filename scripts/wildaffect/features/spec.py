'''What a feature is, and how to write one.

A feature of the audio is one module in ``features/audio``; nothing else has to be edited. The module's name is the feature's id. It holds
``FEATURES``, made by `pair`, `per_frame` or `signal`, the function ``frame_values`` and the function ``parameters``.
Planning imports it, so large libraries are imported within functions. For example ``features/audio/level.py``::

    """Level of the audio in dB, every 10 ms."""

    import numpy as np

    from wildaffect.features.frames import BY_INDEX
    from wildaffect.features.spec import pair

    FEATURES = pair(__name__, columns=("level_db",), indexed=BY_INDEX, description="level of 10 ms in dB")


    def parameters():
        return {"rate_hz": 16_000, "hop_s": 0.01, "window_s": 0.01}


    def frame_values(speech, clock):
        windows = np.pad(speech[:], (0, 160))[: len(speech) // 160 * 160 + 160].reshape(-1, 160) / 32768
        db = 10 * np.log10(np.square(windows).mean(axis=1) + 1e-10)
        yield db[clock.rows(len(db)), None]

Now ``wildaffect features`` lists ``level`` and ``level.indexed``, a system can ask for them, and
``snakemake … -- results/features/level/<video>.npy`` makes one.
'''

import json
import os
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from types import ModuleType
from typing import Any

from wildaffect.errors import InputError
from wildaffect.features import audio
from wildaffect.features.frames import BY_TIME, OWN_CLOCK, Rule
from wildaffect.integrity import sealed

IMPORT_PREFIX = "import."
"""How the ids of features begin that were computed elsewhere."""
EMBED_PREFIX = "embed."
"""How the ids of features begin that are vectors of a frozen image network."""
AUDIO_EMBED_PREFIX = "audio_embed."
"""How the ids of features begin that are vectors of a frozen network of speech."""
INDEXED = ".indexed"
"""How the ids of features end whose rows are chosen by a published rule."""


def of_trial(feature: str) -> bool:
    """Whether there is an array for each trial, because it shows one person, and not for each video."""
    return feature.startswith((IMPORT_PREFIX, EMBED_PREFIX))


def of_configuration(feature: str) -> bool:
    """Whether the configuration describes it, so that its files alone say how many columns it has."""
    return feature.startswith((IMPORT_PREFIX, EMBED_PREFIX, AUDIO_EMBED_PREFIX))


SEEDED = "seeded"
"""Given as weights: an untrained network with a fixed seed."""
IMAGE_NETWORKS: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(("hog", "aligned_hog", "landmarks"), ()),
    **dict.fromkeys(("resnet18", "resnet34", "resnet50", "resnet101", "vggface_resnet50"), ("file", SEEDED)),
    **dict.fromkeys(("enet_b0_8_va_mtl", "mbf_va_mtl", "onnx"), ("file",)),
}
"""Which weights networks of images take, by name (`wildaffect.features.embeddings`; planning imports no PyTorch)."""
OWN_NOTICE = "Computed by this project; no condition beyond those of the recording."

SPEECH_NETWORKS: Mapping[str, int] = {
    **dict.fromkeys(("wav2vec2_base", "hubert_base", "wavlm_base"), 12),
    **dict.fromkeys(
        ("wav2vec2_large", "wav2vec2_large_lv60k", "wav2vec2_xlsr_300m", "hubert_large", "wavlm_large"), 24
    ),
    "hubert_xlarge": 48,
}
"""Layers of the networks of speech, by the names of their functions in torchaudio.models (`wildaffect.features.audio_embeddings`)."""


@dataclass(frozen=True)
class FeatureSpec:
    """A feature: one row per decoded video frame, or a signal on its own clock.

    Attributes:
        id: Name of the feature, and of its folder.
        columns: Names of the columns.
        module: Full name of the module that computes it.
        rule: How its rows belong to frames.
        description: One line for people.
        source: Who or what computes it.
        notice: What its use obliges to.
        weights: Manifest name of the network that it needs, None if it needs none.
        pca: Manifest name of the components that its vectors are projected on.
        rate_hz: Sampling rate of the audio that it is computed from.
        rows_per_second: None for one row per frame; else the array has so many rows per second from the time of frame 0 on, and its readers
            cut what a frame needs.
        dtype: Type of the array.
    """

    id: str
    columns: tuple[str, ...]
    module: str
    rule: Rule
    description: str
    source: str = "own"
    notice: str = OWN_NOTICE
    weights: str | None = None
    pca: str | None = None
    rate_hz: int = 16_000
    rows_per_second: float | None = None
    dtype: str = "float32"

    @property
    def dim(self) -> int:
        """Number of columns."""
        return len(self.columns)


def per_frame(module: str, *, columns: tuple[str, ...], rule: Rule, description: str, **fields) -> FeatureSpec:
    """A feature with one row per decoded frame.

    Args:
        module: ``__name__`` of the module that computes it. Its ``frame_values(speech, clock)`` yields blocks float32 (n, dim), together a
            row per frame, from int16 (S,) at ``rate_hz``, read by slices. If ``weights`` or ``pca`` are declared, it is also given these as
            keywords, and ``models_dir``, ``device`` and ``threads``; ``describe_weights(weights=…, models_dir=…)`` then says what they are.
            Its ``parameters()`` is what ``about.json`` says about the computation.
        columns: Names of the columns.
        rule: How rows belong to frames.
        description: One line for people.
        **fields: Other attributes of `FeatureSpec`.
    """
    name = module.rpartition(".")[2]
    return FeatureSpec(id=name, columns=columns, module=module, rule=rule, description=description, **fields)


def pair(module: str, *, indexed: Rule, description: str, rule: Rule = BY_TIME, **fields) -> tuple[FeatureSpec, ...]:
    """A feature by the frames' true timestamps and its twin ``<id>.indexed`` by a published rule.

    Args:
        module: As for `per_frame`.
        indexed: Rule of the twin.
        description: As for `per_frame`, said of both.
        rule: Rule of the feature itself.
        **fields: ``columns`` and other attributes of `FeatureSpec`.
    """
    plain = per_frame(
        module, rule=rule, description=f"{description}; rows chosen by the frames' true timestamps", **fields
    )
    published = f"{description}; rows chosen by frame index and average frame rate, as published"
    return plain, replace(plain, id=f"{plain.id}{INDEXED}", rule=indexed, description=published)


def signal(
    module: str,
    *,
    columns: tuple[str, ...],
    rows_per_second: float,
    description: str,
    rate_hz: int = 44_100,
    **fields,
) -> FeatureSpec:
    """A signal on its own clock, which begins at the time of frame 0. One of a single column is stored without the second axis.

    Args:
        module: As for `per_frame`, but ``frame_values`` yields the rows of the signal.
        columns: Names of the columns.
        rows_per_second: Rate of the rows.
        description: One line for people.
        rate_hz: Sampling rate of the audio that it is computed from.
        **fields: Other attributes of `FeatureSpec`.
    """
    return per_frame(
        module,
        columns=columns,
        rule=OWN_CLOCK,
        description=description,
        rate_hz=rate_hz,
        rows_per_second=rows_per_second,
        **fields,
    )


def module_names() -> list[str]:
    """Names of the modules in ``features/audio``, each a feature, in order."""
    return sorted(module.name for module in pkgutil.iter_modules(audio.__path__))


def feature_module(name: str) -> ModuleType:
    """The module ``features/audio/<name>.py``."""
    return import_module(f"{audio.__name__}.{name}")


def find_feature(feature: str) -> FeatureSpec:
    """The specification of ``feature``, from its module alone.

    Raises:
        InputError: There is no feature of the audio of that name.
    """
    if (found := _find(feature)) is None:
        raise InputError(f"feature '{feature}' is not known: use one of {', '.join(module_names())}.")
    return found


def rows_per_second(feature: str) -> float | None:
    """None for a feature with one row per decoded frame (imports and embeddings too), else the rate of its rows."""
    found = _find(feature)
    return found.rows_per_second if found else None


def indexed(feature: str) -> str:
    """The twin of ``feature`` whose rows follow the published rule by frame index, or ``feature`` itself where there is none."""
    twin = f"{feature}{INDEXED}"
    return twin if _find(twin) else feature


def _find(feature: str) -> FeatureSpec | None:
    name = feature.partition(".")[0]
    if name not in module_names():
        return None
    return next((spec for spec in feature_module(name).FEATURES if spec.id == feature), None)


def write_about(
    output: str | os.PathLike,
    spec: FeatureSpec,
    *,
    parameters: Mapping[str, Any],
    resampling: str | None,
    weights: Mapping[str, Any] | None,
) -> None:
    """Write columns, origin, parameters, synchronisation, weights and licence notice of a feature as JSON.

    Args:
        output: Path of the JSON file.
        spec: The feature.
        parameters: What the computation was set to.
        resampling: How the audio was resampled; None where there is no audio.
        weights: Name, hash and licence of the network; None where there is none.
    """
    about = {
        "id": spec.id,
        "description": spec.description,
        "dim": spec.dim,
        "columns": list(spec.columns),
        "dtype": spec.dtype,
        "source": spec.source,
        "parameters": parameters,
        "resampling": resampling,
        "synchronisation": {
            "rule": spec.rule.name,
            "meaning": spec.rule.meaning,
            "rows_per_second": spec.rows_per_second,
        },
        "weights": weights,
        "notice": spec.notice,
    }
    with sealed(output) as partial:
        partial.write_text(json.dumps(about, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
