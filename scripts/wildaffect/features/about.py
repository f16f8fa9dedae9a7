"""The description that lies beside every feature: ``about.json``."""

import json
import os
from collections.abc import Mapping
from typing import Any

from wildaffect.features.spec import FeatureSpec
from wildaffect.files import atomic


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
    with atomic(output) as partial:
        partial.write_text(json.dumps(about, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
