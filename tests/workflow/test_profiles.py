"""Profiles name what there is, agree with each other, and pack videos into few submissions that ask for what one video needs."""

import importlib.util
import re
import sys

import pytest
import yaml

from support.pipeline import ROOT, RULE_FILES, rule_blocks

PROFILES = {
    path.parent.name: yaml.safe_load(path.read_text())
    for path in (ROOT / "workflow" / "profiles").glob("*/profile.yaml")
}
CLUSTERS = ("slurm", "pbs")
BLOCKS = rule_blocks()
BLOCKS |= {
    name: BLOCKS[source]
    for path in RULE_FILES
    for source, name in re.findall(r"^ *use rule (\w+) as (\w+) with:", path.read_text(), re.MULTILINE)
}


def test_there_is_a_profile_for_every_place():
    assert set(PROFILES) == {"default", "local", *CLUSTERS}
    assert PROFILES["local"] == PROFILES["default"]


@pytest.mark.parametrize("name", CLUSTERS)
def test_names_in_profiles_exist(name):
    """A mistyped rule or group is silent otherwise."""
    profile = PROFILES[name]
    assert set(profile["set-resources"]) | set(profile["groups"]) <= set(BLOCKS)
    assert set(profile["group-components"]) == set(profile["groups"].values())


def test_every_packed_rule_goes_in_series_and_every_rule_in_series_is_packed():
    in_series = {name for name, block in BLOCKS.items() if "serial=1" in block} - {"draw_overlay"}
    for name in CLUSTERS:
        assert set(PROFILES[name]["groups"]) == in_series
        assert PROFILES[name]["resources"] == ["serial=1"], "a limit on GPUs would be one for the whole cluster"


@pytest.mark.parametrize("name", CLUSTERS)
def test_every_retry_gets_more_memory_and_more_time(name):
    """By the rule itself, or by the profile in its place."""
    anew = PROFILES[name]["set-resources"]
    for rule, block in BLOCKS.items():
        if "script:" in block and "localrule: True" not in block:
            assert "mem_mb=scale_with_attempt(" in block, rule
            assert "runtime=scale_with_attempt(" in block or "attempt" in str(anew.get(rule, {}).get("runtime")), rule


def test_both_clusters_pack_and_repeat_alike():
    for key in (
        "groups",
        "group-components",
        "set-resources",
        "retries",
        "keep-going",
        "rerun-triggers",
        "latency-wait",
    ):
        assert PROFILES["slurm"][key] == PROFILES["pbs"][key], key
    assert PROFILES["slurm"]["rerun-triggers"] == PROFILES["default"]["rerun-triggers"]


def test_sixty_videos_are_few_submissions(tmp_path, monkeypatch):
    """Counted by the engine itself. Each submission asks for the cores and memory of its largest member and the time of all."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    spec = importlib.util.spec_from_file_location("dag", ROOT / "benchmarks" / "dag.py")
    dag = importlib.util.module_from_spec(spec)
    sys.modules["dag"] = dag
    spec.loader.exec_module(dag)
    (tmp_path / "corpus").mkdir()
    dag.write_corpus(tmp_path / "corpus", 60)
    config = dag.write_config(tmp_path)
    found = dag.snakemake(tmp_path, config, "-n", "--workflow-profile", "workflow/profiles/slurm").submissions
    assert [one["jobs"] for one in found["detect"]] == [12] * 5
    assert {one["_cores"] for name in ("media", "detect", "faces", "sounds", "scenes") for one in found[name]} == {1}
    assert all(one["mem_mb"] == 4000 and one["runtime"] == one["jobs"] * 8 for one in found["detect"])
    (media,) = found["media"]
    assert media["jobs"] == 120 and media["mem_mb"] == 1000 and media["runtime"] == 120
    assert all(one["jobs"] == 1 and one["gpu"] == 1 for one in found["train_system"]), "one training, one GPU"
    stages = ("media", "detect", "bodies", "faces", "scenes", "sounds")
    assert sum(len(found[name]) for name in stages) < 60, "videos must not be submissions"
    assert all(one["jobs"] > 1 for one in found["predict"][:-1])
