"""People of a video found by torchvision's keypoint R-CNN, with weights from a local file.

K. He et al., Mask R-CNN, ICCV 2017. Chosen because it gives the joints of the head, by which a body is told to belong to a face; because
torchvision is there already and its weights (trained on COCO) are free for commercial use too; plain person detectors such as FCOS give
boxes alone, which overlap where people stand together.
"""

import os
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn
from torchvision.models.detection import KeypointRCNN
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
from torchvision.ops import FrozenBatchNorm2d

from wildaffect.errors import InputError
from wildaffect.features.bodies.table import People
from wildaffect.features.networks import load_exactly
from wildaffect.media.decode import decode
from wildaffect.models import resolve
from wildaffect.weights import read_weights

# Detections below this score are no people.
SCORE = 0.5
# torchvision's current COCO weights are used without the constant that guards the division by the deviation; its others with it.
COCO_V1 = "fc266e95"


def open_keypoint_rcnn(weights: str, models_dir: str | os.PathLike) -> tuple[nn.Module, dict[str, Any]]:
    """The network with 17 joints of one class, and what its weights are.

    Args:
        weights: A name in the manifest, or the path of a file in the format of torchvision's ``keypointrcnn_resnet50_fpn``.
        models_dir: Folder of model files.

    Raises:
        InputError: The file is absent or of another network.
    """
    file = resolve(weights, models_dir)
    backbone = resnet_fpn_backbone(
        backbone_name="resnet50", weights=None, norm_layer=FrozenBatchNorm2d, trainable_layers=5
    )
    network = KeypointRCNN(backbone, num_classes=2, box_score_thresh=SCORE)
    state = {key: value for key, value in read_weights(file.path)[0].items() if not key.endswith("num_batches_tracked")}
    load_exactly(network, state, file.path)
    if file.sha256.startswith(COCO_V1):
        for layer in network.modules():
            if isinstance(layer, FrozenBatchNorm2d):
                layer.eps = 0.0
    return network, {name: getattr(file, name) for name in ("name", "sha256", "verified", "licence", "citation")}


def detected_people(
    network: nn.Module,
    video: str | os.PathLike,
    *,
    view: Mapping[str, Any] | None = None,
    device: str = "cpu",
    threads: int = 1,
) -> Iterator[People]:
    """People of each decoded frame, best first; one frame in memory at a time.

    The box is the detector's own. The confidence of a joint is the height of its heat map, not a probability; a joint counts as seen where
    it is positive.

    Args:
        network: For a list of images float32 (3, H, W) in [0, 1] it gives what torchvision's gives: per image ``boxes``, ``scores``,
            ``keypoints`` and ``keypoints_scores``.
        video: The video file.
        view: As for `wildaffect.media.decode.decode`.
        device: ``cpu`` or ``cuda``.
        threads: Threads of the decoder and of PyTorch.

    Raises:
        InputError: The device is not there, or the video cannot be decoded.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("device 'cuda' was asked for, but PyTorch sees no CUDA device. Ask for 'cpu' or fix the node.")
    torch.set_num_threads(threads)
    network = network.to(device).eval()
    for _, image in decode(video, threads, view):
        # Entered for each frame: a generator must not leave the caller in these modes.
        with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            pixels = torch.from_numpy(np.ascontiguousarray(image)).to(device).permute(2, 0, 1).float() / 255
            output = {name: value.float().cpu().numpy() for name, value in network([pixels])[0].items()}
        heights = output["keypoints_scores"]
        keypoints = np.concatenate([output["keypoints"][..., :2], heights[..., None]], axis=-1)
        yield People(output["boxes"], output["scores"], keypoints, heights > 0)
