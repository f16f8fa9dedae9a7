"""All features of the audio, found by being there: one module each in ``features/audio``.

For those who plan. A job that makes or reads a feature looks up that one alone (`wildaffect.features.spec.find_feature`), so that
another feature changes nothing for it.
"""

from wildaffect.features.spec import FeatureSpec, feature_module, module_names

FEATURES: dict[str, FeatureSpec] = {spec.id: spec for name in module_names() for spec in feature_module(name).FEATURES}


def features_table() -> str:
    """All features as a Markdown table: id, number of columns, rows, source, description."""
    lines = ["| id | dim | rows | source | what |", "|---|---|---|---|---|"]
    for spec in FEATURES.values():
        rows = f"{spec.rows_per_second:g} per second" if spec.rows_per_second else "per frame"
        lines.append(f"| {spec.id} | {spec.dim} | {rows} | {spec.source} | {spec.description} |")
    return "\n".join(lines) + "\n"
