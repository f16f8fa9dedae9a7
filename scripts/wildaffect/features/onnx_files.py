"""ONNX files of encoders: what they take and give, which can be known without PyTorch."""

from pathlib import Path
from typing import Any

from wildaffect.errors import InputError


def open_encoder(path: Path, side: int, output: str | None, threads: int = 1) -> tuple[Any, Any, str]:
    """An encoder of images (n, 3, side, side) on the CPU: its session, its input and the name of its output of vectors.

    Args:
        path: The file.
        side: Pixels of its images.
        output: Name of the output; without one there must be a single output.
        threads: Of ONNX Runtime.

    Raises:
        InputError: The file is not readable, takes other images, or has no such output.
    """
    from wildaffect.sessions import bind_session

    session = bind_session(path, path, "cpu", threads)
    images, outputs = session.get_inputs(), [part.name for part in session.get_outputs()]
    if len(images) != 1 or images[0].type != "tensor(float)" or not _fits(images[0].shape, side):
        found = ", ".join(f"{part.name} {part.type} {part.shape}" for part in images)
        raise InputError(
            f"{path}: takes {found or 'nothing'}, not float images (n, 3, {side}, {side}). Correct 'size', or export it for such images."
        )
    if output is None and len(outputs) != 1:
        raise InputError(f"{path}: has the outputs {', '.join(outputs)}. Name one of them as 'output'.")
    if output is not None and output not in outputs:
        raise InputError(f"{path}: has no output {output!r}. It has {', '.join(outputs)}.")
    return session, images[0], output or outputs[0]


def _fits(shape: list[Any], side: int) -> bool:
    """Whether images of ``side`` pixels have this shape; sizes that the file leaves open are text or None."""
    wanted = (None, 3, side, side)
    return len(shape) == len(wanted) and all(
        size is None or not isinstance(found, int) or found == size for found, size in zip(shape, wanted, strict=True)
    )
