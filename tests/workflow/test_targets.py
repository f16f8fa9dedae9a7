"""Targets of a part of the workflow, on a folder without labels."""

import pytest

from support.corpora import touch
from support.pipeline import copy_project, run_workflow, write_config


@pytest.mark.slow
def test_parts_of_the_workflow_run_without_a_trained_system_and_without_models_of_others(tmp_path):
    """The targets are those of the command line, whatever other options say."""
    project = copy_project(tmp_path)
    touch(project / "clips" / "a.mp4", project / "clips" / "b.mp4")
    raw = {"corpus": {"layout": "folder", "root": "clips"}, "systems": {"lfan": {"variants": ["multimodal"]}}}
    config = write_config(tmp_path / "mine.yaml", raw)
    media = run_workflow(project, config, "-n", "media")
    assert media.status == 0 and media.jobs == {"decode_frames": 2, "extract_audio": 2, "media": 1}, media.text
    faces = run_workflow(project, config, "-n", "faces")
    assert faces.status != 0 and "models/buffalo_l/det_10g.onnx" in faces.text and "labels" not in faces.text
    for arguments in (["-n"], ["-n", "--forcerun", "media"], ["-n", "media", "report"]):
        everything = run_workflow(project, config, *arguments)
        assert everything.status != 0 and "no training labels" in everything.text
    light = {"faces": {"backend": "dlib", "model": "hog"}, "features": {"vggish_weights": "seeded"}}
    config = write_config(tmp_path / "mine.yaml", raw | light)
    both = run_workflow(project, config, "-n", "faces", "features")
    assert both.status == 0 and both.jobs["cut_crops"] == both.jobs["resize_crops"] == 2, both.text
    assert both.jobs["extract_features"] == 4 and "train_system" not in both.jobs
    named = {"faces": light["faces"] | {"single_pass": ["m3t256"]}, "features": {"single_pass": ["mfcc39", "tsav_mel"]}}
    config = write_config(tmp_path / "mine.yaml", raw | named | {"systems": {"lfan": False}})
    alone = run_workflow(project, config, "-n", "faces", "features")
    assert alone.jobs["extract_features_together"] == alone.jobs["cut_crops_together"] == 2, alone.text


@pytest.mark.slow
def test_tables_of_a_system_that_comes_trained_train_nothing(tmp_path):
    project = copy_project(tmp_path)
    touch(project / "clips" / "a.mp4", project / "clips" / "b.mp4", project / "own.hdf5")
    raw = {
        "corpus": {"layout": "folder", "root": "clips"},
        "faces": {"backend": "dlib", "model": "hog"},
        "systems": {"lfan": False, "fer2013": {"trained": "own.hdf5"}},
        "tables": {"speech": False},
    }
    jobs = run_workflow(project, write_config(tmp_path / "mine.yaml", raw), "-n", "tables").jobs
    wanted = {
        "measure_quality": 2,
        "cut_crops": 4,
        "predict_system": 1,
        "fuse_folds": 1,
        "write_tables": 1,
        "tables": 1,
    }
    assert (
        {name: jobs[name] for name in wanted} == wanted
        and "train_system" not in jobs
        and "extract_features" not in jobs
    )
