"""The writing of results in one format."""

import importlib
import os
import shutil
from pathlib import Path

from wildaffect.errors import InputError
from wildaffect.export.catalogue import FORMATS
from wildaffect.export.results import Run
from wildaffect.files import in_words

DEFAULT = "formats/{name}"


def export(results: Path, name: str, output: Path | None = None) -> Path:
    """Write the results of a run in a format, all or nothing.

    Args:
        results: Folder of the results.
        name: One of `FORMATS`.
        output: Folder to write; None: ``formats/<name>`` in ``results``.

    Returns:
        The folder.

    Raises:
        InputError: There are no results, the folder is not empty, a package is missing, or something cannot be written.
    """
    form = FORMATS[name]
    final = (output or results / DEFAULT.format(name=name)).absolute()
    if final.is_symlink() or (final.exists() and (not final.is_dir() or any(final.iterdir()))):
        raise InputError(
            f"{final}: is there already and is not overwritten. Remove it, or name another folder with --output."
        )
    run = Run(results)
    try:
        module = importlib.import_module(f"wildaffect.export.{form.module}")
    except ModuleNotFoundError as error:
        if not form.package or (error.name or "").startswith("wildaffect"):
            raise
        raise InputError(f"--to {name} needs {form.package}: pip install 'wildaffect[export]' ({error}).") from None
    partial = final.with_name(f".{final.name}.{os.getpid()}.partial")
    try:
        partial.mkdir(parents=True)
        (module.write_csv if name == "csv" else module.write)(run, partial, final)
        if final.exists():
            final.rmdir()
        partial.replace(final)
    except OSError as error:
        raise InputError(f"{final}: {in_words(error)}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return final
