"""Nothing leaves the machine: no import, network or command opens an internet socket."""

import json
import signal
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from support.faces import write_detector
from support.offline import environment
from wildaffect.cli import COMMANDS

TRACK = ["--task", "va", "--edition", "abaw2"]

IMPORT_ALL = """
import importlib, pkgutil, wildaffect
for module in pkgutil.walk_packages(wildaffect.__path__, "wildaffect."):
    importlib.import_module(module.name)
"""

# The look-ups of ONNX Runtime come from a thread of its own, a while after the first session.
USE_A_NETWORK = """
import sys, time
from pathlib import Path
from wildaffect.sessions import bind_session
bind_session(Path(sys.argv[1]), Path(sys.argv[1]), "cpu", 1)
time.sleep(2)
"""

RUN_COMMANDS = """
import json, sys
from wildaffect.cli import main
for arguments, expected in json.loads(sys.argv[1]):
    status = main(arguments)
    assert status == expected, (arguments, status)
"""


@pytest.fixture
def offline(tmp_path):
    """Runs Python without internet and with a home folder of its own."""
    home = tmp_path / "home"
    home.mkdir()

    def run(code, *arguments, **changes):
        command = [sys.executable, "-m", "support.offline", sys.executable, "-c", code, *map(str, arguments)]
        variables = environment(tmp_path / "site", HOME=str(home), **changes)
        variables.pop("ORT_DISABLE_TELEMETRY", None)
        return subprocess.run(command, capture_output=True, text=True, env=variables, cwd=tmp_path)

    return run


@pytest.mark.parametrize("family", ["AF_INET", "AF_INET6"])
def test_the_watch_sees_sockets_of_children_and_lets_the_rest_pass(offline, family):
    code = (
        "import socket, subprocess, sys\nsocket.socketpair()\n"
        f"code = 'import socket; socket.socket(socket.{family}, socket.SOCK_DGRAM)'\n"
        "sys.exit(-subprocess.run([sys.executable, '-c', code]).returncode)"
    )
    assert offline(code).returncode == signal.SIGSYS


def test_no_import_opens_a_socket(offline):
    done = offline(IMPORT_ALL)
    assert done.returncode == 0, done.stderr


def test_the_networks_of_the_detector_tell_nobody(offline, tmp_path):
    model = write_detector(tmp_path / "det.onnx", 9)
    done = offline(USE_A_NETWORK, model)
    assert done.returncode == 0, done.stderr
    assert not list((tmp_path / "home").rglob("*")), "an identity of this machine was stored"


def test_the_switch_is_set_before_anything_of_the_package_is_imported(offline):
    done = offline(
        "import wildaffect, os, sys; print(os.environ['ORT_DISABLE_TELEMETRY'], 'onnxruntime' in sys.modules)"
    )
    assert done.stdout.split() == ["1", "False"]


def test_no_command_opens_a_socket(offline, tmp_path):
    table = pa.table(
        {"trial": ["a"] * 5, "frame": np.arange(5), "valence": np.linspace(0, 1, 5), "arousal": np.linspace(1, 0, 5)}
    )
    pq.write_table(table, tmp_path / "p.parquet")
    videos = tmp_path / "videos"
    videos.mkdir()
    (videos / "a.mp4").write_bytes(b"x")
    calls = [
        (["score", "p.parquet", "p.parquet", *TRACK], 0),
        (["compare", "p.parquet", "p.parquet", "p.parquet", *TRACK, "--resamples", "2"], 0),
        (["editions"], 0),
        (["features"], 0),
        (["submit", "p.parquet", "out", *TRACK], 0),
        (["label-files", "p.parquet", "p.parquet", "files"], 2),
        (["validate-submission", "out", *TRACK, "--sample", "out"], 0),
        (["summary", "results"], 2),
        (["run", "videos/a.mp4"], 2),  # its jobs are those of the workflow
        (["status", "results"], 2),
        (["init", "new"], 0),
        (["doctor"], 0),
        (["models"], 0),
        (["new-corpus", "videos"], 0),
        (["new-system", "mine", "--into", "package"], 0),
        (
            ["check-system", "none"],
            2,
        ),  # its trainings are those of the workflow, which tests/workflow/test_faults.py watches
    ]
    known = {add.__name__.removeprefix("add_").replace("_", "-") for add in COMMANDS}
    assert {arguments[0] for arguments, _ in calls} == known, "a command is not watched"
    done = offline(RUN_COMMANDS, json.dumps(calls))
    assert done.returncode == 0, done.stderr
