"""Damaged intermediates are refused with one message each, never read as other values; files of earlier versions still read."""

import errno
import json
import logging
import pickle
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
import torch

from support.mutations import damaged_copies, outcomes
from support.runs import write_crops
from wildaffect.errors import InputError
from wildaffect.faces.crops import CropFile, crop_writer, encode_image
from wildaffect.features.signal import read_speech
from wildaffect.features.store import open_array, read_valid, save_blocks, write_valid
from wildaffect.integrity import check, foreign, intact, read_json, sealed
from wildaffect.manifests import read_lists, write_list
from wildaffect.media.audio import read_about, read_audio
from wildaffect.tables import METADATA_KEY, count_rows, read_all, read_metadata, read_table, write_table
from wildaffect.training.loop import Checkpoint, Progress
from wildaffect.weights import read_weights, save_weights

COLUMNS = pa.schema(
    [("trial", pa.string()), ("frame", pa.int32()), ("valence", pa.float32()), ("points", pa.list_(pa.float32()))]
)
SIZE = 12
RNG = np.random.default_rng(4)
IMAGES = [encode_image(RNG.integers(0, 256, (SIZE, SIZE, 3), np.uint8)) if row % 7 else None for row in range(300)]
BLOCKS = [RNG.normal(size=(count, 4)).astype(np.float32) for count in (30, 50)]
RATE = 8000


def write_rows(path: Path) -> None:
    rows = [
        {"trial": f"t{row // 50}", "frame": row % 50, "valence": row / 100, "points": [row, -row] if row % 3 else None}
        for row in range(150)
    ]
    write_table(path, pa.Table.from_pylist(rows, COLUMNS), COLUMNS, {"frames": 150, "options": {"hold": 3}})


def write_images(path: Path) -> None:
    with crop_writer(path, "lfan48", SIZE, "t0") as append:
        for row, image in enumerate(IMAGES):
            append(row, image)


def write_flac(path: Path) -> None:
    with sealed(path) as partial, soundfile.SoundFile(partial, "w", RATE, 1, format="FLAC", subtype="PCM_16") as file:
        file.comment = json.dumps({"audio_valid": True, "rate": RATE, "offset_s": 0.25, "flags": []})
        file.write(np.sin(np.arange(4000) / 9).astype(np.float32) * 0.4)


def write_state(path: Path) -> None:
    save_weights({"weight": torch.arange(60.0).reshape(6, 10), "steps": torch.tensor(3)}, path, {"system": "lfan"})


def write_paths(path: Path) -> None:
    for name in "ab":
        (path.parent / name).write_text(name)
    write_list([str(path.parent / name) for name in "ab"], path)


def write_json(path: Path) -> None:
    with sealed(path) as partial:
        partial.write_text(json.dumps({"train": {"mean": [0.125, 3.5], "std": [1.0, 2.0]}, "folds": 6}))


def arrays_of(state: dict[str, torch.Tensor]) -> dict[str, tuple]:
    return {key: (str(value.dtype), value.tolist()) for key, value in state.items()}


@dataclass(frozen=True)
class Kind:
    """A kind of intermediate: how a small one is written and read, as values that can be compared."""

    name: str
    write: Callable[[Path], Any]
    read: Callable[[Path], Any]


KINDS = [
    Kind("t.parquet", write_rows, lambda path: (read_table(path, COLUMNS).to_pylist(), dict(read_metadata(path)))),
    Kind("n.parquet", write_rows, count_rows),
    Kind("all.parquet", write_rows, lambda path: read_all(path).to_pylist()),
    Kind("c.arrow", write_images, lambda path: (CropFile(path).valid.tolist(), read_images(path), dict(CropFile(path).about))),
    Kind("x.npy", lambda path: save_blocks(path, BLOCKS, (4,)), lambda path: open_array(path).tolist()),
    Kind("l.json", write_paths, lambda path: read_lists([str(path)])),
    Kind("r.json", write_json, read_json),
    Kind("a.flac", write_flac, lambda path: (read_audio(path)[0].tolist(), dict(read_about(path)))),
    Kind("s.flac", write_flac, lambda path: read_speech(path, RATE)[:].tolist()),
    Kind("w.safetensors", write_state, lambda path: arrays_of(read_weights(path)[0])),
]  # fmt: skip
UNSEALED = [kind for kind in KINDS if not kind.name.endswith((".parquet", ".arrow"))]


def read_images(path: Path) -> list:
    file = CropFile(path)
    return [file.read(np.array([row])).tobytes() for row in range(len(file))]


@pytest.fixture(params=KINDS, ids=lambda kind: kind.name)
def made(request, tmp_path):
    """A kind and a small file of it."""
    kind = request.param
    kind.write(tmp_path / kind.name)
    return kind, tmp_path / kind.name


def damage(made, count: int, seed: int) -> int:
    """Read damaged copies; how many were refused."""
    kind, path = made
    right = kind.read(path)
    counts = outcomes(kind.read, path, damaged_copies(path.read_bytes(), count, seed), lambda found: found == right)
    return counts["refused"]


