"""Crop files: one image per frame in an Arrow file, memory-mapped, each with a checksum of its own that is compared when it is read."""

import json
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa

from wildaffect.faces.alignment import Resizing, fit
from wildaffect.files import atomic
from wildaffect.integrity import Record, damaged, insert_seal, intact, read_footer
from wildaffect.tables import METADATA_KEY

# Stored files call the column of images so.
CROPS = pa.schema([("frame", pa.int32()), ("valid", pa.bool_()), ("picture", pa.binary())])
_CHECKED = CROPS.append(pa.field("crc32", pa.uint32()))
_MAGIC = b"ARROW1"
# Rows per record batch; every batch but the last has this many, so the position of a row follows from its index.
CHUNK = 256
_JPEG = [cv2.IMWRITE_JPEG_QUALITY, 95, cv2.IMWRITE_JPEG_SAMPLING_FACTOR]
# Ending and settings of each encoding of a template.
ENCODINGS = {
    "jpeg444": (".jpg", [*_JPEG, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]),
    "jpeg420": (".jpg", [*_JPEG, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420]),
    "png": (".png", [cv2.IMWRITE_PNG_COMPRESSION, 1]),
}


def encode_image(image: np.ndarray, encoding: str = "jpeg444") -> bytes:
    """Encode RGB uint8 (H, W, 3)."""
    ending, settings = ENCODINGS[encoding]
    _, data = cv2.imencode(ending, cv2.cvtColor(image, cv2.COLOR_RGB2BGR), settings)
    return data.tobytes()


def decode_image(data) -> np.ndarray:
    """Decode the bytes of an image file to RGB uint8 (H, W, 3)."""
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)


@contextmanager
def crop_writer(
    path: str | os.PathLike,
    name: str,
    size: int,
    trial: str,
    *,
    border: int = 0,
    resizing: Resizing = "antialiased_bicubic",
) -> Iterator:
    """Write a crop file, atomically.

    Args:
        path: File to write.
        name: Name of the template.
        size: Side of its crops in pixels.
        trial: Name of the trial.
        border: How images of another size become crops when they are read, as for `wildaffect.faces.alignment.fit`.
        resizing: The same.

    Yields:
        A function (frame index, bytes of an image file or None) that appends a row.
    """
    fitting = {"border": border, "resizing": resizing}
    about = {"template": name, "size": size, "trial": trial, "chunk": CHUNK, **fitting}
    schema = _CHECKED.with_metadata({METADATA_KEY: json.dumps(about, sort_keys=True).encode()})
    pending: list[tuple[int, bytes | None]] = []
    rows = 0
    with atomic(path) as partial:
        with pa.OSFile(str(partial), "wb") as file, pa.ipc.new_file(file, schema) as writer:

            def flush():
                nonlocal rows
                frames, images = zip(*pending, strict=True)
                valid = [image is not None for image in images]
                checks = [
                    _checksum(row, image or b"", valid=image is not None) for row, image in enumerate(images, rows)
                ]
                columns = zip((frames, valid, images, checks), _CHECKED.types, strict=True)
                writer.write_batch(pa.record_batch([pa.array(*column) for column in columns], schema=schema))
                rows += len(pending)
                pending.clear()

            def append(frame: int, image: bytes | None):
                pending.append((frame, image))
                if len(pending) == CHUNK:
                    flush()

            yield append
            if pending:
                flush()
        insert_seal(partial, _MAGIC, body=rows)


class CropFile:
    """Random access to the crops of one trial; nothing is loaded before it is read.

    ``len`` is the number of decoded frames N. Worker processes that are sent one open the file for themselves.

    Attributes:
        valid: Bool (N,), read-only: frames with a face.
        size: Side in pixels.
        border: How stored images become crops, as for `wildaffect.faces.alignment.fit`.
        about: The metadata.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = Path(path)
        with intact(path, "a crop file"):
            rows = read_footer(path, _MAGIC)[1]
            self._reader = pa.ipc.open_file(pa.memory_map(str(path)))
            self.about = Record(json.loads((self._reader.schema.metadata or {})[METADATA_KEY]), path)
            table = self._reader.read_all()
            table.validate(full=True)
            self.size: int = self.about["size"]
            # Files of 0.1 hold crops of their own size.
            self.border: int = self.about.get("border", 0)
            self._resizing: Resizing = self.about.get("resizing", "antialiased_bicubic")
            self.valid = table["valid"].to_numpy()
            self._chunks = table["picture"].chunks
            self._checks = table["crc32"].to_numpy() if "crc32" in table.column_names else None
        self.valid.setflags(write=False)
        self._check_rows(rows)

    def _check_rows(self, rows: int | None) -> None:
        """`InputError` if rows are missing or lost their crops; the crops themselves are compared when they are read."""
        if self._checks is None:
            return
        empty = np.flatnonzero(~self.valid)
        if rows != len(self.valid) or not np.array_equal(self._checks[empty], 2 * empty):
            raise damaged(self.path, "its rows do not fit their checksums")

    def __len__(self) -> int:
        return len(self.valid)

    def __reduce__(self):
        return CropFile, (self.path,)

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Read the crops RGB uint8 (n, size, size, 3) of the frames ``rows`` (n,), black where there is no face."""
        rows = np.asarray(rows)
        if rows.size and (rows.min() < 0 or rows.max() >= len(self)):
            raise IndexError(f"{self.path}: rows {rows.min()} to {rows.max()} asked for, it has {len(self)}")
        images = np.zeros((len(rows), self.size, self.size, 3), np.uint8)
        with intact(self.path, "a crop file with readable images"):
            for out, row in zip(images, rows.tolist(), strict=True):
                if self.valid[row]:
                    out[...] = self._decoded(row)
        return images

    def stored(self, row: int) -> bytes | None:
        """The image file of frame ``row`` as it is stored, None where there is no face."""
        return self._data(row).to_pybytes() if self.valid[row] else None

    def _decoded(self, row: int) -> np.ndarray:
        return fit(decode_image(self._data(row)), self.size, self.border, self._resizing)

    def _data(self, row: int) -> pa.Buffer:
        data = self._chunks[row // self.about["chunk"]][row % self.about["chunk"]].as_buffer()
        if self._checks is not None and self._checks[row] != _checksum(row, data, valid=True):
            raise damaged(self.path, f"the crop of frame {row} does not fit its checksum")
        return data


def _checksum(row: int, image, *, valid: bool) -> int:
    """CRC-32 of an image that depends on its row, so that another one's is not taken for it; a row without image has twice its index."""
    return zlib.crc32(image, 2 * row + valid)
