"""Puts into the built package what lies beside it in a checkout; everything else about it is in pyproject.toml."""

import os
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

PARTS = ("config.yaml", "models.yaml", "envs", "scripts", "workflow")
OWN = "scripts/wildaffect"


def part_files():
    """Files of `PARTS`, without the package itself, which is built anyway; links to folders are followed."""
    for part in PARTS:
        if Path(part).is_file():
            yield Path(part)
        for folder, subfolders, names in os.walk(part, followlinks=True):
            subfolders[:] = [
                name
                for name in subfolders
                if name[0] != "."
                and name != "__pycache__"
                and not name.endswith(".egg-info")
                and f"{folder}/{name}" != OWN
            ]
            yield from (Path(folder, name) for name in names if not name.endswith(".pyc"))


class BuildWithParts(build_py):
    """Builds the package and copies `PARTS` into its folder `project`; an editable installation uses the checkout."""

    def run(self):
        super().run()
        if self.editable_mode:
            return
        for file in part_files():
            target = Path(self.build_lib, "wildaffect", "project", file)
            self.mkpath(str(target.parent))
            self.copy_file(str(file), str(target))


setup(cmdclass={"build_py": BuildWithParts})