def test_damaged_copies_are_refused_or_read_as_they_were_written(made):
    assert damage(made, 300, seed=1) > 180


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 4))
def test_damaged_copies_are_refused_or_read_as_they_were_written_at_length(made, seed):
    assert damage(made, 2500, seed) > 1500


def test_the_message_names_the_file_and_says_what_to_do(made):
    kind, path = made
    content = bytearray(path.read_bytes())
    content[-12] ^= 4
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        kind.read(path)
    assert str(caught.value).startswith(f"{path} is damaged (")
    assert str(caught.value).endswith("; delete it and run again.")


def test_a_file_that_is_not_there_is_not_called_damaged(made):
    kind, path = made
    path.unlink()
    with pytest.raises(InputError) as caught:
        kind.read(path)
    assert path.name in str(caught.value)
    assert "damaged" not in str(caught.value)


@pytest.mark.parametrize("kind", UNSEALED, ids=lambda kind: kind.name)
def test_files_without_their_checksums_are_read_as_in_earlier_versions(kind, tmp_path):
    kind.write(tmp_path / kind.name)
    right = kind.read(tmp_path / kind.name)
    shutil.rmtree(tmp_path / "crc32")
    assert kind.read(tmp_path / kind.name) == right
    # Without a checksum other values cannot be told, but what does not parse is still one message.
    outcomes(
        kind.read, tmp_path / kind.name, damaged_copies((tmp_path / kind.name).read_bytes(), 100, 7), lambda found: True
    )


def test_tables_and_crops_of_earlier_versions_are_read(tmp_path):
    write_rows(tmp_path / "new.parquet")
    table = read_table(tmp_path / "new.parquet", COLUMNS)
    old = table.replace_schema_metadata({METADATA_KEY: b'{"frames": 150}'})
    pq.write_table(old, tmp_path / "old.parquet", compression="zstd")
    assert read_table(tmp_path / "old.parquet", COLUMNS).to_pylist() == table.to_pylist()
    assert read_metadata(tmp_path / "old.parquet") == {"frames": 150}
    faces, valid = RNG.integers(0, 256, (5, SIZE, SIZE, 3), np.uint8), np.array([True, False, True, True, False])
    write_crops(tmp_path / "old.arrow", faces, valid)
    assert CropFile(tmp_path / "old.arrow").valid.tolist() == valid.tolist()
    for name, read in (("old.parquet", read_all), ("old.arrow", read_images)):
        path = tmp_path / name
        outcomes(read, path, damaged_copies(path.read_bytes(), 200, 8), lambda found: True)


def test_other_programs_read_the_tables_and_crops(tmp_path):
    write_rows(tmp_path / "t.parquet")
    assert (
        pq.read_table(tmp_path / "t.parquet", columns=COLUMNS.names).to_pylist()
        == read_all(tmp_path / "t.parquet").to_pylist()
    )
    write_images(tmp_path / "c.arrow")
    with pa.memory_map(str(tmp_path / "c.arrow")) as file:
        assert pa.ipc.open_file(file).read_all()["picture"].to_pylist() == IMAGES


def test_a_table_whose_seal_was_overwritten_is_refused(tmp_path):
    write_rows(tmp_path / "t.parquet")
    content = (tmp_path / "t.parquet").read_bytes()
    (tmp_path / "t.parquet").write_bytes(content.replace(b"\xc3CRC-32\n", bytes(8)))
    with pytest.raises(InputError, match=r"t\.parquet is damaged \(its checksum is missing\)"):
        read_table(tmp_path / "t.parquet", COLUMNS)


def test_a_table_that_another_program_wrote_anew_is_read(tmp_path):
    """It keeps the metadata, the mark of the checksum among them, and has none."""
    write_rows(tmp_path / "t.parquet")
    table = pq.read_table(tmp_path / "t.parquet")
    for rows in (table, table.slice(0, 2), table.slice(0, 0)):
        pq.write_table(rows, tmp_path / "t.parquet")
        assert b"wildaffect.sealed" in pq.read_schema(tmp_path / "t.parquet").metadata
        assert read_table(tmp_path / "t.parquet", COLUMNS).to_pylist() == rows.select(COLUMNS.names).to_pylist()


def test_crops_in_another_order_are_refused(tmp_path):
    """Each image is intact, but belongs to another frame."""
    write_images(tmp_path / "c.arrow")
    content = bytearray((tmp_path / "c.arrow").read_bytes())
    first, second = IMAGES[1], next(image for image in IMAGES[2:] if image and len(image) == len(IMAGES[1]))
    at, other = content.index(first), content.index(second)
    content[at : at + len(first)], content[other : other + len(first)] = second, first
    (tmp_path / "c.arrow").write_bytes(content)
    with pytest.raises(InputError, match="the crop of frame 1 does not fit"):
        CropFile(tmp_path / "c.arrow").read(np.array([1]))


