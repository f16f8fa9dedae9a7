"""Networks of EmotiEffLib (HSEmotion) in ONNX files: valence, arousal and eight expressions of a face, and the vector before them.

An ONNX file brings its network. It runs on the CPU.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import onnx
import onnxruntime
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from wildaffect.errors import InputError
from wildaffect.integrity import foreign
from wildaffect.sessions import bind_session

CLASSES = ("Anger", "Contempt", "Disgust", "Fear", "Happiness", "Neutral", "Sadness", "Surprise")
"""The first outputs, before softmax; valence and arousal are the last two."""
OUTPUTS = (*CLASSES, "valence", "arousal")


@dataclass(frozen=True)
class Preparation:
    """How a network takes its images.

    Attributes:
        side: Pixels.
        mean, std: Per channel, of values in [0, 1].
    """

    side: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    @property
    def words(self) -> str:
        """For records."""
        return f"RGB, {self.side} pixels (bilinear), divided by 255, minus {self.mean}, divided by {self.std}"

    def prepare(self, images: Tensor) -> Tensor:
        """Images uint8 (n, size, size, 3) RGB -> float32 (n, 3, side, side)."""
        scaled = images.permute(0, 3, 1, 2).float() / 255
        if scaled.shape[-1] != self.side:
            scaled = interpolate(scaled, (self.side, self.side), mode="bilinear", align_corners=False)
        mean, std = (torch.tensor(values, device=scaled.device).view(3, 1, 1) for values in (self.mean, self.std))
        return (scaled - mean) / std


PREPARATIONS = {
    "enet_b0_8_va_mtl": Preparation(224, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "mbf_va_mtl": Preparation(112, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
}


class Graph(nn.Module):
    """A network in an ONNX file: images float32 (n, 3, side, side) -> float32 (n, columns).

    Args:
        part: ``outputs``: (n, 10) as the file gives them; ``embedding``: what its last layer is given.
        path: The file; it may also be named later, by `open`.
    """

    def __init__(self, part: Literal["outputs", "embedding"], path: Path | None = None) -> None:
        super().__init__()
        self._part = part
        self._session: onnxruntime.InferenceSession | None = None
        if path is not None:
            self.open(path)

    def open(self, path: Path) -> None:
        """Read the file; `InputError` for one that is none of these networks."""
        with foreign(path, "a readable ONNX model", "Fetch it again."):
            # Values in other files are not read: the file could name any.
            model = onnx.load(str(path), load_external_data=False)
        last = model.graph.node[-1]
        if self._part == "embedding":
            if last.op_type != "Gemm":
                raise InputError(
                    f"{path}: its last layer is {last.op_type}, no Gemm, so there is no embedding before it."
                )
            weights = next((part for part in model.graph.initializer if part.name == last.input[1]), None)
            if weights is None:
                raise InputError(
                    f"{path}: its last layer has no weights of its own, so there is no embedding before it."
                )
            rows = {attribute.name: attribute.i for attribute in last.attribute}.get("transB", 0)
            self.columns = int(weights.dims[1 if rows else 0])
            model.graph.output.append(
                onnx.helper.make_tensor_value_info(last.input[0], onnx.TensorProto.FLOAT, [None, self.columns])
            )
        else:
            self.columns = len(OUTPUTS)
        session = bind_session(model.SerializeToString(), path, "cpu", torch.get_num_threads())
        images, output = session.get_inputs(), session.get_outputs()[0]
        if len(images) != 1 or len(images[0].shape) != 4 or output.shape[-1] != len(OUTPUTS):
            found = ", ".join(f"{part.name} {part.shape}" for part in (*images, *session.get_outputs()))
            raise InputError(
                f"{path}: not a network of valence, arousal and eight expressions (images in, {len(OUTPUTS)} values out); it has {found}."
            )
        self._input, self._alone = images[0].name, images[0].shape[0] == 1
        self._output = last.input[0] if self._part == "embedding" else output.name
        self._session = session

    def forward(self, images: Tensor) -> Tensor:
        """One row per image."""
        if self._session is None:
            raise InputError("this network is in its file, and no file was opened. Name one.")
        values = images.cpu().numpy()
        parts = np.split(values, len(values)) if self._alone else [values]
        found = [self._session.run([self._output], {self._input: part})[0] for part in parts]
        return torch.from_numpy(np.concatenate(found)).to(images.device)
