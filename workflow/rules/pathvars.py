"""Words in angle brackets, which Snakemake replaces wherever they are in a path, and which names of given files may hold."""

from functools import partial

from snakemake.pathvars import PATHVAR_REGEX, Pathvars


def replace_leading_only(pathvars: Pathvars) -> None:
    """Let Snakemake replace only the word that a path begins with, such as ``<results>/logs``, if it knows it."""
    pathvars.apply = partial(_with_leading_word, pathvars.items)  # type: ignore[method-assign]


def _with_leading_word(known: dict[str, str], path: str) -> str:
    found = PATHVAR_REGEX.match(path)
    if found and found["name"] in known:
        return _with_leading_word(known, known[found["name"]] + path[found.end() :])
    return path