def test_a_damaged_crop_file_serves_what_is_intact(tmp_path):
    write_images(tmp_path / "c.arrow")
    content = bytearray((tmp_path / "c.arrow").read_bytes())
    content[content.index(IMAGES[3]) + 20] ^= 1
    (tmp_path / "c.arrow").write_bytes(content)
    file = pickle.loads(pickle.dumps(CropFile(tmp_path / "c.arrow")))
    assert file.read(np.array([0, 1, 2, 4])).shape == (4, SIZE, SIZE, 3)
    with pytest.raises(InputError, match=r"c\.arrow is damaged \(the crop of frame 3"):
        file.read(np.array([2, 3]))


def test_which_rows_are_valid_is_checked_too(tmp_path):
    """The file is no result of its own: it comes back with the array."""
    write_valid(tmp_path / "a.npy", np.arange(300) % 2)
    path = tmp_path / "valid" / "a.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match=rf"{path}: .* Delete {tmp_path / 'a.npy'} and run again"):
        read_valid(tmp_path / "a.npy")


def test_arrays_stay_plain_files(tmp_path):
    save_blocks(tmp_path / "x.npy", BLOCKS, (4,))
    np.save(tmp_path / "y.npy", np.concatenate(BLOCKS))
    assert np.array_equal(np.load(tmp_path / "x.npy"), np.load(tmp_path / "y.npy"))
    assert (tmp_path / "x.npy").stat().st_size == (tmp_path / "y.npy").stat().st_size
    assert isinstance(open_array(tmp_path / "x.npy"), np.memmap)


def test_a_file_replaced_by_its_writer_has_its_new_checksum(tmp_path):
    for values in ("first", "second"):
        with sealed(tmp_path / "a.json") as partial:
            partial.write_text(json.dumps(values))
        assert read_json(tmp_path / "a.json") == values


def test_a_writer_that_fails_leaves_the_file_and_its_checksum(tmp_path):
    write_json(tmp_path / "a.json")
    with pytest.raises(RuntimeError), sealed(tmp_path / "a.json") as partial:
        partial.write_text("half")
        raise RuntimeError
    check(tmp_path / "a.json")
    assert read_json(tmp_path / "a.json")["folds"] == 6
    assert (tmp_path / "crc32" / "a.json").is_file()


def test_json_of_another_shape_names_the_file_and_the_entry(tmp_path):
    (tmp_path / "run.json").write_text('{"system": "lfan"}')
    with pytest.raises(InputError, match=r"run\.json: has no entry 'recipe'"):
        read_json(tmp_path / "run.json")["recipe"]
    (tmp_path / "list.json").write_text('{"path": "x"}')
    with pytest.raises(InputError, match=r"list\.json is damaged \(not a list of files\)"):
        read_lists([str(tmp_path / "list.json")])
    pq.write_table(pa.table({"frame": [1]}), tmp_path / "t.parquet")
    with pytest.raises(InputError, match=r"t\.parquet: has no entry 'trials'"):
        read_metadata(tmp_path / "t.parquet")["trials"]


@pytest.mark.parametrize("wrap", [intact, foreign])
def test_a_full_disk_is_not_taken_for_a_damaged_file(wrap):
    with pytest.raises(OSError, match="No space"), wrap("a.flac", "a FLAC file"):
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.fixture
def checkpoint(tmp_path):
    """A checkpoint after three epochs, and its file."""
    found = Checkpoint(tmp_path / "job")
    progress = Progress(epoch=3, best=0.5, best_epoch=1, history=[{"epoch": 0, "loss": 1.5}])
    found.save(progress, model={"weight": torch.arange(40.0)}, optimizer={"state": {0: torch.zeros(3)}, "lr": 0.1})
    return found, tmp_path / "job" / "last.ckpt"


def test_a_checkpoint_comes_back(checkpoint):
    progress, states = checkpoint[0].load()
    assert (progress.epoch, progress.best, states["optimizer"]["lr"]) == (3, 0.5, 0.1)
    assert states["model"]["weight"].tolist() == list(range(40))
    shutil.rmtree(checkpoint[1].parent / "crc32")
    assert asdict(checkpoint[0].load()[0]) == asdict(progress), "a checkpoint of an earlier version"


def test_a_damaged_checkpoint_is_set_aside_and_said(checkpoint, caplog):
    loaded, path = checkpoint
    content = path.read_bytes()
    for copy in damaged_copies(content, 60, 9):
        path.write_bytes(copy)
        with caplog.at_level(logging.WARNING):
            assert loaded.load() is None
        assert path.with_suffix(".damaged").read_bytes() == copy
        assert not path.exists()
    assert f"{path} is damaged (" in caplog.text
    assert "training starts anew" in caplog.text
    assert loaded.load() is None, "nothing is left to resume"


def test_a_checkpoint_of_something_else_is_set_aside(checkpoint):
    loaded, path = checkpoint
    shutil.rmtree(path.parent / "crc32")
    for content in ({"progress": {"epochs": 3}, "states": {}}, [1], {"states": {}}):
        torch.save(content, path)
        assert loaded.load() is None
        assert not path.exists()
