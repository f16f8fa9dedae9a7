"""Synthetic faces: detections that move as told, tables around them, and small videos."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import onnx
import pyarrow as pa
from onnx import TensorProto, helper, numpy_helper

from wildaffect.faces.detect import DETECTIONS_SCHEMA
from wildaffect.faces.tables import Detections, points_column
from wildaffect.media.frames import FRAMES
from wildaffect.tables import write_table

WIDTH, HEIGHT = 640, 360
IDENTITY_DISTANCE = 0.6


def face(frames, x, y=180.0, side=80.0, identity=None, every=1):
    """One person's detections: ``x``, ``y`` centre per frame (or constant), identity vector every so many frames."""
    frames = np.asarray(frames)
    centre = np.stack([np.broadcast_to(x, len(frames)), np.broadcast_to(y, len(frames))], axis=1)
    half = np.broadcast_to(side, len(frames))[:, None] / 2
    vectors = np.full((len(frames), 4), np.nan)
    if identity is not None:
        vectors[::every] = identity
    return frames, np.hstack([centre - half, centre + half]), vectors


def scene(*faces):
    """Detections of several persons (frames ascending, persons shuffled within a frame) and whose each one is (M,)."""
    frames = np.concatenate([f[0] for f in faces])
    owner = np.concatenate([np.full(len(f[0]), number) for number, f in enumerate(faces)])
    shuffled = np.random.default_rng(0).random(len(frames))
    order = np.lexsort([shuffled, frames])
    boxes = np.concatenate([f[1] for f in faces])[order].astype(np.float32)
    vectors = np.concatenate([f[2] for f in faces])[order].astype(np.float32)
    side = (boxes[:, 2] - boxes[:, 0])[:, None, None]
    middle = ((boxes[:, :2] + boxes[:, 2:]) / 2)[:, None]
    pattern = np.array([[-0.2, -0.2], [0.2, -0.2], [0, 0], [-0.15, 0.25], [0.15, 0.25]])
    points5 = (middle + side * pattern).astype(np.float32)
    grid = np.stack([np.linspace(-0.4, 0.4, 68), np.sin(np.arange(68)) * 0.4], axis=1)
    points68 = (middle + side * grid).astype(np.float32)
    scores = np.full(len(frames), 0.9, np.float32)
    known = ~np.isnan(vectors[:, 0])
    which = np.where(known, known.cumsum() - 1, -1)
    return Detections(frames[order], boxes, scores, points5, points68, vectors[known], which), owner[order]


def write_detections(path: Path, detections: Detections, frames: int, cuts=(), identity_distance=IDENTITY_DISTANCE):
    """A detections table as the detection stage writes it."""
    vectors = [detections.vectors[which] if which >= 0 else None for which in detections.vector]
    columns = [
        pa.array(detections.frame, pa.int32()),
        *(pa.array(detections.boxes[:, side]) for side in range(4)),
        pa.array(detections.scores),
        points_column(detections.points5),
        points_column(detections.points68),
        pa.array(vectors, pa.list_(pa.float32())),
    ]
    about = {"frames": frames, "cuts": list(cuts), "width": WIDTH, "height": HEIGHT}
    table = pa.Table.from_arrays(columns, schema=DETECTIONS_SCHEMA)
    write_table(path, table, DETECTIONS_SCHEMA, about | {"identity_distance": identity_distance})
    return path


def write_frames(path: Path, frames: int):
    """A frame table of ``frames`` frames at 30 per second."""
    columns = {
        "frame": pa.array(range(frames), pa.int32()),
        "pts": pa.array(range(frames), pa.int64()),
        "time_s": pa.array(np.arange(frames) / 30),
        "duration_s": pa.array(np.full(frames, 1 / 30)),
        "keyframe": pa.array([True] * frames, pa.bool_()),
        "repair": pa.array([""] * frames, pa.string()),
    }
    size = {"width": WIDTH, "height": HEIGHT} if frames else {"width": None, "height": None}
    about = {"status": "ok" if frames else "unreadable", "reason": "", "frames": frames} | size
    write_table(path, pa.table(columns), FRAMES, about)
    return path


def write_video(path: Path, pictures: list[np.ndarray], rate: int = 25) -> Path:
    """A lossless video (FFV1 in Matroska, RGB) of uint8 pictures (H, W, 3)."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=Fraction(rate))
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = "bgr0"
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path


def write_detector(path: Path, layout: int, batched: bool = False, side: int | None = None, seed: int = 0) -> Path:
    """An ONNX detector with random weights in a layout that insightface reads: ``layout`` outputs (6, 9, 10 or 15).

    ``batched``: outputs of three axes and a free batch, else two axes and a batch of one, as the published files.
    ``side``: a fixed square input, else any.
    """
    rng = np.random.default_rng(seed)
    strides, anchors = ((8, 16, 32), 2) if layout in (6, 9) else ((8, 16, 32, 64, 128), 1)
    kinds = (("score", 1), ("box", 4), ("point", 10))[: layout // len(strides)]
    nodes, weights, outputs = [], [], []
    for kind, values in kinds:
        for stride in strides:
            name = f"{kind}{stride}"
            kernel = rng.normal(0, 0.5 if kind == "score" else 0.3, (anchors * values, 3, 1, 1)).astype(np.float32)
            bias = np.full(anchors * values, 1.5 if kind == "box" else 0, np.float32)
            shape = np.array([0, -1, values] if batched else [-1, values], np.int64)
            weights += [numpy_helper.from_array(kernel, f"w_{name}"), numpy_helper.from_array(bias, f"b_{name}")]
            weights.append(numpy_helper.from_array(shape, f"s_{name}"))
            size = {"kernel_shape": [stride, stride], "strides": [stride, stride]}
            nodes += [
                helper.make_node("AveragePool", ["x"], [f"p_{name}"], **size),
                helper.make_node("Conv", [f"p_{name}", f"w_{name}", f"b_{name}"], [f"c_{name}"]),
            ]
            last = f"c_{name}"
            if kind == "score":
                nodes.append(helper.make_node("Sigmoid", [last], [f"g_{name}"]))
                last = f"g_{name}"
            order = [0, 2, 3, 1] if batched else [2, 3, 0, 1]
            nodes.append(helper.make_node("Transpose", [last], [f"t_{name}"], perm=order))
            nodes.append(helper.make_node("Reshape", [f"t_{name}", f"s_{name}"], [name]))
            axes = [None, None, values] if batched else [None, values]
            outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, axes))
    free = side or "side"
    taken = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n" if batched else 1, 3, free, side or "wide"])
    graph = helper.make_graph(nodes, "detector", [taken], outputs, weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path
