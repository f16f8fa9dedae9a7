"""The package as it is installed from a wheel, used in an empty folder without the checkout."""

import json
import os
import re
import signal
import subprocess
import sys
import sysconfig
import time
import zipfile
from fractions import Fraction
from pathlib import Path

import pytest

from support.media import Sound, Video, beep, counted, write_media
from support.pipeline import ROOT
from wildaffect.provenance import code_fingerprint

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

FINGERPRINTS = """
import json, wildaffect
from wildaffect.project import SCRIPTS
from wildaffect.provenance import code_fingerprint
names = sorted(path.name for path in SCRIPTS.glob("*.py"))
print(json.dumps([wildaffect.__file__, {name: code_fingerprint(name) for name in names}]))
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """The folder of commands of an environment that has the wheel, and sees the other packages of this one."""
    folder = tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    source = folder / "source"  # builds leave files beside the sources
    source.mkdir()
    for name in ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE", "config.yaml", "models.yaml"):
        (source / name).write_bytes((ROOT / name).read_bytes())
    for name in ("envs", "scripts", "workflow"):
        subprocess.run(["cp", "-r", str(ROOT / name), str(source)], check=True)
    subprocess.run(
        [*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(source)], check=True
    )
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder / "env")], check=True)
    (wheel,) = folder.glob("*.whl")
    python = folder / "env" / "bin" / "python"
    subprocess.run([*pip, "--python", str(python), "install", "--no-deps", str(wheel)], check=True, env=environment())
    (packages,) = (folder / "env" / "lib").glob("python*/site-packages")
    (packages / "others.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return folder / "env" / "bin"


def environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "WILDAFFECT_SHARED")}


def call(installed: Path, folder: Path, command: str, *arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [str(installed / command), *arguments], cwd=folder, env=environment(), capture_output=True, text=True, timeout=300
    )  # fmt: skip


def write_clip(path: Path, frames: int = 10) -> Path:
    return write_media(
        path,
        Video([index / 25 for index in range(frames)], counted, rate=Fraction(25)),
        Sound(beep(0.1, 0.4, 16_000)),
    )


def test_the_wheel_holds_the_workflow_and_nothing_of_the_checkout_alone(installed):
    (wheel,) = installed.parents[1].glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    tracked = subprocess.run(
        ["git", "ls-files", "workflow", "envs", "scripts/*.py"], cwd=ROOT, capture_output=True, text=True
    )
    expected = {name for name in tracked.stdout.split() if "/wildaffect/" not in name and (ROOT / name).is_file()}
    assert {f"wildaffect/project/{name}" for name in (*expected, "config.yaml", "models.yaml")} <= names
    assert not [name for name in names if name.endswith(".pyc") or name.startswith(("tests/", "benchmarks/"))]


def test_what_is_recorded_does_not_depend_on_where_the_package_lies(installed, tmp_path):
    done = call(installed, tmp_path, "python", "-c", FINGERPRINTS)
    where, found = json.loads(done.stdout)
    assert Path(where).is_relative_to(installed.parent)
    assert found == {path.name: code_fingerprint(path.name) for path in sorted((ROOT / "scripts").glob("*.py"))}


def test_a_video_becomes_a_page_and_one_more_video_runs_alone(installed, tmp_path):
    folder = tmp_path / "an empty folder"
    write_clip(folder / "in" / "a {talk} 'x'.mp4")
    done = call(installed, folder, "wildaffect", "run", "in", "--output", "out", "--cores", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    pages = dict(re.findall(r"^(page|videos) +(.+)$", done.stdout, re.MULTILINE))
    assert Path(pages["page"]) == folder / "out" / "results" / "report" / "index.html"
    assert [path.name for path in Path(pages["videos"]).iterdir()] == ["a (talk) 'x'.mp4"]
    assert Path(pages["page"]).stat().st_size > 10_000
    assert call(installed, folder, "wildaffect", "status", "out").stdout.splitlines()[0].endswith(")")
    # Plain Snakemake has nothing to do, from there and from another place of the package.
    again = call(installed, folder / "out", "python", "-m", "snakemake", "--cores", "2")
    assert "Nothing to be done" in again.stdout + again.stderr
    here = subprocess.run(
        [sys.executable, "-m", "snakemake", "--cores", "2"], cwd=folder / "out", capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT / "scripts")},
    )  # fmt: skip
    assert "Nothing to be done" in here.stdout + here.stderr
    write_clip(folder / "in" / "more.mp4", frames=12)
    one = call(installed, folder, "wildaffect", "run", "in", "--output", "out", "--dry-run")
    assert (
        re.findall(r"^(decode_frames|detect_faces|draw_overlay) +(\d+)$", one.stdout, re.MULTILINE)
        == [
            ("decode_frames", "1"),
            ("detect_faces", "1"),
            ("draw_overlay", "1"),
        ]
        * 2
    )  # before and after the list of jobs


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_is_continued_and_a_second_one_waits(installed, tmp_path, end):
    write_clip(tmp_path / "a.mp4")
    command = [str(installed / "wildaffect"), "run", "a.mp4", "--output", "out", "--cores", "1"]
    process = subprocess.Popen(command, cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, text=True)
    jobs = tmp_path / "out" / "results" / ".snakemake" / "jobs.json"
    while not jobs.exists():
        assert process.poll() is None
        time.sleep(0.1)
    second = call(installed, tmp_path, "wildaffect", "run", "a.mp4", "--output", "out")
    assert second.returncode == 2 and "a run is going on there" in second.stderr
    process.send_signal(end)
    output = process.communicate(timeout=120)[0]
    assert process.returncode == 130 and "The same command continues" in output
    assert not (jobs.parent / "locks" / "run.json").exists()
    assert call(installed, tmp_path, "wildaffect", "run", "a.mp4", "--output", "out", "--dry-run").returncode == 0


def test_models_and_a_new_folder_need_no_checkout(installed, tmp_path):
    listed = call(installed, tmp_path, "wildaffect", "models")
    assert listed.returncode == 0 and "vggish" in listed.stdout
    assert call(installed, tmp_path, "wildaffect", "init", "new").returncode == 0
    tried = call(installed, tmp_path / "new", "python", "-m", "snakemake", "-n")
    assert "corpus.root: data/affwild2 is not a folder" in tried.stdout + tried.stderr
