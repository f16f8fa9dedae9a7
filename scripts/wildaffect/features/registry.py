"""All features, found by being there, and checks of the section ``features`` of a configuration before any job starts.

Features of the audio are one module each in ``features/audio``. A job that makes or reads a feature looks up that one alone
(`wildaffect.features.spec.find_feature`), so that another feature changes nothing for it.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from wildaffect.config import nearest
from wildaffect.errors import InputError
from wildaffect.faces import templates
from wildaffect.features.imported import check_columns, imported_feature
from wildaffect.features.spec import EMBED_PREFIX, IMPORT_PREFIX, SEEDED, FeatureSpec, feature_module, module_names
from wildaffect.models import locate, resolve

FEATURES: dict[str, FeatureSpec] = {spec.id: spec for name in module_names() for spec in feature_module(name).FEATURES}


def features_table() -> str:
    """All features as a Markdown table: id, number of columns, rows, source, description."""
    lines = ["| id | dim | rows | source | what |", "|---|---|---|---|---|"]
    for spec in FEATURES.values():
        rows = f"{spec.rows_per_second:g} per second" if spec.rows_per_second else "per frame"
        lines.append(f"| {spec.id} | {spec.dim} | {rows} | {spec.source} | {spec.description} |")
    return "\n".join(lines) + "\n"


KEYPOINT_RCNN = "https://download.pytorch.org/models/keypointrcnn_resnet50_fpn_coco-fc266e95.pth"
_SHOWN = 3


def configured(features: Mapping[str, Any]) -> list[str]:
    """Ids of the imports and embeddings that the section describes."""
    imports = [IMPORT_PREFIX + name for name in features["import"]]
    return imports + [EMBED_PREFIX + name for name in features["embeddings"]]


def given_file(features: Mapping[str, Any], declared: str, models_dir: str | Path) -> str:
    """What stands for a file that a feature declares: what the section ``features`` names, or the path of the one in the manifest, since a
    job's environment may lack the package that brings it."""
    keys = {"vggish": "vggish_weights", "vggish_pca": "vggish_pca"}
    return features[keys[declared]] if declared in keys else str(locate(declared, models_dir))


def weights_file(weights: str | None, models_dir: str | Path) -> list[str]:
    """The file behind ``weights``, as the input of a job; none for untrained weights, or where there are none."""
    return [] if weights in (None, SEEDED) else [str(locate(weights, models_dir))]


def body_source(bodies: Mapping[str, Any], video: str, models_dir: str | Path) -> str | None:
    """What the people of one video are found with.

    Args:
        bodies: The entry ``features.bodies`` of the configuration.
        video: Name of the video.
        models_dir: Folder of model files.

    Returns:
        The folder of OpenPose's files, or the weights of the network; None for ``face_box``.
    """
    if bodies["source"] == "face_box":
        return None
    path = bodies["path"]
    return path.replace("{video}", video) if bodies["source"] == "openpose" else str(locate(path, models_dir))


def _cure(feature: str, features: Mapping[str, Any]) -> str:
    kind, _, name = feature.partition(".")
    if kind == "import":
        return (
            f". Say where its files are in features.import.{name} (docs/features.md), or do without: the card of the "
            "system names the key of its recipe that asks for it, and what can take its place."
        )
    return nearest(feature, [*FEATURES, *configured(features)])


def problems(
    features: Mapping[str, Any], needed: Sequence[str], trials: Mapping[str, str], models_dir: str | Path
) -> list[str]:
    """Everything that keeps the section from being carried out, a line each.

    Args:
        features: The section ``features`` of the configuration.
        needed: Ids that systems ask for.
        trials: Video of every trial.
        models_dir: Folder of model files.
    """
    found = [
        f"features: a system asks for {feature!r}, which is neither built in nor described here{_cure(feature, features)}"
        for feature in needed
        if feature not in FEATURES and feature not in configured(features)
    ]
    declared = {name: feature for feature in needed if feature in FEATURES and (name := FEATURES[feature].weights)}
    if "vggish" in declared:
        found += _absent_weights("features.vggish_weights", features["vggish_weights"], models_dir)
    for name in declared.keys() - {"vggish"}:
        try:
            resolve(name, models_dir)
        except InputError as error:
            found.append(f"feature {declared[name]}: {error}")
    if any(FEATURES[feature].pca for feature in needed if feature in FEATURES):
        found += _absent("features.vggish_pca", features["vggish_pca"], models_dir)
    for name, entry in features["import"].items():
        try:
            found += _import_problems(name, entry, trials)
        except InputError as error:
            found.append(str(error))
    for name, entry in features["embeddings"].items():
        where = f"features.embeddings.{name}"
        found += _absent_weights(f"{where}.weights", entry["weights"], models_dir)
        if entry["crops"] not in (known := templates.names()):
            found.append(f"{where}.crops: unknown template {entry['crops']!r}{nearest(entry['crops'], known)}")
    if features["bodies"]:
        found += _body_problems(features["bodies"], dict.fromkeys(trials.values()), models_dir)
    return found


def _absent(where: str, model: str | None, models_dir: str | Path, otherwise: str = "") -> list[str]:
    return [
        f"{where}: {path} not found. Put it there ('wildaffect models' says where it comes from){otherwise}."
        for path in weights_file(model, models_dir)
        if not Path(path).is_file()
    ]


def _absent_weights(where: str, weights: str | None, models_dir: str | Path) -> list[str]:
    return _absent(where, weights, models_dir, f", or set {SEEDED} for untrained weights")


def _import_problems(name: str, entry: Mapping[str, Any], trials: Mapping[str, str]) -> list[str]:
    """Files that are absent, and the columns of the first one that is a table; the others are read by their jobs alone."""
    described = imported_feature(name, entry)
    files = list(dict.fromkeys(described.file(trial, video) for trial, video in trials.items()))
    absent = [str(path) for path in files if not path.is_file()]
    if absent:
        more = ", …" if len(absent) > _SHOWN else ""
        return [f"features.import.{name}: {len(absent)} files do not exist: {', '.join(absent[:_SHOWN])}{more}"]
    if described.kept and not Path(described.kept).is_file():
        return [f"features.import.{name}.kept: {described.kept} does not exist."]
    if files and files[0].suffix == ".parquet":
        check_columns(described, files[0])
    return []


def _body_problems(bodies: Mapping[str, Any], videos: Iterable[str], models_dir: str | Path) -> list[str]:
    where = "features.bodies.path"
    if bodies["source"] == "face_box":
        wrong = bodies["person"] != "face"
        return ["features.bodies.person: face_box guesses the body that belongs to a face; use face."] if wrong else []
    if bodies["source"] == "openpose" and "{video}" not in bodies["path"]:
        return [f"{where}: {bodies['path']} must contain {{video}}: OpenPose's files of one video are a folder."]
    sources = dict.fromkeys(str(body_source(bodies, video, models_dir)) for video in videos)
    absent = [path for path in sources if not Path(path).exists()]
    if not absent:
        return []
    if bodies["source"] == "openpose":
        return [f"{where}: {len(absent)} folders do not exist, the first is {absent[0]}."]
    advice = f"Put torchvision's keypointrcnn_resnet50_fpn there ({KEYPOINT_RCNN}), use OpenPose's files, or face_box."
    return [f"{where}: {absent[0]} not found. {advice}"]
