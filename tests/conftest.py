"""Fixtures shared by all tests."""

import os
from pathlib import Path

import hypothesis
import pytest

import wildaffect  # noqa: F401 - switches telemetry off, before a test imports what has it

hypothesis.settings.register_profile("untimed", deadline=None)  # how busy the machine is says nothing about the code
hypothesis.settings.load_profile("untimed")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def root() -> Path:
    """The project's root folder."""
    return ROOT


@pytest.fixture(scope="session")
def shared() -> Path:
    """The reference material (golden numbers, real clips, detectors), which is not part of the project."""
    folder = Path(os.environ.get("WILDAFFECT_SHARED", ROOT.parent / "shared")).resolve()
    if not folder.is_dir():
        pytest.skip(f"reference material not found at {folder}: set WILDAFFECT_SHARED to its folder")
    return folder
