"""Folders in which Snakemake runs: a new one to be filled in, and one for somebody's own videos.

Such a folder holds `config.yaml`, a `workflow/Snakefile` that includes the installed workflow, the profiles and the schema of the
configuration, so that plain `snakemake`, called there, does the rest on any machine.
"""

import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from wildaffect import paths
from wildaffect.corpus.folder import IMAGE_SUFFIXES, VIDEO_SUFFIXES, printable, video_name, walk_files
from wildaffect.errors import InputError
from wildaffect.faces.options import PACKS, pack_paths
from wildaffect.files import atomic, in_words
from wildaffect.media.container import UnreadableError, open_media, video_stream
from wildaffect.models import locate
from wildaffect.project import ROOT, WORKFLOW
from wildaffect.provenance import stable_hash
from wildaffect.systems import available, spec
from wildaffect.training.origin import read_record

CONFIG, SNAKEFILE, INPUTS, RESULTS = "config.yaml", "workflow/Snakefile", "inputs", "results"
COPIED = ("profiles", "schemas")
SNAKEFILE_TEXT = """\
# The workflow of the installed wildaffect. What it does is set in config.yaml; rules of your own may stand below.
from wildaffect.project import WORKFLOW


include: str(WORKFLOW / "Snakefile")


rule everything:
    default_target: True
    input:
        rules.all.input,{more}
    localrule: True
"""
TABLES = "\n        rules.tables.input,"
WRITTEN = re.compile(r"\A# Written by `wildaffect run` \(([0-9a-f]{16})\)")
HEADER = """\
# Written by `wildaffect run` ({digest}). `snakemake --cores 4`, called in this folder, repeats the run, also after a change here, and
# `snakemake --workflow-profile workflow/profiles/slurm` sends it to a cluster. Keys that are not named here have their defaults, which
# `wildaffect init FOLDER` writes out with their meaning.
"""


def new_folder(folder: Path) -> Path:
    """Write a new analysis folder with all keys of the configuration, their defaults and their meaning.

    Returns:
        The configuration to be filled in.

    Raises:
        InputError: The folder has a configuration or a workflow already.
    """
    for name in (CONFIG, "workflow"):
        if (folder / name).exists():
            raise InputError(f"{folder / name}: exists already. Name another folder, or remove it.")
    _add_workflow(folder)
    with atomic(folder / CONFIG) as partial:
        shutil.copyfile(ROOT / "config.yaml", partial)
    return folder / CONFIG


def _add_workflow(folder: Path, more: str = "") -> None:
    """What Snakemake needs beside a configuration; profiles that are there already may have been adapted to a site and stay."""
    for part in COPIED:
        if not (folder / "workflow" / part).exists():
            shutil.copytree(WORKFLOW / part, folder / "workflow" / part, ignore=shutil.ignore_patterns("__pycache__"))
    with atomic(folder / SNAKEFILE) as partial:
        partial.write_text(SNAKEFILE_TEXT.format(more=more))


