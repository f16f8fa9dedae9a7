"""RO-Crate: a run as a research object, with hashes of what went in, versions of what computed, configuration and scores."""

import csv
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rocrate.model import ContextEntity
from rocrate.rocrate import ROCrate

from wildaffect import paths
from wildaffect.content import RECORDS, Contents
from wildaffect.export.results import Run
from wildaffect.files import sha256
from wildaffect.provenance import SCRIPTS, main_versions, stable_hash
from wildaffect.tables import read_metadata

CONFIGURATION = "configuration.json"
KEPT = (paths.AUDIT, paths.SCORES, paths.TRIAL_SCORES, paths.REPORT, paths.VERDICT)
PATTERNS = (
    "runs/*/*/*/fold*/run.json",
    "predictions/*/*/*/*/*.parquet",
    "smoothed/*/*/*/*/*.parquet",
    "submissions/*/*/*/*.json",
)


def write(run: Run, folder: Path, final: Path) -> None:
    """Write the crate: copies of predictions, scores, records and the page; inputs by their hashes alone."""
    contents = Contents(run.results / RECORDS / "contents.jsonl")
    crate = ROCrate()
    crate.name = f"wildaffect: {run.name}"
    crate.description = " ".join(["Affect in videos, predicted by wildaffect.", *run.notes])
    versions = main_versions()
    tool = crate.add(
        ContextEntity(
            crate,
            "#wildaffect",
            {
                "@type": "SoftwareApplication",
                "name": "wildaffect",
                "softwareVersion": versions.pop("wildaffect"),
                "identifier": code_digest(),
                "softwareRequirements": [f"{name} {version}" for name, version in versions.items()],
            },
        )
    )
    inputs = [_input(crate, fact) for fact in run.facts(contents.hash)]
    (folder / CONFIGURATION).write_text(
        json.dumps(configuration(run), indent=2, sort_keys=True) + "\n", encoding="utf-8"
    )
    results = [_file(crate, folder / CONFIGURATION, CONFIGURATION, "configuration, as recorded with the results")]
    found = (str(path.relative_to(run.results)) for pattern in PATTERNS for path in sorted(run.results.glob(pattern)))
    kept = [name for name in (*KEPT, *found) if (run.results / name).is_file()]
    results += [_file(crate, run.results / name, name, None) for name in kept]
    scores = _scores(crate, run.results / paths.SCORES)
    action = ContextEntity(
        crate,
        "#run",
        {
            "@type": "CreateAction",
            "name": "run of the workflow",
            "endTime": datetime.fromtimestamp((run.results / paths.TRIALS).stat().st_mtime, UTC).isoformat(),
        },
    )
    crate.add(action)
    action["instrument"] = tool
    action["object"] = inputs
    action["result"] = [*results, *scores]
    crate.root_dataset["mentions"] = [action]
    crate.root_dataset["variableMeasured"] = scores
    crate.write(folder)


def configuration(run: Run) -> dict[str, Any]:
    """What the results record of the settings that they were made with, by file."""
    named = {"corpus": paths.TRIALS, "folds": paths.FOLDS}
    found: dict[str, Any] = {
        name: dict(read_metadata(run.results / path)) for name, path in named.items() if (run.results / path).is_file()
    }
    for pattern in PATTERNS:
        for path in sorted(run.results.glob(pattern)):
            name = str(path.relative_to(run.results))
            found[name] = json.loads(path.read_text()) if path.suffix == ".json" else dict(read_metadata(path))
    return found


def code_digest() -> str:
    """16 hexadecimal digits of the code of this package."""
    files = sorted((SCRIPTS / "wildaffect").rglob("*.py"))
    return stable_hash({str(path.relative_to(SCRIPTS)): sha256(path) for path in files})


def _input(crate: ROCrate, fact: dict[str, Any]) -> ContextEntity:
    about = {"@type": "VideoObject", "name": fact["media"], "alternateName": fact["video"]}
    if fact["size"] is not None:
        about |= {"contentSize": str(fact["size"]), "sha256": fact["sha256"]}
    return crate.add(ContextEntity(crate, f"#media/{fact['video']}", about))


def _file(crate: ROCrate, source: Path, name: str, description: str | None):
    about = {"name": name, "sha256": sha256(source), "contentSize": str(source.stat().st_size)}
    return crate.add_file(source, name, properties=about | ({"description": description} if description else {}))


def _scores(crate: ROCrate, path: Path) -> list[ContextEntity]:
    """A property per row of the scores."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle))
    return [
        crate.add(
            ContextEntity(
                crate,
                f"#score-{index}",
                {
                    "@type": "PropertyValue",
                    "name": f"{row['metric']} ({row['edition']})",
                    "value": row["value"],
                    "description": f"{row['system']}/{row['variant']}/{row['target']}, fold {row['fold']}, {row['partition']}, "
                    f"{row['frames']} frames of {row['trials']} trials",
                },
            )
        )
        for index, row in enumerate(rows)
    ]
