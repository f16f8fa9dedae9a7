"""Display matrix of a frame: how the stored image has to be rotated to be upright."""

from dataclasses import dataclass

import av
import numpy as np
from av.sidedata.sidedata import Type


@dataclass(frozen=True)
class Orientation:
    """The way from the stored to the upright image: transpose, then mirror left-right, then mirror top-bottom.

    Attributes:
        transpose: Exchange rows and columns.
        mirror_x: Mirror left-right.
        mirror_y: Mirror top-bottom.
    """

    transpose: bool = False
    mirror_x: bool = False
    mirror_y: bool = False

    @property
    def rotation(self) -> int:
        """Counterclockwise rotation in degrees: 0, 90, 180 or 270 (of a mirrored image: after mirroring left-right)."""
        if self.transpose:
            return 270 if self.mirror_x else 90
        return 180 if self.mirror_y else 0

    @property
    def mirrored(self) -> bool:
        """Whether the image is also mirrored, which no rotation alone can do."""
        return self.transpose ^ self.mirror_x ^ self.mirror_y

    def apply(self, image: np.ndarray) -> np.ndarray:
        """The upright image, contiguous, of a stored image (H, W, 3)."""
        if self.transpose:
            image = image.transpose(1, 0, 2)
        if self.mirror_x:
            image = image[:, ::-1]
        if self.mirror_y:
            image = image[::-1]
        return np.ascontiguousarray(image)


def from_matrix(matrix: np.ndarray) -> Orientation:
    """Orientation of a display matrix (ISO/IEC 14496-12, 6.2.2).

    The matrix maps a stored position (p, q) to x = a p + c q, y = b p + d q. Rotations that are no multiple of 90 degrees are rounded to
    the nearest one.

    Args:
        matrix: 9 numbers, row by row.

    Examples:
        >>> from_matrix(np.array([0, 65536, 0, -65536, 0, 0, 0, 0, 1])).rotation
        270
    """
    a, b, _, c, d = (int(value) for value in np.ravel(matrix)[:5])
    if abs(b) + abs(c) > abs(a) + abs(d):
        return Orientation(transpose=True, mirror_x=c < 0, mirror_y=b < 0)
    return Orientation(transpose=False, mirror_x=a < 0, mirror_y=d < 0)


def orientation(frame: av.VideoFrame) -> Orientation:
    """The orientation that a decoded frame asks for; the stored one where it asks for none."""
    try:
        matrix = frame.side_data.get(Type.DISPLAYMATRIX)
    except ValueError:  # PyAV cannot list side data with a kind it has no name for; the angle is still available
        return _ROTATIONS[round(frame.rotation / 90) % 4]
    return from_matrix(np.frombuffer(bytes(matrix), np.int32)) if matrix is not None else Orientation()


_ROTATIONS = (
    Orientation(),
    Orientation(transpose=True, mirror_y=True),
    Orientation(transpose=False, mirror_x=True, mirror_y=True),
    Orientation(transpose=True, mirror_x=True),
)
