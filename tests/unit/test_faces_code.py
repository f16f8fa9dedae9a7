"""What counts as code of a job: an edit of the detector or the tracker must not cut crops anew or train again."""

import shutil

import pytest

from wildaffect import provenance

PACKAGE = "wildaffect.faces.detectors"
CUTTERS = {"cut_crops.py", "cut_crops_together.py", "resize_crops.py", "cut_scenes.py"}
READERS = (*CUTTERS, "find_bodies.py", "train_system.py", "draw_contact_sheet.py", "embed_crops.py")


@pytest.fixture
def copy(root, tmp_path, monkeypatch):
    """A copy of the scripts to edit, which fingerprints are taken of."""
    shutil.copytree(root / "scripts", tmp_path / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(provenance, "SCRIPTS", tmp_path / "scripts")
    return tmp_path / "scripts" / "wildaffect" / "faces"


def fingerprints():
    provenance.forget()
    jobs = {name: provenance.code_fingerprint(name) for name in (*READERS, "assign_persons.py")}
    return jobs | {
        backend: provenance.code_fingerprint("detect_faces.py", [f"{PACKAGE}.{backend}"])
        for backend in ("dlib", "retinaface")
    }


@pytest.mark.parametrize(
    ("module", "changed"),
    [
        ("detectors/network.py", {"retinaface"}),
        ("detectors/following.py", {"retinaface"}),
        ("detectors/dlib.py", {"dlib"}),
        ("detect.py", {"dlib", "retinaface"}),
        ("tracking.py", {"assign_persons.py"}),
        ("assignment.py", {"assign_persons.py"}),
        ("cutting.py", CUTTERS),
        ("sheet.py", {"draw_contact_sheet.py", "cut_crops_together.py"}),
    ],
)
def test_only_the_jobs_that_run_it_change(copy, module, changed):
    before = fingerprints()
    with (copy / module).open("a") as handle:
        handle.write("\nEDITED = True\n")
    after = fingerprints()
    assert {name for name in before if before[name] != after[name]} == changed
