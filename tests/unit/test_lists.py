"""Lists of files and the blocks of trials they belong to."""

import os
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.lists import listed_files
from wildaffect.corpus.folds import trial_groups
from wildaffect.errors import InputError
from wildaffect.manifests import read_lists, write_list
from wildaffect.workflow.plan import make_plan

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
    with pytest.raises(InputError, match=r"one\.json: not a readable list"):
        read_lists([str(tmp_path / "one.json")])


def test_lists_of_a_job_hold_what_it_reads(root, tmp_path):
    """Folds, tasks that disagree, two people in one video, drawings: whatever a job reads stands in its lists, and nothing else."""
    for number in range(24):
        name = f"v{number}" if number % 5 else f"v{number}_left"
        (tmp_path / f"v{number}.mp4").touch()
        for task, shift in (("VA_Set", 0), ("EXPR_Set", 3), ("AU_Set", 0)):
            folder = "Validation_Set" if (number + shift) % 6 == 0 else "Train_Set"
            path = tmp_path / task / folder / f"{name}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("x\n")
    for number, releases in (
        (24, ("Valence_Arousal_Estimation",)),
        (25, ("Valence_Arousal_Estimation", "EXPR_Classification")),
    ):
        (tmp_path / f"v{number}.mp4").touch()
        for release in releases:
            with (tmp_path / f"{release}_Challenge_test_set_release.txt").open("a") as handle:
                handle.write(f"v{number}\n")
    raw = {
        "corpus": {"root": str(tmp_path)},
        "faces": {"backend": "dlib", "model": "hog"},
        "features": {"vggish_weights": "seeded"},
        "folds": {"scheme": "grouped", "count": 3},
        "systems": {"tsav": {"targets": ["mtl", "va"]}, "lfan": {}},
    }
    plan = make_plan(raw, root / "workflow" / "schemas")
    listed = partial(listed_files, plan)
    for instance in plan.instances:
        for lists, files in (
            (plan.inputs.training_lists(instance), plan.inputs.training_files(instance)),
            (
                plan.inputs.prediction_lists(instance, "validation"),
                plan.inputs.prediction_files(instance, "validation"),
            ),
            (plan.inputs.prediction_lists(instance, "test"), plan.inputs.prediction_files(instance, "test")),
        ):
            assert set(lists) == set(files)
            for part, paths in lists.items():
                assert set(listed(paths)) == set(files[part])
    lfan = [instance for instance in plan.instances if instance.key.startswith("lfan/unimodal/valence/")]
    assert len({frozenset(plan.inputs.training_lists(instance)["frames"]) for instance in lfan}) == 1, (
        "folds share their blocks"
    )
    sounds = listed(plan.inputs.corpus_lists("audio"))
    assert sorted(sounds) == sorted(f"results/media/{video}/audio.flac" for video in plan.corpus.videos)
    read = {path for instance in plan.instances for path in plan.inputs.training_lists(instance)["frames"]}
    assert read & {*plan.inputs.corpus_lists("frames")}, "lists of trainings are used again"
    for task, videos in (("va", {"v24", "v25"}), ("expr", {"v25"}), ("au", set())):
        lists = plan.inputs.submission_lists("frames", "abaw2", task)
        assert {Path(file).parent.name for file in listed(lists)} == videos
    assert listed(plan.inputs.submission_lists("frames", "abaw6", "expr")), "of editions that are not configured, too"
