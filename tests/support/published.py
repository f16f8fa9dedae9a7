"""Numbers that were published."""

import numpy as np

# CNU_ADL's fused expression predictions on its validation frames (CNU_ADL spec, acceptance test 5); rows are the truth.
CNU_ADL_FUSED = np.array(
    [
        [80328, 8376, 1299, 3788, 22263, 14211, 25804],
        [1908, 1917, 16, 79, 579, 1886, 418],
        [114, 158, 212, 0, 154, 246, 93],
        [1286, 80, 471, 416, 306, 3971, 1622],
        [3900, 184, 54, 123, 27123, 2105, 3116],
        [8893, 1247, 828, 771, 2010, 16696, 741],
        [3015, 723, 44, 217, 1561, 510, 9821],
    ]
)
