"""Files from elsewhere, damaged in thousands of ways: each is read or refused with one message that names it, never anything else."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import save_file

from support.cnu_adl import small_checkpoint, write_keras
from support.faces import write_detector
from support.mutations import cut_copies, damaged_copies, outcomes
from wildaffect.config import parse
from wildaffect.corpus import table
from wildaffect.corpus.labels import parse_annotation
from wildaffect.errors import InputError
from wildaffect.faces import official
from wildaffect.faces.detectors.scrfd import DetectorNetwork
from wildaffect.faces.options import pack_files
from wildaffect.faces.overrides import OVERRIDE_COLUMNS, read_overrides
from wildaffect.features.audio.vggish128_quantised import read_pca
from wildaffect.features.bodies.find import openpose_people
from wildaffect.features.imported import import_feature, imported_feature
from wildaffect.files import read_yaml
from wildaffect.models import read_manifest
from wildaffect.scoring.editions import get_task
from wildaffect.scoring.read import as_table, read_rows, sort_rows
from wildaffect.submission.expected import expected_rows, read_counts
from wildaffect.submission.validator import validate
from wildaffect.systems.cnu_adl.keras_files import read_keras
from wildaffect.systems.headers import read_header
from wildaffect.textfiles import decimal, whole
from wildaffect.weights import read_arrays, read_weights
from wildaffect.workflow.settings import Configuration

STATE = {"conv.weight": torch.arange(48.0).reshape(4, 3, 2, 2), "bias": torch.zeros(4), "steps": torch.tensor(7)}
VA = get_task("abaw2", "va")
LISTED = get_task("abaw5", "va")
ROWS = pa.table(
    {"trial": ["a"] * 20, "frame": range(20), "valence": np.arange(20) / 20, "arousal": np.arange(20) / -20}
)
TIMES = np.arange(20) / 25


def tiny_onnx(path: Path) -> None:
    write_detector(path, 9)


def safetensors(path: Path) -> None:
    save_file(STATE, path)


def legacy(path: Path) -> None:
    torch.save(STATE, path, _use_new_zipfile_serialization=False)


def keras(path: Path) -> None:
    write_keras(
        path,
        {
            name: {key: value[..., :1] for key, value in group.items()}
            for name, group in small_checkpoint("image").items()
        },
    )


def openpose(path: Path) -> None:
    points = [round(float(value), 2) for value in np.random.default_rng(6).uniform(1, 300, 75)]
    path.write_text(json.dumps({"version": 1.3, "people": [{"pose_keypoints_2d": points}] * 2}))


def annotation(path: Path) -> None:
    path.write_text("valence,arousal\n" + "".join(f"{row / 40:.3f},{-row / 50:.3f}\n" for row in range(30)) + "-5,-5\n")


def units(path: Path) -> None:
    path.write_text("AU1,AU2,AU4\n" + "0,1,-1\n1,0,0\n" * 10)


def listed(path: Path) -> None:
    path.write_text(
        "image_location,valence,arousal\n" + "".join(f"a/{row:05d}.jpg,0.5,-0.{row}\n" for row in range(1, 20))
    )


def counts(path: Path) -> None:
    path.write_text("trial,frames\n" + "".join(f"t{row},{row * 10}\n" for row in range(1, 20)))


def trials(path: Path) -> None:
    path.write_text(
        "trial,media,person,partition_va\n" + "".join(f"t{row},v{row}.mp4,main,test\n" for row in range(10))
    )
    for row in range(10):
        (path.parent / f"v{row}.mp4").write_bytes(b"")


def overrides(path: Path) -> None:
    path.write_text(",".join(OVERRIDE_COLUMNS) + "\n" + "a,0,10,2,,\nb,3,7,,120.5,88\nc,1,2,,,\n" * 4)


def manifest(path: Path) -> None:
    path.write_bytes((Path(__file__).parents[2] / "models.yaml").read_bytes())


def configuration(path: Path) -> None:
    path.write_bytes((Path(__file__).parents[2] / "config" / "demo.yaml").read_bytes())


def image(path: Path) -> None:
    Image.fromarray(np.random.default_rng(6).integers(0, 256, (40, 30, 3), np.uint8)).save(path)


def imported(path: Path) -> np.ndarray:
    feature = imported_feature(
        "net", {"path": str(path), "columns": ["valence", "arousal"], "missing": "zero", "key": "trial"}
    )
    import_feature(feature, "a", "a", TIMES, path.parent / "made" / "out.npy", path.parent / "made" / "about.json")
    return np.load(path.parent / "made" / "out.npy")


def imported_array(path: Path) -> np.ndarray:
    feature = imported_feature("net", {"path": str(path.parent / "{trial}.npy"), "columns": 2, "missing": "zero"})
    import_feature(feature, "a", "a", TIMES, path.parent / "made" / "out.npy", path.parent / "made" / "about.json")
    return np.load(path.parent / "made" / "out.npy")


def scored(task) -> Callable[[Path], Any]:
    """Rows as the scorer takes them: read, then sorted by their keys."""

    def read(path: Path) -> pa.Table:
        rows = read_rows(path, task)
        sort_rows(as_table(rows, str(path)), str(path))
        return rows

    return read


def finite(found: pa.Table) -> bool:
    values = [found[name].to_numpy(zero_copy_only=False) for name in VA.columns if name in found.column_names]
    return all(not np.isinf(column.astype(float)).any() for column in values)


def state(found: tuple[dict, str]) -> bool:
    return all(isinstance(value, torch.Tensor) for value in found[0].values())


def numbers(found: dict) -> bool:
    return all(value.dtype.kind in "fiu" for value in found.values())


def anything(found: Any) -> bool:
    return True


# Name, writer, reader, what an accepted result must be, copies of `make test`.
READERS = [
    ("w.safetensors", safetensors, read_weights, state, 300),
    ("w.pth", lambda path: torch.save(STATE, path), read_weights, state, 300),
    ("legacy.pth", legacy, read_weights, state, 300),
    ("w.npz", lambda path: np.savez(path, a=np.ones((3, 4)), b=np.arange(3)), read_arrays, numbers, 200),
    ("pca.npz", lambda path: np.savez(path, pca_eigen_vectors=np.eye(128), pca_means=np.zeros(128)), read_pca, anything, 40),
    ("w.h5", keras, read_keras, lambda found: bool(found[0]), 60),
    ("d.onnx", tiny_onnx, lambda path: DetectorNetwork(path, "cpu", 1, 0.5, 1), anything, 60),
    ("p.parquet", lambda path: pq.write_table(ROWS, path), scored(VA), anything, 300),
    ("i.parquet", lambda path: pq.write_table(ROWS, path), imported, lambda found: found.shape == (20, 2), 100),
    ("a.npy", lambda path: np.save(path, np.arange(40.0).reshape(20, 2) / 7), imported_array, lambda found: found.shape == (20, 2), 200),
    ("p.csv", lambda path: pc.write_csv(ROWS, path), scored(VA), finite, 300),
    ("p.txt", listed, scored(LISTED), finite, 300),
    ("v.txt", annotation, lambda path: parse_annotation(path, "va"), lambda found: np.nanmax(np.abs(found.values), initial=0) <= 1, 300),
    ("u.txt", units, lambda path: parse_annotation(path, "au"), anything, 200),
    ("counts.txt", counts, read_counts, lambda found: all(count is None or count >= 0 for count in found.values()), 200),
    ("sample.txt", listed, lambda path: expected_rows(LISTED, path, None), anything, 200),
    ("trials.csv", trials, lambda path: table.scan(path.parent, path.parent), anything, 200),
    ("overrides.csv", overrides, read_overrides, anything, 200),
    ("1_keypoints.json", openpose, lambda path: list(openpose_people(path.parent, 2)), anything, 200),
    ("00001.jpg", image, lambda path: official._image(path), lambda found: found[:2] == b"\xff\xd8", 150),
    ("models.yaml", manifest, read_manifest, anything, 30),
    ("c.yaml", configuration, lambda path: parse(Configuration, read_yaml(path), path.name), anything, 60),
    ("h.safetensors", safetensors, read_header, lambda found: isinstance(found[1], dict), 200),
]  # fmt: skip


@pytest.fixture(params=READERS, ids=lambda reader: reader[0])
def reader(request, tmp_path):
    """A reader, an intact file for it, which it reads, and how many damaged copies to try."""
    name, write, read, accept, count = request.param
    write(tmp_path / name)
    assert accept(read(tmp_path / name))
    return tmp_path / name, read, accept, count


def copies(path: Path, count: int, seed: int) -> Iterator[bytes]:
    """Damaged copies; HDF5 files are only cut, because their library may not return from others (see docs/reliability.md)."""
    damage = cut_copies if path.suffix == ".h5" else damaged_copies
    return damage(path.read_bytes(), count, seed)


def test_damaged_copies_are_read_or_refused_in_one_message(reader):
    path, read, accept, count = reader
    found = outcomes(read, path, copies(path, count, seed=11), accept)
    assert found["refused"] > 0


@pytest.mark.slow
def test_damaged_copies_are_read_or_refused_in_one_message_at_length(reader):
    path, read, accept, count = reader
    outcomes(read, path, copies(path, 4 * count, seed=12), accept)


FOREIGN = {
    "empty": b"",
    "one byte": b"\x08",
    "zeros": bytes(200),
    "utf-16": "trial,frame,valence,arousal\na,0,0.5,0.5\n".encode("utf-16"),
    "latin-1": "trial,frame,valence,arousal\nä,0,0.5,0.5\n".encode("latin-1"),
    "pickle": b"\x80\x04\x95\x1c\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94\x8c\x06system\x94\x93\x94\x8c\x02ls\x94\x85\x94R\x94.",
    "deep": b"[" * 100_000,
    "html": b"<!DOCTYPE html><html><body>404 Not Found</body></html>\n",
    "zip": b"PK\x05\x06" + bytes(18),
    "numpy of objects": b"\x93NUMPY\x01\x00v\x00{'descr': '|O', 'fortran_order': False, 'shape': (20, 2), }".ljust(128),
    "numpy of a huge shape": b"\x93NUMPY\x01\x00v\x00{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999, 2), }".ljust(
        128
    ),
}


@pytest.mark.parametrize("content", FOREIGN.values(), ids=FOREIGN)
def test_files_of_another_kind_are_refused(reader, content):
    path, read, accept, _ = reader
    outcomes(read, path, iter([content]), accept)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.text(max_size=60) | st.from_regex(r"([-+0-9.e_ ]{0,6}[,\n]){1,8}"))
@pytest.mark.parametrize(
    "reader", [each for each in READERS if each[0].endswith((".txt", ".csv"))], ids=lambda each: each[0], indirect=True
)
def test_any_text_behind_the_first_line_is_read_or_refused(reader, content):
    path, read, accept, _ = reader
    first = path.read_bytes().partition(b"\n")[0]
    outcomes(read, path, iter([first + b"\n" + content.encode("utf-8", "replace")]), accept)
    path.write_bytes(first + b"\n")


@settings(deadline=None, max_examples=300)
@given(st.text(max_size=12) | st.from_regex(r"[-+]?[0-9_]*\.?[0-9_]*([eE][-+]?[0-9]+)?", fullmatch=True))
def test_numbers_are_those_that_python_reads_and_no_others(text):
    for read, convert in ((decimal, float), (whole, int)):
        try:
            value = read(text)
        except ValueError:
            continue
        assert value == convert(text)
        assert set(text.strip()) <= set("0123456789+-.eE")


@pytest.mark.parametrize(
    "text", ["0_1", "\uff11", "\u0661", "inf", "-Infinity", "nan", "1e999", "0x1", "", "1,5", "1 2", "--1"]
)
def test_what_python_reads_as_a_number_but_nobody_means_is_refused(text, tmp_path):
    for read in (decimal, whole):
        with pytest.raises(ValueError, match="is not a"):
            read(text)
    if "," in text or not text:
        return
    (tmp_path / "a.txt").write_text(f"valence,arousal\n0.5,0.5\n0.5,{text}\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"a\.txt, line 3"):
        parse_annotation(tmp_path / "a.txt", "va")
    (tmp_path / "l.txt").write_text(f"image_location,valence,arousal\na/00001.jpg,0.5,{text}\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"l\.txt, line 2"):
        read_rows(tmp_path / "l.txt", LISTED)
    (tmp_path / "p.csv").write_text(f"trial,frame,valence,arousal\na,0,0.5,0.5\na,1,0.5,{text}\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"p\.csv: column arousal, line 3"):
        read_rows(tmp_path / "p.csv", VA)
    (tmp_path / "o.csv").write_text(f"{','.join(OVERRIDE_COLUMNS)}\na,0,{text},,,\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"o\.csv, line 2"):
        read_overrides(tmp_path / "o.csv")


def test_numbers_of_tables_are_what_they_were(tmp_path):
    """Also those that need the slower way: signs, blanks, missing values."""
    path = tmp_path / "p.csv"
    path.write_text("trial,frame,valence,arousal\n24.10,0,+0.5, 1e-3\n24.10,1,,-.25\n24.10,2,1.,0.123456789012345678\n")
    found = read_rows(path, VA)
    assert found["trial"].to_pylist() == ["24.10"] * 3
    assert found["frame"].to_pylist() == [0, 1, 2]
    assert found["valence"].to_pylist() == [0.5, None, 1.0]
    assert found["arousal"].to_pylist() == [1e-3, -0.25, 0.123456789012345678]


def test_people_of_two_body_models_in_one_file_are_refused(tmp_path):
    people = [{"pose_keypoints_2d": [50.0] * 3 * joints} for joints in (18, 25)]
    (tmp_path / "0_keypoints.json").write_text(json.dumps({"people": people}))
    with pytest.raises(InputError, match=r"0_keypoints\.json: people with 18 and 25 joints"):
        list(openpose_people(tmp_path, 1))


def test_a_column_twice_is_named(tmp_path):
    (tmp_path / "p.csv").write_text("trial,frame,valence,valence,arousal\na,0,0,0,0\n")
    with pytest.raises(InputError, match=r"p\.csv, line 1: column 'valence' is named more than once"):
        read_rows(tmp_path / "p.csv", VA)
    pq.write_table(pa.Table.from_arrays([pa.array([1])] * 3, ["trial", "frame", "frame"]), tmp_path / "p.parquet")
    with pytest.raises(InputError, match=r"p\.parquet: has more than one column 'frame'"):
        read_rows(tmp_path / "p.parquet", VA)


def test_validation_of_a_damaged_submission_lists_problems_and_never_fails(tmp_path):
    listed(tmp_path / "sample.txt")
    for copy in damaged_copies((tmp_path / "sample.txt").read_bytes(), 200, 5):
        (tmp_path / "p.txt").write_bytes(copy)
        assert validate(tmp_path / "p.txt", tmp_path / "sample.txt", "abaw5", "va") or copy.decode("ascii")


def test_models_that_are_no_onnx_files_are_refused_when_the_run_is_planned(tmp_path):
    (tmp_path / "buffalo_s").mkdir()
    with pytest.raises(InputError, match=r"det_500m\.onnx, .*1k3d68\.onnx, .*w600k_mbf\.onnx: model files? not found"):
        pack_files("buffalo_s", tmp_path)
    for content in (b"", b"<html>", b"PK"):
        (tmp_path / "d.onnx").write_bytes(content)
        with pytest.raises(InputError, match=r"d\.onnx: not an ONNX model"):
            pack_files(str(tmp_path / "d.onnx"), None)
    tiny_onnx(tmp_path / "d.onnx")
    assert pack_files(str(tmp_path / "d.onnx"), None) == {"detector": tmp_path / "d.onnx"}


def test_a_graph_of_something_else_is_refused(tmp_path):
    """It has as many outputs as a detector."""
    value = onnx.helper.make_tensor_value_info
    nodes = [onnx.helper.make_node("Identity", ["image"], [f"out{k}"]) for k in range(9)]
    shape = [1, 3, "height", "width"]
    outputs = [value(f"out{k}", onnx.TensorProto.FLOAT, shape) for k in range(9)]
    for inputs in (shape, [1, 3], [1, 1, 64, 64]):
        graph = onnx.helper.make_graph(nodes, "copies", [value("image", onnx.TensorProto.FLOAT, inputs)], outputs)
        model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=8)
        (tmp_path / "d.onnx").write_bytes(model.SerializeToString())
        with pytest.raises(InputError, match=r"d\.onnx: not a "):
            DetectorNetwork(tmp_path / "d.onnx", "cpu", 1, 0.5, 1)


def test_advice_to_read_weights_unsafely_is_not_passed_on(tmp_path):
    torch.save({"a": Path("x")}, tmp_path / "w.pth")
    (tmp_path / "old.pth").write_bytes(FOREIGN["pickle"])
    for name in ("w.pth", "old.pth"):
        with pytest.raises(InputError) as caught:
            read_weights(tmp_path / name)
        assert name in str(caught.value)
        assert "weights_only" not in str(caught.value)
