"""Writing files: nothing of other people is replaced, permissions follow the umask, full and read-only disks are told in words."""

import json
import os
import stat
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from support.disks import on_disk
from wildaffect.cli import main
from wildaffect.corpus.trials import Trial, trials_table
from wildaffect.errors import InputError
from wildaffect.files import atomic, disk_full
from wildaffect.systems.skeleton import write_skeleton
from wildaffect.weights import save_weights
from wildaffect.written import SEAL, check_replaceable, record_of, write_folder

VARIABLES = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
TRACK = ["--task", "va", "--edition", "abaw1"]


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """The command line in a folder with predictions of one held-out trial; gives its status and messages."""
    monkeypatch.chdir(tmp_path)
    table = pa.table({"trial": ["a"] * 3, "frame": range(3), "valence": [0.1, 0.2, 0.3], "arousal": [0.0, 0.1, 0.2]})
    pq.write_table(table, "p.parquet")
    pq.write_table(pa.table(table.drop_columns("arousal")).append_column("arousal", pa.array([0.5] * 3)), "q.parquet")
    pq.write_table(trials_table([Trial("a", "a", "a.mp4", partition_va="validation")]), "trials.parquet")

    def call(*arguments):
        status = main(list(arguments))
        return status, capsys.readouterr().err

    return call


COMMANDS = {
    "submit": lambda table, output: ["submit", table, output, *TRACK],
    "label-files": lambda table, output: ["label-files", table, "trials.parquet", output],
}


def tree(folder):
    """Content of all files by path."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("target", ["labels", "labels/"])
def test_a_folder_of_annotations_is_not_replaced(run, tmp_path, command, target):
    labels = tmp_path / "labels"
    labels.mkdir()
    (labels / "a.txt").write_text("valence,arousal\n0.1,0.2\n")
    before = tree(tmp_path)
    status, message = run(*COMMANDS[command]("p.parquet", target))
    assert status == 2 and "1 of its files were changed or not written by this command, first a.txt" in message
    assert "--overwrite" in message and tree(tmp_path) == before
    assert run(*COMMANDS[command]("p.parquet", target), "--overwrite")[0] == 0
    assert "a.txt" not in tree(labels) or tree(labels)["a.txt"] != before["labels/a.txt"]


@pytest.mark.parametrize("command", COMMANDS)
def test_own_results_are_replaced(run, tmp_path, command):
    assert run(*COMMANDS[command]("p.parquet", "out"))[0] == 0
    first = tree(tmp_path / "out")
    assert run(*COMMANDS[command]("q.parquet", "out"))[0] == 0
    assert tree(tmp_path / "out").keys() == first.keys() and tree(tmp_path / "out") != first
    (tmp_path / "out" / next(iter(first))).unlink()
    assert run(*COMMANDS[command]("p.parquet", "out"))[0] == 0
    assert tree(tmp_path / "out") == first
    assert not list(tmp_path.glob(".*"))


def edit(path):
    path.write_text(path.read_text().replace("0.1", "0.9"))


def damage_record(path):
    record = json.loads(path.read_text())
    path.write_text(json.dumps(record | {"note": "mine"}))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda out: edit(next(out.rglob("a.txt"))), "1 of its files were changed"),
        (lambda out: (out / "more.txt").write_text("x"), "first more.txt"),
        (lambda out: (out / "thesis.docx").write_text("x"), "is not a submission folder"),
        (lambda out: (out / "link.txt").symlink_to("/etc/hostname"), "is not a submission folder"),
        (lambda out: damage_record(record_of(out)), "out.json: exists, and was changed"),
        (lambda out: record_of(out).write_text("{}"), "out.json: exists, and was changed"),
        (lambda out: record_of(out).write_text("[" * 10_000), "out.json: exists, and was changed"),
        (lambda out: record_of(out).unlink(), "1 of its files were changed or not written"),
    ],
)
@pytest.mark.parametrize("command", COMMANDS)
def test_results_that_somebody_changed_are_kept(run, tmp_path, command, change, named):
    assert run(*COMMANDS[command]("p.parquet", "out"))[0] == 0
    change(tmp_path / "out")
    before = tree(tmp_path)
    status, message = run(*COMMANDS[command]("q.parquet", "out"))
    assert status == 2 and named in message
    assert tree(tmp_path) == before


def test_a_foreign_record_stops_before_anything_is_written(run, tmp_path):
    (tmp_path / "out.json").write_text('{"files": {"a.txt": "%s"}}' % ("0" * 64))
    status, message = run(*COMMANDS["submit"]("p.parquet", "out"))
    assert status == 2 and "out.json: exists" in message and not (tmp_path / "out").exists()


def test_even_overwriting_keeps_what_is_no_text_and_follows_no_link(run, tmp_path):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.docx").write_text("years of work")
    (tmp_path / "link").symlink_to("home")
    before = tree(tmp_path)
    for target in ("home", "link", "p.parquet"):
        status, message = run(*COMMANDS["submit"]("q.parquet", target), "--overwrite")
        assert status == 2 and "choose another folder" in message
    assert tree(tmp_path) == before


@given(
    st.dictionaries(st.sampled_from("abc"), st.sampled_from(["x", "y"]), min_size=1),
    st.sampled_from("abcd"),
    st.one_of(st.none(), st.sampled_from(["x", "y", "z"])),
)
def test_whatever_differs_from_the_record_is_found(tmp_path_factory, files, name, text):
    """A file removed is nothing lost; one changed or added is."""
    folder = tmp_path_factory.mktemp("f") / "out"
    write_folder(folder, {f"{key}.txt": value for key, value in files.items()}, {})
    path = folder / f"{name}.txt"
    if text is None:
        path.unlink(missing_ok=True)
    else:
        path.write_text(text)
    if text in (None, files.get(name)):
        check_replaceable(folder)
    else:
        with pytest.raises(InputError, match=f"first {name}.txt"):
            check_replaceable(folder)


def test_the_record_names_every_file_and_itself(tmp_path):
    record = write_folder(tmp_path / "out", {"b/x.txt": "abc", "a.txt": ""}, {"task": "va"})
    assert json.loads((tmp_path / "out.json").read_text()) == record
    assert list(record) == ["task", "files", SEAL]
    assert record["files"]["b/x.txt"] == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_a_failure_leaves_the_old_folder(tmp_path, monkeypatch):
    write_folder(tmp_path / "out", {"a.txt": "old"}, {})
    before = tree(tmp_path)
    monkeypatch.setattr("wildaffect.written._sealed", lambda content: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_folder(tmp_path / "out", {"a.txt": "new", "b.txt": "new"}, {}, overwrite=True)
    assert tree(tmp_path) == before


def test_other_commands_replace_nothing(run, tmp_path):
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "pyproject.toml").write_text("mine")
    with pytest.raises(InputError, match=r"pyproject\.toml exists and is not overwritten"):
        write_skeleton("mine", tmp_path / "package")
    videos = tmp_path / "videos"
    videos.mkdir()
    (videos / "a.mp4").write_bytes(b"x")
    (videos / "trials.csv").symlink_to("elsewhere.csv")  # a link that leads nowhere is a file of somebody, too
    assert run("new-corpus", "videos")[0] == 2
    assert (videos / "trials.csv").is_symlink() and tree(tmp_path / "package") == {"pyproject.toml": b"mine"}


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize(("mask", "expected"), [(0o022, 0o644), (0o027, 0o640), (0o077, 0o600)])
def test_permissions_follow_the_umask_whatever_writes(tmp_path, mask, expected):
    """SafeTensors' files, which have a checksum beside them, are written with 0600; the results of a whole run are in test_faults.py."""
    before = os.umask(mask)
    try:
        save_weights({"w": torch.zeros(2)}, tmp_path / "model.safetensors")
        write_folder(tmp_path / "out", {"sub/a.txt": "x"}, {})
        with atomic(tmp_path / "new" / "private.csv") as partial:
            partial.write_text("x")
            partial.chmod(0o600)
    finally:
        os.umask(before)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) == 5 and {mode(path) for path in files} == {expected}
    assert {mode(path) for path in tmp_path.rglob("*") if path.is_dir()} == {expected | (expected & 0o444) >> 2}


