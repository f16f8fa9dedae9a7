"""Lists of files and the blocks of trials they belong to."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.lists import listed_files
from wildaffect.corpus.folds import trial_groups
from wildaffect.errors import InputError
from wildaffect.manifests import read_lists, write_list
from wildaffect.workflow.instances import Folds, Instance
from wildaffect.workflow.plan import Plan, make_plan

TRIALS = [f"t{i}" for i in range(8)]


@given(st.dictionaries(st.sampled_from("abcde"), st.lists(st.sampled_from(TRIALS), unique=True)))
def test_every_set_is_made_of_whole_blocks_and_they_are_the_largest(sets):
    blocks = trial_groups(sets)
    for key, trials in sets.items():
        assert sorted(name for block in blocks[key] for name in block) == sorted(trials)
    different = {block for found in blocks.values() for block in found}
    assert sum(map(len, different)) == len({name for trials in sets.values() for name in trials}), (
        "a trial in two blocks"
    )
    homes = [frozenset(key for key in sets if block[0] in sets[key]) for block in different]
    assert len(set(homes)) == len(homes), "two blocks that everybody reads together"


def test_a_list_changes_when_a_file_is_made_anew(tmp_path):
    paths = [str(tmp_path / name) for name in ("a", "b")]
    for path in paths:
        (tmp_path / path).write_text("x")
    write_list(paths, tmp_path / "one.json")
    write_list(paths[1:], tmp_path / "two.json")
    assert read_lists([str(tmp_path / "one.json"), str(tmp_path / "two.json")]) == paths
    before = (tmp_path / "one.json").read_bytes()
    write_list(paths, tmp_path / "one.json")
    assert (tmp_path / "one.json").read_bytes() == before
    os.utime(paths[0], ns=(1, 1))
    write_list(paths, tmp_path / "one.json")
    assert (tmp_path / "one.json").read_bytes() != before
    (tmp_path / "one.json").write_text("[")
    with pytest.raises(InputError, match=r"one\.json is damaged"):
        read_lists([str(tmp_path / "one.json")])


@pytest.fixture(scope="module")
def plan(root, tmp_path_factory) -> Plan:
    """Tasks that disagree about what is held out, two people in one video, drawings, two test videos."""
    folder = tmp_path_factory.mktemp("corpus")
    for number in range(24):
        name = f"v{number}" if number % 5 else f"v{number}_left"
        (folder / f"v{number}.mp4").touch()
        for task, shift in (("VA_Set", 0), ("EXPR_Set", 3), ("AU_Set", 0)):
            part = "Validation_Set" if (number + shift) % 6 == 0 else "Train_Set"
            path = folder / task / part / f"{name}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("x\n")
    for number, releases in (
        (24, ("Valence_Arousal_Estimation",)),
        (25, ("Valence_Arousal_Estimation", "EXPR_Classification")),
    ):
        (folder / f"v{number}.mp4").touch()
        for release in releases:
            with (folder / f"{release}_Challenge_test_set_release.txt").open("a") as handle:
                handle.write(f"v{number}\n")
    raw = {
        "corpus": {"root": str(folder)},
        "faces": {"backend": "dlib", "model": "hog"},
        "features": {"vggish_weights": "seeded"},
        "folds": {"scheme": "grouped", "count": 3},
        "systems": {"tsav": {"targets": ["mtl", "va"]}, "lfan": {"variants": ["multimodal"]}},
    }
    return make_plan(raw)


# Two folds by hand. Expression holds out v2, so the multi-task training of fold 0 does without it, and so on.
DIVISIONS = {
    ("va", 0): {"train": ("v0_left", "v1", "v2"), "validation": ("v3",), "test": ("v24", "v25")},
    ("va", 1): {"train": ("v3",), "validation": ("v0_left", "v1", "v2"), "test": ("v24", "v25")},
    ("expr", 0): {"train": ("v1", "v4"), "validation": ("v2",), "test": ("v25",)},
    ("expr", 1): {"train": ("v2",), "validation": ("v1", "v4"), "test": ("v25",)},
}
READ = {
    ("lfan", "multimodal", "valence", 0): {"training": "v0_left v1 v2 v3", "validation": "v3", "test": "v24 v25"},
    ("lfan", "multimodal", "valence", 1): {
        "training": "v0_left v1 v2 v3",
        "validation": "v0_left v1 v2",
        "test": "v24 v25",
    },
    ("tsav", "two_stream", "mtl", 0): {
        "training": "v0_left v1 v2 v3 v4",
        "validation": "v2 v3",
        "test": "v24 v25",
    },
    ("tsav", "two_stream", "mtl", 1): {
        "training": "v0_left v1 v2 v3 v4",
        "validation": "v0_left v1 v2 v4",
        "test": "v24 v25",
    },
    ("tsav", "two_stream", "va", 1): {
        "training": "v0_left v1 v2 v3",
        "validation": "v0_left v1 v2",
        "test": "v24 v25",
    },
}


def files_of(system: str, trials: str) -> dict[str, set[str]]:
    """What a system reads of trials, by the parts that a job names."""
    names = trials.split()
    videos = [name.removesuffix("_left") for name in names]
    template, features = {"lfan": ("lfan48", ("mfcc39", "vggish128")), "tsav": ("tsav112", ("tsav_mel",))}[system]
    return {
        "frames": {f"results/media/{video}/frames.parquet" for video in videos},
        "crops": {f"results/crops/{template}/{name}.arrow" for name in names},
        "features": {f"results/features/{feature}/{video}.npy" for feature in features for video in videos},
        "persons": {f"results/faces/{video}/persons.parquet" for video in videos} if system == "tsav" else set(),
    }


@pytest.mark.parametrize(("system", "variant", "target", "fold"), READ)
def test_lists_of_a_job_hold_what_it_reads(plan, system, variant, target, fold):
    instance = Instance(system, variant, target, fold)
    inputs = replace(plan.inputs, folds=Folds(plan.corpus, DIVISIONS, "grouped"))
    lists = {
        "training": inputs.training_lists(instance),
        **{part: inputs.prediction_lists(instance, part) for part in ("validation", "test")},
    }
    for job, trials in READ[system, variant, target, fold].items():
        got = {part: {*listed_files(inputs, paths)} for part, paths in lists[job].items()}
        assert got == files_of(system, trials), job


def test_folds_share_their_lists(plan):
    lfan = [instance for instance in plan.instances if instance.key.startswith("lfan/multimodal/valence/")]
    assert len(lfan) == 3
    assert len({frozenset(plan.inputs.training_lists(instance)["frames"]) for instance in lfan}) == 1


def test_lists_of_the_corpus_and_of_submissions(plan):
    audio = listed_files(plan.inputs, plan.inputs.corpus_lists("audio"))
    assert sorted(audio) == sorted(f"results/media/v{number}/audio.flac" for number in range(26))
    read = {path for instance in plan.instances for path in plan.inputs.training_lists(instance)["frames"]}
    assert read & {*plan.inputs.corpus_lists("frames")}, "lists of trainings are used again"
    for task, videos in (("va", {"v24", "v25"}), ("expr", {"v25"}), ("au", set())):
        lists = plan.inputs.submission_lists("frames", "abaw2", task)
        assert {Path(file).parent.name for file in listed_files(plan.inputs, lists)} == videos
    lists = plan.inputs.submission_lists("frames", "abaw6", "expr")
    assert listed_files(plan.inputs, lists), "of editions that are not configured, too"
