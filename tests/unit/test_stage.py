"""Jobs: what they print goes to the log, mistakes are told in one line, and half-written files never appear."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.pipeline import ROOT
from wildaffect.errors import InputError
from wildaffect.files import atomic, sha256
from wildaffect.job import check_interpreter
from wildaffect.provenance import code_fingerprint

PLANNED = f"list_files.py {code_fingerprint('list_files.py')}"


def job(tmp_path: Path, body: str, threads: int = 1, planned: str = PLANNED) -> subprocess.CompletedProcess:
    """Run ``body`` inside the stage block in a process of its own, as the script of a copy of the project."""
    indented = "".join(f"    {line}\n" for line in body.splitlines())
    log = str(tmp_path / "logs/job.log")
    script = tmp_path / "copy/scripts/list_files.py"
    script.parent.mkdir(parents=True, exist_ok=True)
    script.write_text(f"from wildaffect.job import stage\nwith stage({log!r}, {threads}, {planned!r}):\n{indented}")
    # Without it the folder of the script would come first.
    environment = os.environ | {"PYTHONSAFEPATH": "1", "PYTHONPATH": str(ROOT / "scripts")}
    return subprocess.run([sys.executable, script], capture_output=True, text=True, cwd=tmp_path, env=environment)


def test_everything_printed_is_in_the_log(tmp_path):
    done = job(tmp_path, "import os\nprint('from python')\nos.system('echo from a program >&2')")
    text = (tmp_path / "logs/job.log").read_text()
    assert done.returncode == 0 and done.stdout == ""
    assert "from python" in text and "from a program" in text and "done in" in text


def test_a_mistake_is_one_line_without_traceback(tmp_path):
    done = job(tmp_path, "from wildaffect.errors import InputError\nraise InputError('x.txt: wrong. Do this.')")
    assert done.returncode == 1
    assert done.stderr == "wildaffect: x.txt: wrong. Do this.\n"
    assert "Traceback" not in (tmp_path / "logs/job.log").read_text()


def test_an_unexpected_error_keeps_its_traceback_in_the_log(tmp_path):
    done = job(tmp_path, "1 / 0")
    assert done.returncode == 1 and "job.log" in done.stderr
    assert "ZeroDivisionError" in (tmp_path / "logs/job.log").read_text()


def test_other_code_than_planned_does_not_run(tmp_path):
    """The message tells the two copies of the project apart."""
    done = job(tmp_path, "print('it ran')", planned="list_files.py 0123456789abcdef")
    assert done.returncode == 1
    assert f"{tmp_path / 'copy/scripts/list_files.py'}: this code was planned" in done.stderr
    assert f"but the job imports {ROOT / 'scripts'}." in done.stderr
    assert "it ran" not in (tmp_path / "logs/job.log").read_text()


def test_modules_picked_at_run_time_are_part_of_the_planned_code(tmp_path):
    module = "wildaffect.systems.lfan"
    fingerprint = code_fingerprint("predict_system.py", [module])
    assert job(tmp_path, "pass", planned=f"predict_system.py {module} {fingerprint}").returncode == 0
    assert job(tmp_path, "pass", planned=f"predict_system.py {fingerprint}").returncode == 1


def test_threads_reach_the_numeric_libraries(tmp_path):
    job(tmp_path, "import cv2, torch\nprint('threads', cv2.getNumThreads(), torch.get_num_threads())", threads=1)
    assert "threads 1 1" in (tmp_path / "logs/job.log").read_text()


def test_memory_of_images_is_used_again(tmp_path):
    """Five buffers of 2 MiB, taken and given back together: the system clears no page for them after the first time."""
    body = (
        "import resource\nimport numpy as np\n"
        "def take():\n    for buffer in [np.empty(2 << 20, np.uint8) for _ in range(5)]: buffer[::4096] = 1\n"
        "def faults(): return resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "take()\nbefore = faults()\nfor _ in range(20): take()\nprint('faults', faults() - before)"
    )
    assert job(tmp_path, body).returncode == 0
    faults = int((tmp_path / "logs/job.log").read_text().split("faults ")[1].split()[0])
    assert faults < 1000  # 40,852 without


def test_atomic_leaves_the_old_file_when_writing_fails(tmp_path):
    path = tmp_path / "new folder" / "a.csv"
    with atomic(path) as partial:
        partial.write_text("old")
        assert partial.suffix == ".csv" and not path.exists()
    with pytest.raises(ZeroDivisionError), atomic(path) as partial:
        partial.write_text("half")
        1 / 0  # noqa: B018
    assert path.read_text() == "old"
    assert [entry.name for entry in path.parent.iterdir()] == ["a.csv"]


def test_sha256_is_the_published_one(tmp_path):
    (tmp_path / "abc").write_bytes(b"abc")
    assert sha256(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@pytest.mark.parametrize("path", ["/a b/bin/python", "/a(1)/bin/python", "/a&b/bin/python", "/it's/bin/python"])
def test_an_interpreter_that_no_shell_can_start_is_refused(path):
    with pytest.raises(InputError, match="no job can be started with this interpreter"):
        check_interpreter(path)
    check_interpreter("/home/ü.x-y_z/.venv/bin/python3.11")