def test_long_names_have_room_for_the_temporary_one(tmp_path):
    path = tmp_path / f"{'é' * 125}.csv"
    with atomic(path) as partial:
        partial.write_text("x")
        assert partial.suffix == ".csv"
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
    with (
        pytest.raises(InputError, match="cannot be written: the name is too long"),
        atomic(tmp_path / f"{'a' * 256}.csv"),
    ):
        pass


# Every kind of writer, each with more than the disk has room for.
WRITERS = {
    "tables": """
from wildaffect.tables import write_table
import pyarrow as pa
write_table(out / "x.parquet", pa.table({"a": noise}), pa.schema([("a", pa.float64())]))
""",
    "weights": """
from wildaffect.weights import save_weights
import torch
save_weights({"w": torch.from_numpy(noise)}, out / "x.safetensors")
""",
    "checkpoints": """
from wildaffect.training.loop import Checkpoint, Progress
import torch
Checkpoint(out / "state").save(Progress(), model={"w": torch.from_numpy(noise)})
""",
    "features": """
from wildaffect.features.store import save_blocks
save_blocks(out / "x.npy", [noise], ())
""",
    "validity": """
from wildaffect.features.store import write_valid
write_valid(out / "x.npy", np.ones(10**6, bool))
""",
    "audio": """
from pathlib import Path
from wildaffect.media.audio import write_audio
from wildaffect.media.frames import write_frame_table
from support.media import Sound, Video, counted, write_media
sound = Sound(np.clip(noise[:96000], -1, 1).reshape(1, -1))
video = write_media(Path(sys.argv[2]) / "v.mkv", Video(np.arange(150) / 25, counted), sound)
write_frame_table(video, Path(sys.argv[2]) / "v.parquet")
write_audio(video, Path(sys.argv[2]) / "v.parquet", out / "x.flac")
""",
    "crops": """
from wildaffect.faces.crops import crop_writer
with crop_writer(out / "x.arrow", "lfan48", 48, "a") as append:
    for frame in range(200):
        append(frame, noise[:1000].tobytes())
""",
    "videos": """
import av
from wildaffect.files import atomic
with atomic(out / "x.mp4") as partial, av.open(str(partial), "w") as container:
    stream = container.add_stream("libx264", rate=25, options={"crf": "1"})
    stream.width = stream.height = 128
    images = (np.abs(noise[:128 * 128 * 3]) * 99).astype(np.uint8).reshape(128, 128, 3)
    for frame in range(20):
        container.mux(stream.encode(av.VideoFrame.from_ndarray(np.roll(images, frame), "rgb24")))
    container.mux(stream.encode())
""",
    "submissions": """
from wildaffect.written import write_folder
write_folder(out / "x", {"a.txt": "x" * 10**6}, {})
""",
    "texts": """
from wildaffect.files import atomic
with atomic(out / "x.html") as partial:
    partial.write_text("x" * 10**6)
""",
}  # fmt: skip
JOB = """
import sys
from pathlib import Path
from wildaffect.job import stage
from wildaffect.provenance import code_fingerprint
out = Path(sys.argv[1])
with stage(out / "logs/job.log", 1, "list_files.py " + code_fingerprint("list_files.py")):
    import numpy as np
    noise = np.random.default_rng(0).standard_normal(200_000)
"""


