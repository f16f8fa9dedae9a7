"""Which models a run used, under which licence, and what a reader must know about it."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from wildaffect.tables import read_metadata


def used_models(detections: Iterable[str], abouts: Iterable[str], runs: Sequence[Mapping[str, Any]]) -> list[dict]:
    """Every model that a result depends on, once: name, licence, sha256, trained and source.

    ``detections`` are detection tables, ``abouts`` the ``about.json`` of features, ``runs`` entries with the path of a ``run.json``.
    """
    found: list[dict] = []
    for path in detections:
        about = read_metadata(path)
        found += [
            {"name": name, "licence": about["licence"], "sha256": digest, "trained": True, "source": about["backend"]}
            for name, digest in about["files"].items()
        ]
    for path in abouts:
        about = json.loads(Path(path).read_text())
        if about["weights"]:
            weights = about["weights"]
            found.append(
                {
                    "name": weights["name"],
                    "licence": weights.get("licence") or weights.get("note"),
                    "sha256": weights["sha256"],
                    "trained": weights["trained"],
                    "source": f"feature {about['id']}",
                }
            )
        if about["notice"]:
            name = "openSMILE" if "openSMILE" in about["notice"] else about["id"]
            entry = {"name": name, "licence": about["notice"], "sha256": None, "trained": None}
            found.append(entry | {"source": f"feature {about['id']}"})
    for run in runs:
        record = json.loads(Path(run["path"]).read_text())
        found += [
            {
                "name": Path(weights["file"]).name,
                "licence": weights.get("licence"),
                "sha256": weights["sha256"],
                "trained": True,
                "source": f"initial weights of {run['system']}",
            }
            for weights in record["initial_weights"]
        ]
    unique = {json.dumps(entry, sort_keys=True): entry for entry in found}
    return sorted(unique.values(), key=lambda entry: (entry["name"], entry["source"]))


def notes(config: Mapping[str, Any], runs: Sequence[Mapping[str, Any]] = ()) -> list[str]:
    """What is approximate or reduced in this run, one sentence each; ``runs`` as in :func:`used_models`."""
    found = []
    if config["features"]["vggish_weights"] == "seeded":
        found.append(
            "VGGish has random weights here (features.vggish_weights: seeded): its 128 values are a random projection of the log-mel "
            "spectrogram, not the published embedding."
        )
    if config["features"]["bodies"] and config["features"]["bodies"]["source"] == "face_box":
        found.append(
            "Nobody looked for people (features.bodies.source: face_box): the places of bodies are guessed from those of faces by fixed "
            "proportions."
        )
    for name, block in config["systems"].items():
        if block["recipe"] and not block["trained"]:
            changed = ", ".join(sorted(block["recipe"]))
            found.append(
                f"The recipe of {name} differs from the published one in: {changed} (see the configuration below)."
            )
        if block["mode"] == "corrected":
            found.append(f"{name} runs in corrected mode: documented bugs of the original are repaired (see its card).")
        if block["trained"]:
            found.append(
                f"{name} predicts with given weights ({block['trained']}); whether they have seen the scored trials is not known here."
            )
    return found + _unlearnt(runs)


def _unlearnt(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Units that a network predicts without having seen a label of them, a sentence per variant and target."""
    found = {}
    for run in runs:
        if units := json.loads(Path(run["path"]).read_text()).get("unlabelled"):
            found[f"{run['system']}/{run['variant']}/{run['target']}"] = ", ".join(units)
    return [
        f"{name} has learnt nothing of {units}, of which the corpus has no labels: what it predicts of them means nothing."
        for name, units in found.items()
    ]
