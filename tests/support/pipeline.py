"""Running the workflow on a copy of the project, so that tests may edit the code and break the data."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
RULE_FILES = sorted((ROOT / "workflow" / "rules").glob("*.smk"))
# Touching a result waits a tenth of a second otherwise.
SNAKEMAKE = """
from snakemake.cli import main
from snakemake.executors import touch
touch.Executor.SLEEPING_TIME = 0
main()
"""
PARTS = ("workflow", "scripts", "envs", "config.yaml", "models.yaml")


@dataclass(frozen=True)
class Outcome:
    """What one call of the workflow ended with."""

    status: int
    text: str

    @property
    def jobs(self) -> dict[str, int]:
        """Jobs per rule that ran, or would run; empty if there was nothing to be done."""
        table = re.search(r"Job stats:\njob +count\n[-\s]+\n(.*?)\ntotal", self.text, re.DOTALL)
        return (
            {name: int(count) for name, count in re.findall(r"^(\w+) +(\d+)$", table[1], re.MULTILINE)} if table else {}
        )

    @property
    def nothing_to_do(self) -> bool:
        """The workflow said so."""
        return "Nothing to be done" in self.text


def rule_blocks() -> dict[str, str]:
    """The text of every rule by its name, those that stand under a condition too."""
    pattern = re.compile(r"^ *rule (\w+):\n(.*?)(?=^ *rule |\Z)", re.MULTILINE | re.DOTALL)
    return {name: block for path in RULE_FILES for name, block in pattern.findall(path.read_text())}


def copy_project(folder: Path) -> Path:
    """A copy of everything that the workflow needs, with new time stamps as after a clone."""
    ignore = shutil.ignore_patterns("__pycache__")
    for part in PARTS:
        source, target = ROOT / part, folder / part
        if source.is_dir():
            shutil.copytree(source, target, ignore=ignore, copy_function=shutil.copyfile)
        else:
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
    return folder


def write_config(path: Path, config: dict) -> Path:
    """A configuration file to lay over config.yaml."""
    path.write_text(yaml.safe_dump(config))
    return path


def run_workflow(project: Path, config: Path, *arguments: str, cores: int = 2) -> Outcome:
    """Call the workflow of ``project`` with ``config`` laid over its config.yaml."""
    with start_workflow(project, config, *arguments, cores=cores) as process:
        text = process.communicate()[0]
    return Outcome(process.returncode, text)


def start_workflow(project: Path, config: Path, *arguments: str, cores: int = 2) -> subprocess.Popen:
    """Begin what :func:`run_workflow` does and go on."""
    options = ["--cores", str(cores), "--configfile", str(config), *arguments]
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", SNAKEMAKE, *options],
        cwd=project, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


TINY_RECIPE = {
    "window": 30,
    "hop": 20,
    "batch": 4,
    "epochs": 2,
    "learning_rate": 1e-3,
    "minimum_rate": 0,
    "backbone_training": "all",
    "backbone": {"units": [1, 1, 1, 1], "channels": [4, 4, 8, 8, 8], "embedding": 16, "pooling": 4},
}

TINY_DEMO = {
    "results_dir": "results",
    "corpus": {"layout": "demo", "demo": {"subjects": 6, "seconds": 2.5, "seed": 1}},
    "folds": {"scheme": "grouped", "count": 2},
    "faces": {"backend": "dlib", "model": "hog", "options": {"max_side": 320}},
    "features": {"vggish_weights": "seeded"},
    "systems": {"lfan": {"targets": ["valence", "arousal"], "variants": ["multimodal"], "recipe": TINY_RECIPE}},
}