@pytest.mark.parametrize("kind", WRITERS)
def test_a_full_disk_is_told_and_nothing_half_written_stays(tmp_path, kind):
    """The log is on the same disk."""
    body = "".join(f"    {line}\n" for line in WRITERS[kind].strip().splitlines())
    script = tmp_path / "list_files.py"
    script.write_text(JOB + body)
    disk = tmp_path / "disk"
    (tmp_path / "given").mkdir()
    command = [sys.executable, str(script), str(disk), str(tmp_path / "given")]
    shell = ["sh", "-c", '"$@"; echo "status $?"; find "$0" -type f', str(disk), *command]
    done = on_disk(disk, "size=64k", shell, env=VARIABLES)
    assert "status 1\n" in done.stdout, done.stdout + done.stderr
    assert done.stderr.startswith("wildaffect: ") and "the disk is full. Free some space and run again" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout.splitlines()[1:] == [str(disk / "logs/job.log")]


def test_a_disk_without_room_for_a_log(tmp_path):
    script = tmp_path / "list_files.py"
    script.write_text(JOB + "    pass\n")
    done = on_disk(
        tmp_path / "disk", "nr_inodes=1", [sys.executable, str(script), str(tmp_path / "disk")], env=VARIABLES
    )
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert "the disk is full" in done.stderr


@pytest.mark.parametrize(
    ("options", "message"), [("size=4k,nr_inodes=2", "the disk is full"), ("ro", "the file system is read-only")]
)
def test_the_command_line_on_such_a_disk(run, tmp_path, options, message):
    command = ["submit", str(tmp_path / "p.parquet"), str(tmp_path / "disk" / "out"), *TRACK]
    done = on_disk(tmp_path / "disk", options, [sys.executable, "-m", "wildaffect.cli", *command], env=VARIABLES)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("wildaffect submit: ") and message in done.stderr and done.stderr.count("\n") == 1


def test_a_full_disk_is_known_by_number_text_and_cause():
    assert disk_full(OSError(28, "x")) == "the disk is full"
    assert disk_full(RuntimeError("I/O error: No space left on device (os error 28)")) == "the disk is full"
    assert disk_full(OSError(122, "x")) == "the disk quota is used up"
    outer = ValueError("cannot be read")
    outer.__cause__ = OSError(28, "x")
    assert disk_full(outer) == "the disk is full"
    assert disk_full(OSError(2, "x")) == disk_full(None) == ""


def test_an_interrupt_is_one_line(tmp_path):
    code = (
        "import sys\nfrom wildaffect import cli\n"
        "def stop(options): raise KeyboardInterrupt\n"
        "cli.run_editions = stop\nsys.exit(cli.main(['editions']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=VARIABLES)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "wildaffect editions: interrupted\n")


def test_an_interrupted_job_leaves_one_line_in_its_log(tmp_path):
    script = tmp_path / "list_files.py"
    script.write_text(
        JOB
        + "    import os, signal, time\n    signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        + "    os.kill(os.getpid(), signal.SIGINT)\n    time.sleep(9)\n"
    )
    done = subprocess.run([sys.executable, script, tmp_path], capture_output=True, text=True, env=VARIABLES)
    assert done.returncode == 130 and done.stderr == ""
    assert "Traceback" not in (text := (tmp_path / "logs/job.log").read_text()) and "interrupted after" in text


def test_a_reader_that_has_enough_is_no_error():
    command = f"{sys.executable} -m wildaffect.cli editions | true"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, env=VARIABLES)
    assert done.stderr == ""
