"""Ensembles and smoothing in the graph of jobs."""

import copy

import pytest

from support.pipeline import TINY_DEMO, copy_project, run_workflow, write_config


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    return copy_project(tmp_path_factory.mktemp("project"))


def planned(project, *arguments, smoothing=None, **score):
    config = copy.deepcopy(TINY_DEMO)
    config["systems"]["lfan"]["variants"] = ["unimodal", "multimodal"]
    config["systems"]["lfan"]["smoothing"] = smoothing or {}
    outcome = run_workflow(project, write_config(project / "tiny.yaml", config | {"score": score}), "-n", *arguments)
    assert outcome.status == 0, outcome.text[-3000:]
    return outcome


def test_ensembles_add_their_jobs_and_no_others(project):
    plain = planned(project).jobs
    assert not {"fuse_members", "smooth_predictions"} & set(plain)
    fused = planned(project, ensembles={"both": {"members": ["lfan/unimodal", "lfan/multimodal"]}}).jobs
    # Two folds and the test trials; then one more variant to submit and export.
    assert fused["fuse_members"] == 3
    changed = {name: fused.get(name, 0) - plain.get(name, 0) for name in fused if fused.get(name) != plain.get(name)}
    assert changed == {"fuse_members": 3, "write_submission": 1, "export_csv": 1}


def test_smoothing_follows_fusion_and_reads_only_validation_files_to_choose(project):
    outcome = planned(project, smoothing={"method": "wiener", "window": [1, 5]})
    # Two variants, two targets, each two folds and the fused test trials.
    assert outcome.jobs["smooth_predictions"] == 12
    blocks = outcome.text.split("rule smooth_predictions:")[1:]
    assert len(blocks) == 12
    for block in blocks:
        inputs = block.partition("input: ")[2].partition("\n")[0].split(", ")
        output = block.partition("output: ")[2].partition("\n")[0]
        own = output.replace("/smoothed/", "/predictions/")
        others = [name for name in inputs if name != own and "/labels/" not in name]
        assert own in inputs and others
        assert all(name.endswith("/validation.parquet") and "/ensemble/" not in name for name in others), inputs


def test_a_search_trains_and_chooses_and_reports_what_it_chose(project):
    config = copy.deepcopy(TINY_DEMO)
    config["systems"] = {
        "lfan": {"targets": ["valence"], "variants": {"unimodal": {"search": {"learning_rate": [1e-3, 1e-4]}}}}
    }
    outcome = run_workflow(project, write_config(project / "tiny.yaml", config), "-n")
    assert outcome.status == 0, outcome.text[-3000:]
    # Two combinations on two folds; then two folds and the test trials of the best.
    assert outcome.jobs["train_system"] == 4 and outcome.jobs["fuse_members"] == 3
    blocks = outcome.text.split("rule fuse_members:")[1:]
    for block in blocks:
        inputs = block.partition("input: ")[2].partition("\n")[0].split(", ")
        output = block.partition("output: ")[2].partition("\n")[0]
        own = output.partition("/valence/")[2]
        chosen_on = [name for name in inputs if name.endswith("/validation.parquet") and not name.endswith(own)]
        assert len(chosen_on) == (4 if "/ensemble/test" in output else 2), inputs
