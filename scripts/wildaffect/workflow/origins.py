"""What the inputs of a model are made from, by the configuration and the content of the given files."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

from wildaffect.content import Contents
from wildaffect.faces import templates as crop_templates
from wildaffect.faces.options import pack_files
from wildaffect.features.registry import FEATURES, given_file, weights_file
from wildaffect.features.spec import EMBED_PREFIX, IMPORT_PREFIX, SEEDED
from wildaffect.systems.types import Needs
from wildaffect.workflow.corpus import official_images

SPEED = ("batch",)
"""Options of a detector that decide how fast it is, not what it finds."""
VERSIONS = ("opensmile",)
"""Parameters of a feature that are versions of libraries."""
WORDS = ("path", "kept", "description", "licence", "citation")
"""Keys of an imported feature that name files of one corpus, or are words."""


@dataclass(frozen=True)
class Origins:
    """The values that `wildaffect.training.origin` compares.

    Where files lie, devices, threads, versions of libraries and corrections of single trials (``faces.overrides``) are no part of them;
    neither is what is true of one corpus alone, as its labels.

    Attributes:
        config: The completed configuration.
        contents: Hashes of given files.
    """

    config: Mapping[str, Any]
    contents: Contents

    def of(self, needs: Needs) -> dict[str, Any]:
        """Values of everything that ``needs`` asks for, nested as their names are in the configuration."""
        found: dict[str, Any] = {"features": {feature: self._feature(feature) for feature in needs.features}}
        embedded = [self._embedding(feature)["crops"] for feature in needs.features if feature.startswith(EMBED_PREFIX)]
        templates = self._with_sources({*needs.crops, *needs.masks, *embedded})
        found["crops"] = {name: _template(name) for name in templates}
        if not {*templates} <= {*crop_templates.scenes()} or {*templates} & {*crop_templates.with_bodies()}:
            found["faces"] = self._faces(templates)
        if {*templates} & {*crop_templates.with_bodies()}:
            found["bodies"] = self._bodies()
        return json.loads(json.dumps(found))  # as a run record gives it back

    def _with_sources(self, templates: set[str]) -> list[str]:
        sources = crop_templates.resized()
        return sorted({*templates, *(sources[name] for name in templates if name in sources)})

    def _faces(self, templates: Sequence[str]) -> dict[str, Any]:
        faces = self.config["faces"]
        if faces["source"] == "official":
            images = {name: crop_templates.official_kind(name, self._official_images) for name in templates}
            return {"source": faces["source"], "images": images}
        if faces["source"] != "detect":
            return {"source": faces["source"]}
        if faces["backend"] == "retinaface":
            files = pack_files(faces["model"], Path(self.config["models_dir"]))
            model: Any = {role: self.contents.hash(path) for role, path in files.items()}
        else:
            model = {"name": faces["model"], "weights": _packaged("face-recognition-models")}
        return {
            "source": faces["source"],
            "backend": faces["backend"],
            "model": model,
            "options": {key: value for key, value in faces["options"].items() if key not in SPEED},
            "tracking": dict(faces["tracking"]),
        }

    @cached_property
    def _official_images(self) -> list[str]:
        """Kinds of the organisers' images that there are."""
        return [*official_images(self.config["faces"]["official_root"])]

    def _feature(self, feature: str) -> dict[str, Any]:
        section = self.config["features"]
        if feature.startswith(IMPORT_PREFIX):
            entry = section["import"][feature.removeprefix(IMPORT_PREFIX)]
            return {key: value for key, value in entry.items() if key not in WORDS}
        if feature.startswith(EMBED_PREFIX):
            entry = self._embedding(feature)
            return {**entry, "weights": self._weights(entry["weights"])}
        spec = FEATURES[feature]
        declared = {kind: name for kind in ("weights", "pca") if (name := getattr(spec, kind))}
        given = {
            kind: self._weights(given_file(section, name, self.config["models_dir"])) for kind, name in declared.items()
        }
        # Networks are known by their weights; what else they do is not read, as that would import PyTorch.
        computed = (
            {} if given else {key: value for key, value in _parameters(spec.module).items() if key not in VERSIONS}
        )
        return {"rule": spec.rule.name, "rate_hz": spec.rate_hz, "columns": spec.dim, **given, **computed}

    def _embedding(self, feature: str) -> Mapping[str, Any]:
        return self.config["features"]["embeddings"][feature.removeprefix(EMBED_PREFIX)]

    def _bodies(self) -> dict[str, Any]:
        bodies = self.config["features"]["bodies"]
        networks = bodies["source"] == "keypoint_rcnn"
        return {
            "source": bodies["source"],
            "person": bodies["person"],
            **({"weights": self._weights(bodies["path"])} if networks else {}),
        }

    def _weights(self, value: str) -> str:
        """Hash of the file behind a value of the configuration; of untrained weights their name."""
        return next(map(self.contents.hash, weights_file(value, self.config["models_dir"])), SEEDED)


def _template(name: str) -> dict[str, Any]:
    return {key: value for key, value in crop_templates.value(name).items() if key != "name"}


def _parameters(module: str) -> dict[str, Any]:
    return import_module(module).parameters()


def _packaged(package: str) -> str:
    return f"{package} {metadata.version(package)}"
