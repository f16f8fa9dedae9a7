"""Training runs: learning curves and provenance; the models that a run used, with licences, and notes on what is approximate."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from wildaffect.errors import InputError
from wildaffect.integrity import check, intact, read_json
from wildaffect.models import Model, read_manifest
from wildaffect.scoring.read import MODEL
from wildaffect.tables import read_metadata


def read_run(entry: Mapping) -> dict:
    """One instance for the page.

    Args:
        entry: Dict with system, variant, target, fold and path of the run folder.

    Returns:
        The names, `path`, `record` (content of `run.json`) and `curves`, the latter two None where the file is absent.
    """
    folder = Path(entry["path"])
    names = {key: str(entry[key]) for key in ("system", "variant", "target", "fold")}
    return names | {"path": folder, "record": _json(folder / "run.json"), "curves": _curves(folder / "history.csv")}


def _json(path: Path) -> dict | None:
    if not path.exists():
        return None
    return read_json(path)


def _curves(path: Path) -> dict | None:
    """Columns of a training history for the figure: epochs, losses, validation metrics and total seconds."""
    if not path.exists():
        return None
    with intact(path, "a training history"):
        check(path)
        table = pd.read_csv(path)
    missing = [name for name in ("epoch", "train_loss") if name not in table]
    if missing:
        raise InputError(f"{path}: column {', '.join(missing)} missing. Delete the run and train again.")
    metrics = [name for name in table if name.startswith("val_") and name != "val_loss"]
    losses = [name for name in ("train_loss", "val_loss") if name in table]
    return {
        "epoch": table["epoch"].tolist(),
        "losses": {name: _rounded(table[name]) for name in losses},
        "metrics": {name: _rounded(table[name]) for name in metrics},
        "seconds": float(table["seconds"].sum()) if "seconds" in table else None,
    }


def _rounded(column: pd.Series) -> list[float | None]:
    return [None if value != value else float(f"{value:.5g}") for value in column.astype(float)]


def devices(runs: Sequence[Mapping]) -> list[str]:
    """The distinct devices that the run records name, in order of first appearance."""
    records = [run["record"] for run in runs if run["record"] and run["record"].get("device")]
    names = [
        f"{record['device']} ({record['device_name']})" if record.get("device_name") else record["device"]
        for record in records
    ]
    return list(dict.fromkeys(names))


def selection(run: Mapping) -> dict | None:
    """The epoch whose weights were kept, by `run.json`.

    Returns:
        `metric` (its column of the history), `epoch` and `value`; None where no epoch is recorded or none had a score that is a number.
    """
    curves, record = run["curves"], run["record"] or {}
    metric, epoch = f"val_{record.get('selection')}", record.get("best_epoch")
    if not curves or epoch is None or metric not in curves["metrics"] or epoch not in curves["epoch"]:
        return None
    return {"metric": metric, "epoch": epoch, "value": curves["metrics"][metric][curves["epoch"].index(epoch)]}


def used_models(
    detections: Iterable[str], abouts: Iterable[str], runs: Sequence[Mapping[str, Any]], predictions: Iterable[str] = ()
) -> list[dict]:
    """Every model that a result depends on, once.

    Args:
        detections: Detection tables.
        abouts: The `about.json` of the features.
        runs: Dicts with system, variant, target and the path of a `run.json`.
        predictions: Prediction tables, smoothed or fused or not; they name the weights of systems that come trained.

    Returns:
        Dicts with name, licence, sha256, trained (None for software) and source, by name and source.
    """
    models = [
        *(model for path in detections for model in _detector_models(path)),
        *(model for path in abouts for model in _feature_models(path)),
        *(model for run in runs for model in _initial_weights(run)),
        *(
            {
                "name": model.name,
                "licence": model.licence,
                "sha256": sha256,
                "trained": True,
                "source": f"system {system}",
            }
            for system, model, sha256 in _own_weights(predictions)
        ),
    ]
    unique = {json.dumps(entry, sort_keys=True): entry for entry in models}
    return sorted(unique.values(), key=lambda entry: (entry["name"], entry["source"]))


def _detector_models(path: str) -> list[dict]:
    metadata = read_metadata(path)
    shared = {"licence": metadata["licence"], "trained": True, "source": metadata["backend"]}
    return [{"name": name, "sha256": digest, **shared} for name, digest in metadata["files"].items()]


def _feature_models(path: str) -> list[dict]:
    """The weights of a feature and the software that computed it."""
    metadata = read_json(path)
    source = f"feature {metadata['id']}"
    models = []
    if weights := metadata["weights"]:
        licence = weights.get("licence") or weights.get("note")
        entry = {"name": weights["name"], "licence": licence, "sha256": weights["sha256"]}
        models.append(entry | {"trained": weights["trained"], "source": source})
    if notice := metadata["notice"]:
        name = "openSMILE" if "openSMILE" in notice else metadata["id"]
        models.append({"name": name, "licence": notice, "sha256": None, "trained": None, "source": source})
    return models


def _initial_weights(run: Mapping[str, Any]) -> list[dict]:
    record = read_json(run["path"])
    shared = {"trained": True, "source": f"initial weights of {run['system']}"}
    return [
        {"name": Path(w["file"]).name, "licence": w.get("licence"), "sha256": w["sha256"], **shared}
        for w in record["initial_weights"]
    ]


def _own_weights(predictions: Iterable[str]) -> Iterator[tuple[str, Model, str]]:
    """System, model and SHA-256 of the weights that came with a system, by the metadata of its predictions."""
    for path in predictions:
        for part in _parts(read_metadata(path)):
            if MODEL in part:
                yield part["system"], read_manifest()[part[MODEL]], part["weights"]


def notes(
    config: Mapping[str, Any], runs: Sequence[Mapping[str, Any]] = (), predictions: Iterable[str] = ()
) -> list[str]:
    """What is approximate or reduced in this run, one sentence each.

    Args:
        config: The completed configuration.
        runs: As in `used_models`.
        predictions: As in `used_models`.
    """
    sentences = []
    own = {system: model for system, model, _ in _own_weights(predictions)}
    if config["features"]["vggish_weights"] == "seeded":
        sentences.append(
            "VGGish has random weights here (features.vggish_weights: seeded): its 128 values are a random projection of the log-mel "
            "spectrogram, not the published embedding."
        )
    if config["features"]["bodies"] and config["features"]["bodies"]["source"] == "face_box":
        sentences.append(
            "Body boxes were not detected (features.bodies.source: face_box): they are derived from face boxes by fixed proportions."
        )
    for name, block in config["systems"].items():
        if block["recipe"] and not block["trained"]:
            changed = ", ".join(sorted(block["recipe"]))
            sentences.append(
                f"The recipe of {name} differs from the published one in: {changed} (see the configuration below)."
            )
        sentences += _named_variants(name, block.get("variants"))
        if name in own:
            sentences.append(
                f"{name} comes trained, and nothing of it is trained here. Its card says on which data, and what is known of its errors."
            )
        elif block["mode"] == "corrected":
            sentences.append(
                f"{name} runs in corrected mode: documented bugs of the original are repaired (see its card)."
            )
        if block["trained"]:
            sentences.append(
                f"{name} predicts with given weights ({block['trained']}); whether they were trained on the scored trials is not known."
            )
    return sentences + _untrained_units(runs)


def _named_variants(system: str, variants: Any) -> list[str]:
    """Variants with settings of their own, a sentence each; lists of published variants have none."""
    if not isinstance(variants, Mapping):
        return []
    sentences = []
    for name, block in variants.items():
        changed = ", ".join(sorted(key for key, value in block.items() if key != "base" and value is not None))
        other = f"the variant {block['base']}" if block["base"] != name else "the published variant"
        if changed or block["base"] != name:
            sentences.append(f"{system}/{name} is {other}{f' with its own {changed}' if changed else ''}.")
    return sentences


def uncompared(predictions: Iterable[str]) -> list[str]:
    """Models whose inputs could not be compared with those of their training, a sentence each.

    Args:
        predictions: Prediction tables, smoothed or fused or not.
    """
    found = (
        part for path in predictions for part in _parts(read_metadata(path)) if part.get("inputs_compared") is False
    )
    names = dict.fromkeys("/".join(part[key] for key in ("system", "variant", "target")) for part in found)
    return [
        f"What the weights of {name} were trained on is not recorded: whether the inputs here are made in the same way is not known."
        for name in names
    ]


def _parts(metadata: Any) -> Iterator[Mapping[str, Any]]:
    """The metadata of a table, and those of all tables that it was made from."""
    if isinstance(metadata, dict):
        yield metadata
        metadata = list(metadata.values())
    if isinstance(metadata, list):
        for value in metadata:
            yield from _parts(value)


def _untrained_units(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Units that a network predicts without a training label, a sentence per variant and target."""
    units_of = {}
    for run in runs:
        if units := read_json(run["path"]).get("unlabelled"):
            units_of[f"{run['system']}/{run['variant']}/{run['target']}"] = ", ".join(units)
    return [
        f"{name} was trained without labels of {units}, which the corpus does not have: its predictions of them are meaningless."
        for name, units in units_of.items()
    ]