def new_run(folder: Path, given: Sequence[Path], settings: Mapping[str, Any]) -> list[str]:
    """Write or renew the analysis folder of ``given`` videos and folders of videos.

    Args:
        folder: The folder; what is in it otherwise stays.
        given: Files, and folders that are searched.
        settings: The configuration, without the corpus' folder and the folder of results.

    Returns:
        Names of the videos.

    Raises:
        InputError: Something given is no video, or the folder has a configuration that somebody has written or changed.
    """
    videos = find_given(given, folder)
    _check_own(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _add_workflow(folder, TABLES)
        names = link_videos(videos, folder / INPUTS)
    except OSError as error:
        raise InputError(f"{folder}: cannot be written: {in_words(error)}") from error
    corpus = {"layout": "folder", "root": INPUTS, **settings.get("corpus", {})}
    body = yaml.safe_dump(
        {"results_dir": RESULTS, **settings, "corpus": corpus}, sort_keys=False, allow_unicode=True, width=120
    )
    with atomic(folder / CONFIG) as partial:
        partial.write_text(HEADER.format(digest=stable_hash(body)) + "\n" + body, encoding="utf-8")
    return names


def _check_own(folder: Path) -> None:
    """Refuse to replace what `wildaffect run` has not written."""
    config = folder / CONFIG
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file. Name a folder with --output.")
    if not config.exists():
        if (folder / "workflow").exists():
            raise InputError(f"{folder}: has a workflow of its own. Name another folder with --output.")
        return
    text = config.read_text(encoding="utf-8", errors="replace")
    found = WRITTEN.match(text)
    if not found or stable_hash(text.partition("\n\n")[2]) != found[1]:
        raise InputError(
            f"{config}: was written or changed by somebody, and would be replaced. Run `snakemake` in {folder}, or name another folder "
            "with --output."
        )


def find_given(given: Iterable[Path], output: Path) -> list[Path]:
    """Absolute paths of the videos that files and folders stand for, in order, each once.

    Folders are searched as those of a corpus are; what lies below ``output`` or is a result of another run is left out.

    Raises:
        InputError: One is absent, cannot be read or is no video, or a folder has none.
    """
    found: dict[Path, Path] = {}  # by what they lead to, as they are called
    for path in given:
        if path.is_dir():
            videos = [path / name for name in walk_files(path, output) if name.suffix.lower() in VIDEO_SUFFIXES]
            videos.sort(key=Path.is_symlink)  # what other analysis folders link to goes by its own name
            if not videos:
                raise InputError(
                    f"{printable(path)}: no video files below this folder (known endings: {' '.join(sorted(VIDEO_SUFFIXES))})."
                )
        else:
            _check_video(path)
            if _target(path).is_relative_to((output / RESULTS).resolve()):
                raise InputError(
                    f"{printable(path)}: is a result of the run that would be repeated. Name the original."
                )
            videos = [path]
        for video in videos:
            found.setdefault(_target(video), video.absolute())
    return list(found.values())


def _target(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError):  # a loop of links: the audit tells
        return path.absolute()


def _check_video(path: Path) -> None:
    shown = printable(path)
    try:
        path.lstat()
    except OSError as error:
        why = "no such file" if isinstance(error, FileNotFoundError | NotADirectoryError) else in_words(error)
        raise InputError(f"{shown}: {why}. Check the path.") from None
    try:
        if path.suffix.lower() in IMAGE_SUFFIXES:
            raise UnreadableError("it is an image")
        with open_media(path) as container:
            video_stream(container)
    except UnreadableError as error:
        raise InputError(f"{shown}: not a video that can be read: {error}.") from None


def link_videos(videos: Sequence[Path], folder: Path) -> list[str]:
    """Make ``folder`` hold a link to each video, and no other, under a name that results can have.

    A video that has a link keeps its name. Of several files with one name the later ones get that of their folder added.

    Returns:
        Names of the videos in results.

    Raises:
        InputError: The folder holds something else.
    """
    folder.mkdir(exist_ok=True)
    links = sorted(folder.iterdir())
    if other := [link for link in links if not link.is_symlink()]:
        raise InputError(
            f"{printable(other[0])}: is in the way, as {folder} is for links to videos. Name another --output."
        )
    known = {link.readlink(): link.name for link in links}
    kept = {known[video] for video in videos if video in known}
    for link in links:
        if link.name not in kept:
            link.unlink()
    taken = {Path(name).stem.casefold() for name in kept}
    names = []
    for video in videos:
        name = known.get(video)
        if name is None:
            suffix = video.suffix.lower() if video.suffix.lower() in VIDEO_SUFFIXES else ".mp4"
            stem = _free(video, taken)
            taken.add(stem.casefold())
            name = stem + suffix
            (folder / name).symlink_to(video)
        names.append(Path(name).stem)
    return names


def _free(video: Path, taken: set[str]) -> str:
    """A name that no other video has: its own, with that of its folder, or with a number."""
    stem = _name(video.stem)
    wider = (
        _name(f"{video.stem} ({video.parent.name})"),
        *(_name(f"{video.stem} ({n})") for n in range(2, len(taken) + 3)),
    )
    return next(name for name in (stem, *wider) if name.casefold() not in taken)


def _name(stem: str) -> str:
    """A name that files and results can have: nothing hidden, no wildcards, no words of the engine."""
    stem = video_name(stem.translate({ord("{"): "(", ord("}"): ")"}))
    return f"_{stem}" if stem[0] == "." else stem


def default_output(first: Path) -> Path:
    """Folder beside which nothing is written unless another is named."""
    name = first.resolve().name if first.is_dir() else first.stem
    return Path(f"affect-{_name(name)}")


def settings_for(
    *, people: int = 1, predictors: Sequence[str] | None = None, trained: Path | None = None, models: Path, title: str
) -> dict[str, Any]:
    """The configuration of a run over somebody's own videos.

    Args:
        people: Most persons per video.
        predictors: Systems that come trained; None: those whose files are there.
        trained: Folder `runs` of earlier results, whose systems predict as well.
        models: Folder of model files.
        title: Title of the report.

    Raises:
        InputError: A system is unknown or has no weights, or ``trained`` is no folder of runs.
    """
    systems: dict[str, Any] = _predictors(predictors, models)
    faces: dict[str, Any] = {"backend": "dlib", "model": "hog"}
    packs = [pack for pack in PACKS if all(path.is_file() for path in pack_paths(pack, models).values())]
    if packs:
        faces = {"backend": "retinaface", "model": packs[0]}
    inputs: dict[str, Any] = {"faces": faces}
    if trained:
        blocks, inputs = _trained(trained, faces)
        systems |= blocks
    inputs["faces"]["single_pass"] = True
    inputs["features"] = {**inputs.get("features", {}), "single_pass": True}
    return {
        "models_dir": str(models.absolute()),
        "corpus": {} if people == 1 else {"persons": people},
        **inputs,
        "systems": systems,
        "tables": {"speech": locate("silero_vad", models).is_file()},
        "submission": {"editions": []},
        "report": {"title": title, "overlays": True},
    }


def _predictors(wanted: Sequence[str] | None, models: Path) -> dict[str, Any]:
    """Blocks of the systems that come trained, of those that are wanted or else of all whose files are there."""
    files = {name: dict(trained) for name in available() if (trained := spec(name).trained)}
    ready = {
        name: [variant for variant, model in variants.items() if locate(model, models).is_file()]
        for name, variants in files.items()
    }
    for name in wanted or ():
        if name not in files:
            known = f"known: {', '.join(files)}" if files else "none is installed"
            advice = " Name the folder of its trained weights: --trained RUNS." if name in available() else ""
            raise InputError(f"--with {name}: no predictor that comes trained ({known}).{advice}")
    chosen = [name for name in files if ready[name]] if wanted is None else wanted
    return {name: {"variants": ready[name]} if 0 < len(ready[name]) < len(files[name]) else {} for name in chosen}


def _trained(runs: Path, faces: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Blocks of the systems below a folder of runs, and the settings of faces and features that they were trained with."""
    weights = sorted(runs.glob("*/*/*/fold*/model.safetensors"))
    if not weights:
        raise InputError(f"{runs}: holds no trained weights ({paths.MODEL}). Name the folder runs of results.")
    blocks: dict[str, Any] = {}
    for path in weights:
        system, variant, target = path.parts[-5:-2]
        mode = read_record(path).get("mode", "corrected")
        block = blocks.setdefault(
            system, {"trained": str(runs.absolute()), "variants": [], "targets": [], "mode": mode}
        )
        for key, value in (("variants", variant), ("targets", target)):
            if value not in block[key]:
                block[key].append(value)
    origin = read_record(weights[0]).get("made_from") or {}
    settings: dict[str, Any] = {"faces": dict(faces)}
    seen = origin.get("faces", {})
    if seen.get("backend") == "dlib":
        settings["faces"] = {
            "backend": "dlib", "model": seen["model"]["name"], "options": seen["options"], "tracking": seen["tracking"],
        }  # fmt: skip
    elif seen.get("backend"):
        settings["faces"] |= {"options": seen["options"], "tracking": seen["tracking"]}
    if "seeded" in str(origin.get("features")):
        settings["features"] = {"vggish_weights": "seeded"}
    return blocks, settings


def pages(folder: Path) -> dict[str, Path]:
    """What a person looks at in the results: the page, the tables and the videos with values drawn in, as far as they are there."""
    results = folder / RESULTS
    named = {
        "page": results / paths.REPORT,
        "tables": (results / paths.TABLES_VIDEOS).parent,
        "videos": (results / paths.OVERLAY).parent,
    }
    return {name: path for name, path in named.items() if path.exists()}
