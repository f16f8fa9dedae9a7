"""What results were made of is recorded beside them: given files count by what is in them, and results can be moved, shared and locked.

Given files and results are stand-ins, and the workflow is only planned, but for the last tests.
"""

import base64
import getpass
import json
import os
import shutil
import socket
import time
from pathlib import Path

import pytest

from support.corpora import write_run
from support.pipeline import ROOT, copy_project, run_workflow, start_workflow, write_config
from support.standins import configure, finish, give, give_everything, settings

TARGETS = ("--", "all", "features")
RECIPE = settings(Path())["systems"]["lfan"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """Folder of a finished run."""
    folder = tmp_path_factory.mktemp("finished")
    give_everything(folder)
    done = finish(ROOT, configure(folder), "all", "features")
    assert done.status == 0 and done.jobs["train_system"] == 2, done.text[-3000:]
    return folder


@pytest.fixture
def copied(finished, tmp_path) -> Path:
    """A copy to work on, with the same times."""
    shutil.copytree(finished, tmp_path / "copy")
    return tmp_path / "copy"


def changed(folder: Path) -> set[str]:
    """Results that a plan would make again for a reason of their own, below the results folder."""
    listed = run_workflow(ROOT, configure(folder), "--list-changes", "params", *TARGETS)
    assert listed.status == 0, listed.text[-3000:]
    prefix = f"{folder}/results/"
    return {line.removeprefix(prefix) for line in listed.text.splitlines() if line.startswith(prefix)}


def assert_nothing_to_do(folder: Path, **changes) -> None:
    outcome = run_workflow(ROOT, configure(folder, **changes), "-n", *TARGETS)
    assert outcome.status == 0 and outcome.nothing_to_do, outcome.text[-3000:]


def replace_middle(path: Path) -> None:
    """Change one byte in the middle; size and time of change stay."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    replace(path, bytes(content))


def replace(path: Path, content: bytes) -> None:
    """Put other content of the same size in place, as unzip and rsync -a do: with an old time of change."""
    before = path.stat()
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)


def test_records_say_nothing_of_this_machine(finished):
    """Names of results hold below any folder; of given files there is a hash alone."""
    root = finished / "results/.snakemake/metadata"
    records = [json.loads(path.read_text()) for path in root.rglob("*") if path.is_file()]
    assert len(records) > 80
    assert str(finished) not in json.dumps(records) and "corpus/a.mp4" not in json.dumps(records)
    name = base64.urlsafe_b64encode(b"media/a/frames.parquet").decode()
    assert (root / name).is_file()


def test_a_second_plan_makes_nothing(finished):
    assert_nothing_to_do(finished)


def test_each_given_file_is_known_by_its_content(copied):
    """One of each kind changes without a trace in size and time; what reads it is made again, for that reason, and nothing else."""
    for name in (
        "corpus/a.mp4",
        "external/c.npy",
        "models/resnet.pth",
        "models/face.pth",
        "sample.txt",
    ):
        replace_middle(copied / name)
    labels = copied / "corpus/VA_Estimation_Challenge/Train_Set/b.txt"
    replace(labels, labels.read_bytes().replace(b"0.2", b"0.3"))
    video_a = {
        "media/a/frames.parquet",
        "media/a/audio.flac",
        "faces/a/detections.parquet",
        "crops/arcface112/a.arrow",
        "faces/sheets/a.jpg",  # shows a whole frame
        "bodies/a.parquet",
    }
    others = {
        "labels/va.parquet",
        *(f"features/import.net/{name}" for name in ("c.npy", "valid/c.npy", "reports/c.json")),
        *(f"features/embed.face/{part}{name}.npy" for name in "abcd" for part in ("", "valid/")),
        "features/embed.face/about.json",
        *(
            f"runs/lfan/multimodal/{target}/fold0/{name}"
            for target in ("valence", "arousal")
            for name in ("model.safetensors", "history.csv", "stats.json", "run.json")
        ),
        "submissions/abaw2/lfan/multimodal/va.json",
    }
    found = changed(copied)
    # Predictions use the recipe of their training, but read no initial weights.
    assert found == video_a | others


def test_files_for_all_videos_concern_all_videos(copied):
    """Another detector under the same name: every detection is made again, with one video more as well."""
    for name in ("models/buffalo_s/w600k_mbf.onnx", "models/vggish.pth"):
        replace_middle(copied / name)
    overrides = copied / "overrides.csv"
    replace(overrides, overrides.read_bytes().replace(b"a,0,1", b"a,0,2"))
    replace_middle(copied / "openpose/b/1_keypoints.json")
    expected = {
        *(f"faces/{name}/{table}.parquet" for name in "abcd" for table in ("detections", "persons")),
        *(f"features/vggish128/{part}{name}.npy" for name in "abcd" for part in ("", "valid/")),
        "features/vggish128/about.json",
        "bodies/b.parquet",
    }
    assert changed(copied) == expected
    give(copied / "corpus/e.mp4", "video e")
    give(copied / "openpose/e/1_keypoints.json", "body e")
    give(copied / "external/e.npy", "vectors e")
    with (copied / "corpus/Valence_Arousal_Estimation_Challenge_test_set_release.txt").open("a") as names:
        names.write("e\n")
    assert run_workflow(ROOT, configure(copied), "-n", *TARGETS).jobs["detect_faces"] == 5


def test_time_stamps_of_given_files_do_not_count(copied):
    for path in (copied / "corpus", copied / "models", copied / "external", copied / "openpose"):
        for each in [path, *path.rglob("*")]:
            os.utime(each)
    for name in ("overrides.csv", "sample.txt"):
        os.utime(copied / name)
    assert_nothing_to_do(copied)


def test_given_files_can_be_moved(copied):
    """Whatever they are called by the configuration."""
    moved = copied / "elsewhere"
    moved.mkdir()
    for name in ("corpus", "models", "external", "openpose", "overrides.csv", "sample.txt"):
        (copied / name).rename(moved / name)
    changes = settings(moved) | {"results_dir": str(copied / "results")}
    outcome = run_workflow(ROOT, write_config(copied / "moved.yaml", changes), "-n", *TARGETS)
    assert outcome.nothing_to_do, outcome.text[-3000:]


def test_results_can_be_moved_and_named_in_another_way(copied):
    (copied / "results").rename(copied / "kept")
    assert_nothing_to_do(copied, results_dir=str(copied / "kept"))
    assert_nothing_to_do(copied, results_dir=os.path.relpath(copied / "kept", ROOT))


def test_results_of_unknown_origin_are_made_again_unless_accepted(copied):
    """Results of another program, of a copy without its records: they are not believed."""
    records = copied / "results/.snakemake"
    name = base64.urlsafe_b64encode(b"faces/a/detections.parquet").decode()
    (records / "metadata" / name).unlink()
    assert changed(copied) == {"faces/a/detections.parquet"}
    shutil.rmtree(records)
    everything = run_workflow(ROOT, configure(copied), "-n", *TARGETS)
    assert everything.jobs["decode_frames"] == 4 and everything.jobs["train_system"] == 2
    accepted = run_workflow(ROOT, configure(copied), "--touch", *TARGETS)
    assert accepted.status == 0, accepted.text[-3000:]
    assert_nothing_to_do(copied)


def test_records_of_one_file_can_be_dropped(copied):
    path = copied / "results/faces/a/detections.parquet"
    outcome = run_workflow(ROOT, configure(copied), "--cleanup-metadata", str(path))
    assert outcome.status == 0, outcome.text[-3000:]
    assert changed(copied) == {"faces/a/detections.parquet"}


def test_a_result_that_nobody_needs_any_more_may_be_deleted(copied):
    shutil.rmtree(copied / "results/crops/arcface112")
    assert_nothing_to_do(copied)


def test_two_checkouts_share_what_they_know_of_one_folder(finished, tmp_path):
    """A second checkout with the same recipe has nothing to do; with another one it trains."""
    second = copy_project(tmp_path / "second")
    same = run_workflow(second, configure(finished), "-n", *TARGETS)
    assert same.nothing_to_do, same.text[-3000:]
    other = RECIPE | {"recipe": settings(finished)["systems"]["lfan"]["recipe"] | {"epochs": 3}}
    outcome = run_workflow(second, configure(finished, "other.yaml", systems={"lfan": other}), "-n", *TARGETS)
    assert outcome.jobs["train_system"] == 2 and "embed_crops" not in outcome.jobs, outcome.text[-3000:]


def test_weights_that_were_given_count_with_their_run_folder(copied):
    folder = copied / "given runs/lfan/multimodal/valence/fold0"
    write_run(folder, system="lfan", variant="multimodal", target="valence", mode="corrected", recipe={"window": 30})
    give(folder / "stats.json", "{}")
    system = {"variants": ["multimodal"], "targets": ["valence"], "trained": str(copied / "given runs")}
    config = configure(copied, "given.yaml", results_dir=str(copied / "own"), systems={"lfan": system})
    assert finish(ROOT, config, "predictions").jobs["predict_system"] == 2
    folder.parents[3].rename(copied / "moved runs")
    moved = system | {"trained": str(copied / "moved runs")}
    config = configure(copied, "given.yaml", results_dir=str(copied / "own"), systems={"lfan": moved})
    assert run_workflow(ROOT, config, "-n", "--", "predictions").nothing_to_do
    weights = copied / "moved runs/lfan/multimodal/valence/fold0/model.safetensors"
    replace(weights, weights.read_bytes()[:-1] + b"\x3f")
    assert run_workflow(ROOT, config, "-n", "--", "predictions").jobs["predict_system"] == 2


def test_images_of_the_organisers_count_by_content(tmp_path):
    give_everything(tmp_path)
    for trial in "abcd":
        give(tmp_path / f"official/cropped_aligned/{trial}/00001.jpg", f"image {trial}")
    changes = {
        "faces": {"source": "official", "official_root": str(tmp_path / "official")},
        "features": {"vggish_weights": "seeded"},
    }
    assert finish(ROOT, configure(tmp_path, **changes), "faces").jobs["pack_official"] == 4
    give(tmp_path / "official/cropped_aligned/b/00001.jpg", "other")
    give(tmp_path / "official/cropped_aligned/c/00002.jpg", "one more")
    listed = run_workflow(ROOT, configure(tmp_path, **changes), "--list-changes", "params", "--", "faces").text
    found = {
        line.removeprefix(f"{tmp_path}/results/") for line in listed.splitlines() if line.startswith(str(tmp_path))
    }
    tables = {f"faces/{name}/{table}.parquet" for name in "bc" for table in ("persons", "detections")}
    assert found == tables | {f"crops/arcface112/{name}.arrow" for name in "bc"}


def test_a_folder_that_is_not_there_yet_can_be_planned(tmp_path):
    give_everything(tmp_path)
    outcome = run_workflow(ROOT, configure(tmp_path), "-n", *TARGETS)
    assert outcome.status == 0 and outcome.jobs["decode_frames"] == 4
    assert [path.name for path in (tmp_path / "results").iterdir()] == [".snakemake"]
    memory = tmp_path / "results/.snakemake/contents.jsonl"
    read = {json.loads(line)[0] for line in memory.read_text().splitlines()} if memory.exists() else set()
    assert {Path(path).relative_to(tmp_path).parts[0] for path in read} <= {"models"}, (
        "models, whose hashes are recorded with weights, are read at once; data when something is to be compared"
    )


def test_a_given_file_that_cannot_be_read_is_named(copied):
    (copied / "overrides.csv").unlink()
    (copied / "overrides.csv").symlink_to("overrides.csv")
    outcome = run_workflow(ROOT, configure(copied), "-n", *TARGETS)
    assert outcome.status != 0 and "overrides.csv" in outcome.text and "Traceback" not in outcome.text


SUBMIT = """#!/bin/sh
bash "$1" >"$1.log" 2>&1 &
echo $!
"""
WAIT = """    import pathlib, time
    here = pathlib.Path({folder!r})
    (here / "begun").touch()
    while not (here / "go").exists():
        time.sleep(0.05)
"""


@pytest.fixture
def waiting(request, tmp_path):
    """A project, its configuration and its run, which has begun: the first of two jobs waits for the file ``go``."""
    project = copy_project(tmp_path / "project")
    give_everything(tmp_path)
    config = configure(tmp_path)
    insert(project / "scripts/list_trials.py", WAIT.format(folder=str(tmp_path)))
    options = []
    if getattr(request, "param", "") == "cluster":
        give(tmp_path / "submit", SUBMIT).chmod(0o755)
        options = ["--executor", "cluster-generic", "--cluster-generic-submit-cmd", str(tmp_path / "submit")]
        options += ["--jobs", "1", "--seconds-between-status-checks", "1"]
    targets = ("--prioritize", "list_trials", "--", "list_trials", str(tmp_path / "results/media/a/frames.parquet"))
    with start_workflow(project, config, *options, *targets, cores=1) as process:
        deadline = time.monotonic() + 120
        while not (tmp_path / "begun").exists():
            assert process.poll() is None and time.monotonic() < deadline, process.communicate()[0]
            time.sleep(0.05)
        try:
            yield project, config, process
        finally:
            (tmp_path / "go").touch()


def insert(script: Path, text: str) -> None:
    """Put ``text`` at the head of a script's block."""
    head, block = script.read_text().split("    from pathlib import Path\n")
    script.write_text(f"{head}{text}    from pathlib import Path\n{block}")


def test_one_run_writes_at_a_time(waiting, tmp_path):
    """Whatever it writes. A lock of a run that is no more is removed by hand."""
    _, config, process = waiting
    target = ("--", str(tmp_path / "results/corpus/members/va/fold0/trials.parquet"))
    refused = run_workflow(ROOT, config, *target)
    assert refused.status != 0 and f"{tmp_path / 'results'}: another run (process " in refused.text, refused.text
    assert "snakemake --unlock" in refused.text and "Traceback" not in refused.text
    assert f"process {process.pid} on {socket.gethostname()}, of {getpass.getuser()} since 20" in refused.text
    assert "does not run any more" not in refused.text
    assert run_workflow(ROOT, config, "-n", *target).status == 0, "a plan writes nothing"
    process.kill()
    process.wait()
    refused = run_workflow(ROOT, config, *target)
    assert refused.status != 0 and "That process does not run any more" in refused.text
    assert run_workflow(ROOT, config, "--unlock").status == 0
    assert run_workflow(ROOT, config, *target).status == 0
    assert not (tmp_path / "results/.snakemake/locks").exists()


@pytest.mark.parametrize("waiting", ["local", "cluster"], indirect=True)
def test_a_job_whose_code_changed_since_the_plan_does_not_run(waiting, tmp_path):
    """Not either where a job reads the rules again, as on a cluster."""
    project, _, process = waiting
    insert(project / "scripts/decode_frames.py", "    print('changed')\n")
    (tmp_path / "go").touch()
    text = process.communicate(timeout=180)[0]
    assert process.returncode != 0
    log = (tmp_path / "results/logs/decode_frames/a.log").read_text()
    assert "decode_frames.py: it, or code that it uses, has changed since this run was planned. Run again." in log, text
    assert "changed\n" not in log.splitlines(keepends=True)
    assert (tmp_path / "results/corpus/trials.parquet").is_file(), "the job before was still the planned one"


def test_a_job_runs_the_code_of_the_copy_that_planned_it(tmp_path):
    """Whatever is installed in the environment: here, the original of the copy."""
    project = copy_project(tmp_path / "project")
    give_everything(tmp_path)
    module = project / "scripts/wildaffect/tables.py"
    head, body = module.read_text().split("def write_table(", 1)
    signature, block = body.split('"""', 1)
    doc, rest = block.split('"""\n', 1)
    module.write_text(
        f'{head}def write_table({signature}"""{doc}"""\n    raise RuntimeError("code of the copy")\n{rest}'
    )
    outcome = run_workflow(project, configure(tmp_path), "--", str(tmp_path / "results/corpus/trials.parquet"))
    assert outcome.status != 0 and "RuntimeError: code of the copy" in outcome.text, outcome.text[-3000:]
