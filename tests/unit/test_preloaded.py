"""Jobs that start as copies of one process: each is a process of its own, and runs what was planned or not at all."""

import importlib
import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest
import snakemake.api  # noqa: F401  # its parts cannot be imported before it

from support.pipeline import ROOT

sys.path.insert(0, str(ROOT / "workflow" / "rules"))
starter = importlib.import_module("starter")


@pytest.fixture(scope="module")
def copies():
    """Starts jobs; one process for all tests of this file."""
    started = starter.Starter()
    yield started
    started.close()


@pytest.fixture
def run(copies, tmp_path):
    """Run lines of Python as a job, which imports modules by name; what it wrote to the file ``said``."""

    def run_lines(body: str, *modules: str, record=None) -> str:
        script = tmp_path / "job.py"
        script.write_text(f"said = open({str(tmp_path / 'said')!r}, 'w')\n{body}")
        copies.run(str(script), str(script), list(modules), record)
        return (tmp_path / "said").read_text()

    return run_lines


def test_a_job_is_the_main_module_of_a_process_of_its_own(run, tmp_path):
    body = "import os, sys\nprint(__name__, sys.argv, sys.modules['__main__'].said is said, os.getpid(), file=said)"
    first, second = run(body).split(), run(body).split()
    assert first[:3] == ["__main__", f"['{tmp_path / 'job.py'}']", "True"]
    assert first[3] != second[3] and os.getpid() not in {int(first[3]), int(second[3])}


def test_what_a_job_changes_is_its_own(run):
    run("import os, json, sys\nos.environ['MINE'] = 'x'\njson.mine = 1\nsys.path.append('mine')\nos.chdir('/')")
    body = "import os, json, sys\nprint('MINE' in os.environ, hasattr(json, 'mine'), 'mine' in sys.path, os.getcwd() == '/', file=said)"
    assert run(body).split() == ["False"] * 4


def test_libraries_are_loaded_before_a_job_begins(run):
    assert run("import sys\nprint('colorsys' in sys.modules, file=said)", "colorsys") == "True\n"
    assert run("import sys\nprint('tabnanny' in sys.modules, file=said)\nif 0: import tabnanny") == "True\n"
    assert run("import os\nprint(os.environ['OMP_NUM_THREADS'], file=said)") == "1\n"
    assert run("print('began', file=said)", "no.such.module") == "began\n"


def test_what_one_job_imports_on_its_way_the_next_ones_find_loaded(run):
    body = "import sys\nprint('nturl2path' in sys.modules, file=said)\n"
    assert run(f"{body}__import__('nturl2path')") == "False\n"
    assert any(run(body) == "True\n" for _ in range(20))


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("1 / 0", 1), ("raise SystemExit(3)", 3), ("raise SystemExit('words')", 1), ("this is no Python", 1),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", -9),
    ],
)  # fmt: skip
def test_a_job_that_fails_says_how_and_stops_no_other(run, body, status):
    with pytest.raises(subprocess.CalledProcessError) as failed:
        run(body)
    assert failed.value.returncode == status
    assert run("print('next', file=said)") == "next\n"


def test_jobs_run_at_the_same_time(copies, tmp_path):
    """Each waits for what the other writes."""

    def wait_for(mine: str, other: str) -> None:
        script = tmp_path / f"{mine}.py"
        script.write_text(
            f"import os, time\nfrom pathlib import Path\nPath({str(tmp_path / mine)!r}).touch()\n"
            f"end = time.time() + 60\nwhile not os.path.exists({str(tmp_path / other)!r}):\n"
            "    assert time.time() < end\n    time.sleep(0.01)"
        )
        copies.run(str(script), str(script), [])

    with ThreadPoolExecutor() as threads:
        list(threads.map(wait_for, "ab", "ba"))


def test_a_job_is_measured(run):
    from snakemake.benchmark import BenchmarkRecord

    record = BenchmarkRecord()
    run("import time\nx = bytearray(50_000_000)\ntime.sleep(1.5)", record=record)  # looked at twice a second
    assert 1.5 < record.running_time < 60 and record.max_rss > 50


