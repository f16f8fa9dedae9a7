"""Colours of TSAV's clips shifted on whatever device the batch is on: the reading processes have better things to do."""

import torch
from torch import Tensor

# Hue counts to 180, as in OpenCV: 30 steps to a sixth of the circle.
SIXTH = 30


def recoloured(clips: Tensor, shifts: Tensor, shown: Tensor) -> Tensor:
    """Clips with hue (of 180), saturation and value (of 255) shifted by whole numbers, every image of a clip alike (TSAV spec 4).

    Hue, saturation and value are whole numbers, as of OpenCV's 8 bits, and so are the colours that come back: rounded to the nearest, where
    OpenCV's vector code rounds down, so about a third of the values are one more than there.

    Args:
        clips: uint8 (B, T, H, W, channels), red, green, blue first; further channels stay.
        shifts: (B, 3).
        shown: bool (B, T); other images stay black.

    Returns:
        float32 as ``clips``.
    """
    changed = clips.float()
    hue, saturation, value = (shift.float()[:, None, None, None] for shift in shifts.unbind(1))
    h, s, v = _to_hsv(*changed[..., :3].unbind(-1))
    h.add_(hue).remainder_(6 * SIXTH).div_(SIXTH)
    v.add_(value).clamp_(0, 255).mul_(shown[..., None, None])
    depth = s.add_(saturation).clamp_(0, 255).mul_(v).div_(255)
    for channel, corner in enumerate((5, 3, 1)):
        distance = (h + corner).remainder_(6)
        distance = torch.minimum(distance, 4 - distance).clamp_(0, 1)
        changed[..., channel] = torch.addcmul(v, depth, distance, value=-1).round_()
    return changed


def _to_hsv(red: Tensor, green: Tensor, blue: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    value = torch.maximum(torch.maximum(red, green), blue)
    spread = value - torch.minimum(torch.minimum(red, green), blue)
    saturation = _part(spread, value, 255)
    above = torch.where(
        value == red,
        green - blue,
        torch.where(value == green, (blue - red).add_(spread, alpha=2), (red - green).add_(spread, alpha=4)),
    )
    return _part(above, spread, SIXTH), saturation, value


def _part(number: Tensor, of: Tensor, steps: int) -> Tensor:
    """``number`` / ``of`` in whole ``steps``, by OpenCV's fixed point of 12 bits, which decides where halves go."""
    each = (steps * 4096 / of.clamp(min=1)).round_().int()
    return each.mul_(number.int()).add_(2048).bitwise_right_shift_(12).float()
