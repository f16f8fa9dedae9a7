"""Downloads of model files: the one place that opens a connection to the internet, and only when a person asks for a file by name."""

import shutil
import tempfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Mapping
from itertools import groupby
from pathlib import Path

from wildaffect.config import nearest
from wildaffect.errors import InputError
from wildaffect.faces.options import PACKS
from wildaffect.files import atomic, sha256
from wildaffect.models import Model, read_manifest

TIMEOUT = 30
"""Seconds without an answer."""
BLOCK = 1 << 20


def fetch(
    name: str, models_dir: Path, *, say: Callable[[str], None] = print, manifest: Mapping[str, Model] | None = None
) -> list[Path]:
    """Download one model, or all files of a pack, to where runs look for it.

    A file is there only after its size and SHA-256 are those of the manifest; one that is there already is kept.

    Args:
        name: Name in `models.yaml`, or of a pack.
        models_dir: Folder of the files.
        say: Prints a line.
        manifest: Known models; None: those of `models.yaml`.

    Returns:
        The files.

    Raises:
        InputError: The name is unknown, no hash is known, the file cannot be had, or it is another one.
    """
    known = read_manifest() if manifest is None else manifest
    targets = _targets(name, models_dir, known)
    absent = [(model, path) for model, path in targets if not path.is_file()]
    for model, path in absent:
        if not model.urls:
            raise InputError(f"{model.name}: no address is known. Put the file at {path}.")
        if not (model.sha256 or model.sha256_prefix):
            raise InputError(
                f"{model.name}: its SHA-256 is not known, so that it cannot be checked. Fetch it by hand: {model.urls[0]}"
            )
    for url, group in groupby(sorted(absent, key=lambda pair: pair[0].urls[0]), key=lambda pair: pair[0].urls[0]):
        _from(url, list(group), models_dir, say)
    for model, path in targets:
        _check(path, path, model)
        say(f"{path}: verified ({model.licence})")
    return [path for _, path in targets]


def _targets(name: str, models_dir: Path, known: Mapping[str, Model]) -> list[tuple[Model, Path]]:
    if name in PACKS:
        files = {model.file: model for model in known.values()}
        return [(files[file], models_dir / name / file) for file in PACKS[name] if file in files]
    if name not in known:
        raise InputError(f"{name!r} is no known model{nearest(name, [*known, *PACKS])}")
    model = known[name]
    pack = next((pack for pack, files in PACKS.items() if model.file in files), None)
    return [(model, models_dir / pack / model.file if pack else models_dir / model.file)]


def _from(url: str, wanted: list[tuple[Model, Path]], models_dir: Path, say: Callable[[str], None]) -> None:
    """Download one file, and take what is wanted out of it where it is an archive."""
    say(f"fetching {url}")
    models_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=models_dir) as download:
        try:
            request = urllib.request.Request(url, headers={"User-Agent": "wildaffect"})
            with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
                shutil.copyfileobj(answer, download, BLOCK)
        except (OSError, ValueError, EOFError) as error:
            reason = getattr(error, "reason", None) or error
            raise InputError(
                f"{url}: cannot be fetched ({reason}). Without a network, fetch it on another machine and put it at {wanted[0][1]}."
            ) from None
        for model, path in wanted:
            download.seek(0)
            with atomic(path) as partial, partial.open("wb") as output:
                if model.member is None:
                    shutil.copyfileobj(download, output, BLOCK)
                else:
                    _take(model, download, output)
                output.flush()
                _check(partial, path, model)


def _take(model: Model, download, output) -> None:
    try:
        with zipfile.ZipFile(download) as archive:
            names = [name for name in archive.namelist() if Path(name).name == Path(model.member or "").name]
            with archive.open(names[0]) as member:
                shutil.copyfileobj(member, output, BLOCK)
    except (zipfile.BadZipFile, IndexError, KeyError):
        raise InputError(
            f"{model.urls[0]}: is no archive that holds {model.member}. Fetch it by hand and compare its SHA-256."
        ) from None


def _check(file: Path, shown: Path, model: Model) -> None:
    size = file.stat().st_size
    if model.size is not None and size != model.size:
        raise InputError(f"{shown}: {size} bytes instead of {model.size}; it is not the file of model {model.name!r}.")
    expected = model.sha256 or model.sha256_prefix or ""
    if not (digest := sha256(file)).startswith(expected):
        raise InputError(
            f"{shown}: SHA-256 {digest} instead of {expected}; it is not the file of model {model.name!r}."
        )