def test_a_job_that_is_over_before_anybody_looks_is_measured(run):
    from snakemake.benchmark import BenchmarkRecord

    record = BenchmarkRecord()
    run("import time\nx = b'1' * 400_000_000\nwhile time.process_time() < 0.3: pass", record=record)
    written = json.loads(record.to_json(extended_fmt=False))
    assert 0.3 <= written["cpu_time"] < 0.3 + record.running_time and written["max_rss"] > 400_000_000 / 2**20
    small = BenchmarkRecord()
    run("", record=small)
    assert small.cpu_time < 0.3 and small.max_rss < 400_000_000 / 2**20


def test_jobs_of_a_process_that_is_killed_fail_and_others_begin_a_new_one(tmp_path):
    copies = starter.Starter()
    script = tmp_path / "job.py"
    script.write_text("import os, signal\nos.kill(os.getppid(), signal.SIGKILL)\nimport time\ntime.sleep(0.2)")
    with pytest.raises(subprocess.CalledProcessError):
        copies.run(str(script), str(script), [])
    script.write_text("")
    copies._process.wait()
    copies.run(str(script), str(script), [])
    copies.close()


def test_code_that_is_edited_while_jobs_run_is_not_run(tmp_path):
    """Neither what was loaded before nor what the files say now."""
    scripts = tmp_path / "scripts"
    shutil.copytree(ROOT / "scripts", scripts, ignore=shutil.ignore_patterns("__pycache__"))
    planned = subprocess.run(
        [sys.executable, "-c", "from wildaffect.provenance import code_fingerprint as f; print(f('list_files.py'))"],
        env=os.environ | {"PYTHONPATH": str(scripts)}, capture_output=True, text=True, check=True,
    ).stdout.strip()  # fmt: skip
    job = tmp_path / "job.py"
    code, log = f"list_files.py {planned}", str(tmp_path / "log")
    body = f"from wildaffect.job import stage\nwith stage({log!r}, 1, {code!r}):\n    print('it ran')"
    job.write_text(f"__file__ = {str(scripts / 'list_files.py')!r}\n{body}")
    request = json.dumps({"job": 0, "file": str(job), "script": str(scripts / "list_files.py"), "modules": []})
    command = [sys.executable, "-P", "-m", "wildaffect.preloaded"]
    with subprocess.Popen(
        command, env=os.environ | {"PYTHONPATH": str(scripts)}, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip

        def status() -> int:
            process.stdin.write(request + "\n")
            process.stdin.flush()
            process.stdout.readline()
            return json.loads(process.stdout.readline())["status"]

        source = scripts / "list_files.py"
        text = source.read_text()
        assert status() == 0 and "it ran" in Path(log).read_text()
        source.write_text(text + "# a comment\n")
        assert status() == 0
        source.write_text(text + "print('another')\n")
        assert status() == 1 and "it ran" not in Path(log).read_text()
        source.write_text(text)
        assert status() == 0
        process.stdin.close()
        assert "has changed since this run was planned" in process.stderr.read()


def test_only_jobs_of_one_thread_in_the_workflows_own_environment_are_copies(monkeypatch):
    started = []
    script = SimpleNamespace(get_path_or_uri=lambda secret_free: "/x/detect_faces.py")
    monkeypatch.setattr(starter.PythonScript, "execute_script", lambda self, *_: started.append("anew"))
    monkeypatch.setattr(starter.Starter, "run", lambda self, *arguments: started.append(arguments))
    starter.start_jobs_as_copies()
    usual = {
        "container_img": None, "conda_env": None, "env_modules": None, "threads": 1, "resources": {"gpu": 0},
        "path": script, "params": SimpleNamespace(code="detect_faces.py package.module 0123"), "bench_record": None,
    }  # fmt: skip
    for other in (
        {},
        {"conda_env": "x"},
        {"container_img": "x"},
        {"env_modules": "x"},
        {"threads": 2},
        {"resources": {"gpu": 1}},
    ):
        starter.PythonScript.execute_script(SimpleNamespace(**usual | other), "file.py")
    assert started == [("file.py", "/x/detect_faces.py", ["package.module"], None), *["anew"] * 5]
