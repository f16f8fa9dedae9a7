"""The definitions of container images install the lock, with the Python that it is for, and copy all that the workflow needs."""

import re
import tomllib

import pytest

from support.pipeline import PARTS, ROOT

INSTALLS = (
    "pip install --no-cache-dir --no-deps --requirement requirements.lock",
    "pip install --no-cache-dir --no-deps --no-build-isolation --editable .",
)


def commands(text: str) -> list[str]:
    """Commands of a definition: one per line or chained, the first word of Docker's instructions left out."""
    joined = re.sub(r"\\\n", " ", text)
    lines = [line.removeprefix("RUN ").strip() for line in joined.splitlines() if not line.lstrip().startswith("#")]
    return [command.strip() for line in lines for command in line.split("&&")]


@pytest.mark.parametrize("name", ["Dockerfile", "apptainer.def"])
def test_an_image_installs_the_lock_and_nothing_else(name):
    text = (ROOT / name).read_text()
    installs = [command for command in commands(text) if re.match(r"(pip|apt|apt-get|conda) ", command)]
    assert tuple(installs) == INSTALLS
    (python,) = re.findall(r"^(?:FROM|From:) python:([0-9.]+)-slim$", text, re.MULTILINE)
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    assert wanted.startswith(f">={python},")


def test_the_images_hold_what_the_workflow_needs():
    files = re.findall(r"^    (\S+) /opt/wildaffect/(\S+)$", (ROOT / "apptainer.def").read_text(), re.MULTILINE)
    assert all(source == target and (ROOT / source).exists() for source, target in files)
    assert {source for source, _ in files} >= {*PARTS, "pyproject.toml", "requirements.lock", "README.md"}
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert not {*PARTS} & {*ignored}
