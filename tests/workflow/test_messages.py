"""Mistakes in the configuration end before any job, with one message and a non-zero status."""

import pytest

from support.corpora import touch
from support.pipeline import ROOT, run_workflow, write_config


@pytest.mark.parametrize(
    ("config", "messages"),
    [
        ({"corpus": {"layuot": "demo"}}, ["unknown key 'layuot'", "did you mean 'layout'"]),
        ({"corpus": {"root": "no/such/corpus"}}, ["corpus.root", "no/such/corpus"]),
        (
            {"systems": {"lfan": {"variants": ["multimodl"]}}, "corpus": {"layout": "demo"}},
            ["did you mean 'multimodal'"],
        ),
        ({"corpus": {"layout": "folder", "root": "EMPTY"}}, ["no video files"]),
    ],
)
def test_one_clear_message(tmp_path, config, messages):
    if config.get("corpus", {}).get("root") == "EMPTY":
        config = {"corpus": config["corpus"] | {"root": str(tmp_path)}}
    outcome = run_workflow(
        ROOT, write_config(tmp_path / "bad.yaml", config | {"results_dir": str(tmp_path / "results")}), "-n"
    )
    assert outcome.status != 0
    assert all(message in outcome.text for message in messages), outcome.text
    assert "Traceback" not in outcome.text and "Job stats" not in outcome.text
    assert not (tmp_path / "results").exists()


def test_unlabelled_videos_without_weights_say_what_to_set(tmp_path):
    touch(tmp_path / "films" / "a.mp4")
    config = write_config(tmp_path / "own.yaml", {"corpus": {"layout": "folder", "root": str(tmp_path / "films")}})
    outcome = run_workflow(ROOT, config, "-n")
    assert outcome.status != 0 and "config.systems.lfan.trained" in outcome.text
