"""All systems and their fusion, from rendered videos to one report, with the recipes of the demo cut down further."""

import csv
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from support.pipeline import ROOT, TINY_DEMO, copy_project, run_workflow, write_config
from wildaffect.systems import available, spec

pytestmark = pytest.mark.timeout(1500)
# Enough to go through every step once; that the recipes learn is shown by `make demo-systems`.
QUICK = {"epochs": 1, "frames_per_epoch": 32, "windows_per_epoch": 4, "batch": 8}


def demo_block(system: str) -> tuple[dict, dict]:
    """Configuration block and ensembles of one system's demo overlay."""
    overlay = yaml.safe_load((ROOT / "config" / f"demo_{system}.yaml").read_text())
    return overlay["systems"][system], overlay.get("score", {}).get("ensembles", {})


def quick_config() -> dict:
    """The tiny demo with every system on fold 0."""
    config = {**TINY_DEMO, "features": {"vggish_weights": "seeded", "bodies": {"source": "face_box"}}}
    blocks, ensembles = dict(TINY_DEMO["systems"]), {}
    for system in sorted(set(available()) - {"lfan"}):
        block, own = demo_block(system)
        recipe = {key: QUICK.get(key, value) for key, value in block["recipe"].items()}
        blocks[system] = {"variants": available()[system], **block, "recipe": recipe}
        ensembles |= own
    fusion = yaml.safe_load((ROOT / "config" / "demo_fusion.yaml").read_text())
    config["systems"] = {name: {**block, "folds": [0]} for name, block in blocks.items()}
    config["score"] = {"ensembles": {**ensembles, **fusion["score"]["ensembles"]}}
    return config


def predicted_tasks(config: dict) -> dict[str, set[str]]:
    """Tasks that every variant and ensemble predicts, by ``system/variant``."""
    found = {
        f"{system}/{variant}": {task for target in block["targets"] for task in spec(system).targets[target].labels}
        for system, block in config["systems"].items()
        for variant in block["variants"]
    }
    fused = config["score"]["ensembles"].items()
    return found | {f"ensemble/{name}": {ensemble["target"]} for name, ensemble in fused}


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> tuple[dict, Path]:
    """Configuration and results of a run of everything."""
    project, config = copy_project(tmp_path_factory.mktemp("systems")), quick_config()
    settings = write_config(project / "quick.yaml", config)
    outcome = run_workflow(project, settings)
    assert outcome.status == 0, outcome.text[-6000:]
    assert run_workflow(project, settings, "-n").nothing_to_do
    return config, project / "results"


def test_every_variant_predicts_every_frame(finished):
    config, results = finished
    assert set(config["systems"]) == set(available())
    for system, block in config["systems"].items():
        for variant in block["variants"]:
            for target in block["targets"]:
                for partition in ("validation", "test"):
                    path = results / f"predictions/{system}/{variant}/{target}/fold0/{partition}.parquet"
                    table = pq.read_table(path).to_pandas()
                    videos = {
                        trial: trial.removesuffix("_left").removesuffix("_right") for trial in table.trial.unique()
                    }
                    assert videos
                    for trial, video in videos.items():
                        frames = pq.read_metadata(results / f"media/{video}/frames.parquet").num_rows
                        assert table.frame[table.trial == trial].tolist() == list(range(frames)), path


def test_one_table_scores_them_all_and_their_fusions(finished):
    config, results = finished
    with (results / "scores/scores.csv").open(newline="") as handle:
        rows = [row for row in csv.DictReader(handle) if row["metric"].endswith("_score")]
    scored = {(f"{row['system']}/{row['variant']}", row["metric"]) for row in rows if row["value"]}
    tasks = predicted_tasks(config)
    wanted = {(name, f"{task}_score") for name, own in tasks.items() for task in own}
    # This edition has five units that TSAV lacks, and lacks one that it has.
    wanted.remove(("tsav/two_stream", "au_score"))
    assert scored == wanted
    (unscored,) = {row["note"] for row in rows if not row["value"]}
    assert unscored == "not comparable: predictions have no AU7, AU10, AU23, AU24, AU26"


def test_all_of_them_are_submitted(finished):
    config, results = finished
    records = {
        path.relative_to(results / "submissions").with_suffix("").as_posix()
        for path in results.glob("submissions/*/*/*/*.json")
    }
    tasks = predicted_tasks(config).items()
    assert records == {f"abaw2/{name}/{task}" for name, own in tasks for task in own if task != "au"}


def test_one_report_compares_them(finished):
    config, results = finished
    page = (results / "report/index.html").read_text()
    for system, block in config["systems"].items():
        assert all(f"{system}/{variant}" in page or variant in page for variant in block["variants"]), system
    assert "all_systems" in page
    assert "tsav/two_stream/mtl has learnt nothing of AU20" in page


def test_run_records_say_what_was_used(finished):
    config, results = finished
    for system, block in config["systems"].items():
        for variant in block["variants"]:
            for target in block["targets"]:
                record = json.loads((results / f"runs/{system}/{variant}/{target}/fold0/run.json").read_text())
                assert record["mode"] == "corrected"
                assert record["unlabelled"] == (["AU20"] if target == "mtl" and system == "tsav" else [])
                assert record["recipe"]["epochs"] in (1, TINY_DEMO["systems"]["lfan"]["recipe"]["epochs"])
