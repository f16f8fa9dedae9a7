"""Aligned face pictures of one trial: an Arrow IPC file, one row per decoded frame, read by memory map.

Columns: frame int32; valid bool; picture binary (JPEG, quality 95, full colour resolution), null where not valid.
"""

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa

from wildaffect.errors import InputError
from wildaffect.faces.ahead import ahead
from wildaffect.faces.catalogue import RESIZED
from wildaffect.faces.persons import read_trial
from wildaffect.faces.templates import Template, crop_transform, cut, get_template, resized
from wildaffect.files import atomic
from wildaffect.media.decode import decode
from wildaffect.tables import METADATA_KEY

CROPS = pa.schema([("frame", pa.int32()), ("valid", pa.bool_()), ("picture", pa.binary())])
# Rows per record batch; every batch but the last has this many, so a row's place follows from its number.
CHUNK = 256
# Pictures decoded ahead of cutting.
AHEAD = 2
JPEG = [cv2.IMWRITE_JPEG_QUALITY, 95, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]


def cut_crops(
    video: str | os.PathLike,
    persons: str | os.PathLike,
    trial: str,
    templates: dict[str, str | os.PathLike],
    *,
    threads: int = 1,
) -> None:
    """Cut one trial's face in every template of ``templates`` (name -> output path) in a single decoding pass.

    Frames whose source is "none" are rows without a picture. Raises :class:`InputError` for an unknown template, a trial
    that ``persons`` lacks, or a video that no longer has the frames of the table.
    """
    faces = read_trial(persons, trial)
    valid, points5, boxes = faces.valid, faces.points5, faces.boxes
    kinds = {name: get_template(name) for name in templates}
    with ExitStack() as stack:
        sinks = {
            name: stack.enter_context(crop_writer(path, name, kinds[name], trial)) for name, path in templates.items()
        }
        decoded = 0
        for frame, picture in ahead(decode(Path(video), threads), AHEAD) if len(valid) else ():
            if frame < len(valid):
                for name, kind in kinds.items():
                    transform = crop_transform(kind, points5[frame], boxes[frame]) if valid[frame] else None
                    sinks[name](frame, None if transform is None else encode(cut(picture, kind, transform)))
            decoded += 1
        if decoded != len(valid):
            raise InputError(
                f"{video}: {decoded} frames decoded, {persons} has {len(valid)}. Run the face stage again."
            )


def resize_crops(crops: str | os.PathLike, name: str, output: str | os.PathLike) -> None:
    """Write the crop file of template ``name`` from the ``crops`` of the template it is a resized copy of.

    Pictures are scaled by Pillow's bicubic filter. Raises :class:`InputError` if ``name`` is not made from such crops.
    """
    source, kind = CropFile(crops), get_template(name)
    if RESIZED.get(name) != source.about["template"]:
        raise InputError(f"{crops}: {name} is not made from {source.about['template']} crops.")
    with crop_writer(output, name, kind, source.about["trial"]) as append:
        for frame, valid in enumerate(source.valid.tolist()):
            picture = resized(source.read([frame])[0], kind.size) if valid else None
            append(frame, None if picture is None else encode(picture))


def encode(picture: np.ndarray) -> bytes:
    """JPEG bytes of uint8 RGB (H, W, 3), nearly lossless."""
    _, data = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), JPEG)
    return data.tobytes()


@contextmanager
def crop_writer(path: str | os.PathLike, name: str, template: Template, trial: str) -> Iterator:
    """A function (frame, JPEG bytes or None) that appends rows to an atomically written crop file."""
    about = {"template": name, "size": template.size, "trial": trial, "chunk": CHUNK}
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
                out[...] = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
        return pictures
