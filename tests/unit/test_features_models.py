"""The manifest of model files and the checks before use."""

import dataclasses
import hashlib
import re

import pytest
import yaml

from wildaffect.errors import InputError
from wildaffect.models import MANIFEST, locate, read_manifest, resolve

CONTENT = b"weights"
DIGEST = hashlib.sha256(CONTENT).hexdigest()


def manifest(folder, **changes):
    entry = {
        "name": "net",
        "file": "net.pth",
        "urls": ["https://example.org/net.zip"],
        "member": "net.pth",
        "size": len(CONTENT),
        "sha256": DIGEST,
        "sha256_prefix": None,
        "sha256_note": "computed",
        "licence": "MIT",
        "citation": "Somebody",
    }
    path = folder / "models.yaml"
    path.write_text(yaml.safe_dump({"models": [{**entry, **changes}]}))
    return path


def test_the_projects_manifest_is_complete():
    entries = read_manifest()
    assert {"vggish", "det_2.5g", "det_500m"} <= entries.keys()
    assert len({entry.file for entry in entries.values()}) == len(entries)
    for entry in entries.values():
        assert entry.urls or (entry.package and entry.member and entry.sha256), entry.name
        assert all(url.startswith("https://") for url in entry.urls), entry.name
        assert entry.licence, entry.name
        assert entry.citation, entry.name
        assert entry.sha256_note, entry.name
        if entry.sha256 is not None:
            assert re.fullmatch(r"[0-9a-f]{64}", entry.sha256), entry.name
        in_name = re.search(r"-([0-9a-f]{8})\.pth$", entry.file)  # PyTorch's naming rule
        if in_name:
            assert (entry.sha256 or entry.sha256_prefix).startswith(in_name.group(1)), entry.name


def test_hashes_of_the_reference_detectors(shared):
    for name in ("det_2.5g", "det_500m"):
        file = resolve(name, shared / "models")
        assert file.verified
        assert file.path.stat().st_size == read_manifest()[name].size


def test_a_name_is_found_and_verified(tmp_path):
    path = manifest(tmp_path)
    (tmp_path / "net.pth").write_bytes(CONTENT)
    file = resolve("net", tmp_path, path)
    assert (file.name, file.path, file.sha256, file.verified) == ("net", tmp_path / "net.pth", DIGEST, True)
    assert locate("net", "elsewhere", path).as_posix() == "elsewhere/net.pth"


def test_another_content_is_refused_with_both_hashes(tmp_path):
    path = manifest(tmp_path)
    (tmp_path / "net.pth").write_bytes(b"tampered")
    with pytest.raises(InputError) as error:
        resolve("net", tmp_path, path)
    for part in (str(tmp_path / "net.pth"), DIGEST, hashlib.sha256(b"tampered").hexdigest(), "example.org"):
        assert part in str(error.value)


def test_a_missing_file_says_where_from_and_which(tmp_path):
    path = manifest(tmp_path)
    with pytest.raises(InputError) as error:
        resolve("net", tmp_path / "models", path)
    for part in (str(tmp_path / "models" / "net.pth"), DIGEST, "https://example.org/net.zip", "MIT"):
        assert part in str(error.value)
    with pytest.raises(InputError, match=r"nett: no such model file.*known: net"):
        resolve("nett", tmp_path, path)


def test_without_a_known_hash_the_prefix_counts_and_nothing_is_called_verified(tmp_path):
    path = manifest(tmp_path, sha256=None, sha256_prefix=DIGEST[:8])
    (tmp_path / "net.pth").write_bytes(CONTENT)
    assert resolve("net", tmp_path, path).verified is False
    (tmp_path / "net.pth").write_bytes(b"other")
    with pytest.raises(InputError, match=DIGEST[:8]):
        resolve("net", tmp_path, path)


def test_a_local_path_replaces_any_entry_and_is_recognised_by_content(tmp_path):
    path = manifest(tmp_path)
    mine = tmp_path / "mine.bin"
    mine.write_bytes(CONTENT)
    assert dataclasses.asdict(resolve(str(mine), tmp_path, path)) | {"path": None} == {
        "name": "net",
        "path": None,
        "sha256": DIGEST,
        "verified": True,
        "licence": "MIT",
        "citation": "Somebody",
    }
    mine.write_bytes(b"own training")
    own = resolve(str(mine), tmp_path, path)
    assert (own.name, own.verified, own.licence) == ("mine.bin", False, "unknown (local file)")


def test_unreadable_manifests_are_named(tmp_path):
    with pytest.raises(InputError, match=r"absent\.yaml: cannot be read \(No such file"):
        read_manifest(tmp_path / "absent.yaml")
    (tmp_path / "bad.yaml").write_text("models: [{name: x}]")
    with pytest.raises(InputError, match=r"bad\.yaml: not a model manifest"):
        read_manifest(tmp_path / "bad.yaml")
    assert MANIFEST.is_file()
