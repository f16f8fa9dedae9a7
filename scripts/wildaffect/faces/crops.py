"""Crop files: one JPEG per frame in an Arrow file, read by memory map."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa

from wildaffect.errors import InputError
from wildaffect.files import atomic
from wildaffect.tables import METADATA_KEY

CROPS = pa.schema([("frame", pa.int32()), ("valid", pa.bool_()), ("picture", pa.binary())])
# Rows per record batch; every batch but the last has this many, so a row's place follows from its number.
CHUNK = 256
JPEG = [cv2.IMWRITE_JPEG_QUALITY, 95, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]


def encode_jpeg(picture: np.ndarray) -> bytes:
    """JPEG bytes of uint8 RGB (H, W, 3), nearly lossless."""
    _, data = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), JPEG)
    return data.tobytes()


def decode_jpeg(data) -> np.ndarray:
    """The picture uint8 RGB (H, W, 3) in JPEG bytes."""
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)


@contextmanager
def crop_writer(path: str | os.PathLike, name: str, size: int, trial: str) -> Iterator:
    """A function (frame, JPEG bytes or None) that appends rows to an atomically written crop file of ``size`` x ``size`` pictures."""
    about = {"template": name, "size": size, "trial": trial, "chunk": CHUNK}
    schema = CROPS.with_metadata({METADATA_KEY: json.dumps(about, sort_keys=True).encode()})
    pending: list[tuple[int, bytes | None]] = []
    with atomic(path) as partial, pa.OSFile(str(partial), "wb") as file, pa.ipc.new_file(file, schema) as writer:

        def flush():
            frames, pictures = zip(*pending, strict=True)
            valid = [picture is not None for picture in pictures]
            columns = [pa.array(frames, pa.int32()), pa.array(valid), pa.array(pictures, pa.binary())]
            writer.write_batch(pa.record_batch(columns, schema=schema))
            pending.clear()

        def append(frame: int, picture: bytes | None):
            pending.append((frame, picture))
            if len(pending) == CHUNK:
                flush()

        yield append
        if pending:
            flush()


class CropFile:
    """Random access to the crops of one trial; nothing is loaded before it is read.

    ``len``: decoded frames N; ``valid``: bool (N,), read-only; ``size``: side in pixels; ``about``: the metadata. Can be
    sent to worker processes (each maps the file anew).
    """

    def __init__(self, path: str | os.PathLike):
        self.path = Path(path)
        try:
            self._reader = pa.ipc.open_file(pa.memory_map(str(path)))
            self.about = json.loads((self._reader.schema.metadata or {})[METADATA_KEY])
        except (OSError, pa.ArrowInvalid, KeyError) as error:
            raise InputError(f"{path}: not a crop file ({error}). Delete it and run again.") from error
        table = self._reader.read_all()
        self.size: int = self.about["size"]
        self.valid = table["valid"].to_numpy()
        self._chunks = table["picture"].chunks
        self.valid.setflags(write=False)

    def __len__(self) -> int:
        return len(self.valid)

    def __reduce__(self):
        return CropFile, (self.path,)

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Crops uint8 RGB (n, size, size, 3) of the frames ``rows`` (n,), black where there is no face."""
        rows = np.asarray(rows)
        if rows.size and (rows.min() < 0 or rows.max() >= len(self)):
            raise IndexError(f"{self.path}: rows {rows.min()} to {rows.max()} asked for, it has {len(self)}")
        pictures = np.zeros((len(rows), self.size, self.size, 3), np.uint8)
        for out, row in zip(pictures, rows.tolist(), strict=True):
            if self.valid[row]:
                data = self._chunks[row // self.about["chunk"]][row % self.about["chunk"]].as_buffer()
                out[...] = decode_jpeg(data)
        return pictures
