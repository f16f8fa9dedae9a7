"""Display matrix of a frame: how the stored picture has to be turned to stand upright."""

from dataclasses import dataclass

import av
import numpy as np
from av.sidedata.sidedata import Type


@dataclass(frozen=True)
class Orientation:
    """Stored to upright picture: exchange rows and columns, then mirror left-right, then mirror top-bottom."""

    transpose: bool = False
    mirror_x: bool = False
    mirror_y: bool = False

    @property
    def rotation(self) -> int:
        """Counterclockwise turn in degrees: 0, 90, 180 or 270 (of a mirrored picture: after mirroring left-right)."""
        if self.transpose:
            return 270 if self.mirror_x else 90
        return 180 if self.mirror_y else 0

    @property
    def mirrored(self) -> bool:
        """Whether the picture is also mirrored, which no turn alone can do."""
        return self.transpose ^ self.mirror_x ^ self.mirror_y

    def apply(self, picture: np.ndarray) -> np.ndarray:
        """The upright picture (H, W, 3), contiguous, of a stored one."""
        if self.transpose:
            picture = picture.transpose(1, 0, 2)
        if self.mirror_x:
            picture = picture[:, ::-1]
        if self.mirror_y:
            picture = picture[::-1]
        return np.ascontiguousarray(picture)


def from_matrix(matrix: np.ndarray) -> Orientation:
    """Orientation of a display matrix (9 numbers, row by row; ISO/IEC 14496-12, 6.2.2).

    The matrix maps a stored position (p, q) to x = a p + c q, y = b p + d q. Turns that are no multiple of 90 degrees
    are rounded to the nearest one.
    """
    a, b, _, c, d = (int(value) for value in np.ravel(matrix)[:5])
    if abs(b) + abs(c) > abs(a) + abs(d):
        return Orientation(True, mirror_x=c < 0, mirror_y=b < 0)
    return Orientation(False, mirror_x=a < 0, mirror_y=d < 0)


def orientation(frame: av.VideoFrame) -> Orientation:
    """The orientation a decoded frame asks for; the stored one where it asks for nothing."""
    try:
        matrix = frame.side_data.get(Type.DISPLAYMATRIX)
    except ValueError:  # side data of a kind PyAV has no name for hides the rest: the angle remains
        return _TURNS[round(frame.rotation / 90) % 4]
    return from_matrix(np.frombuffer(bytes(matrix), np.int32)) if matrix is not None else Orientation()


_TURNS = (
    Orientation(),
    Orientation(True, mirror_y=True),
    Orientation(False, mirror_x=True, mirror_y=True),
    Orientation(True, mirror_x=True),
)
