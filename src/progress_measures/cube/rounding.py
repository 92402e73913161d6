"""Round floats to fewer binary digits, so that they compress better."""

import numpy as np


def rounded(values: np.ndarray, digits: int) -> np.ndarray:
    """Round floats to fewer binary digits, so that digits that are noise take no space after compression.

    Args:
        values: float32 or float64 of any shape.
        digits: binary digits to keep after the leading one.

    Returns:
        Rounded values of the same shape and type; values that are not finite are unchanged.
    """
    bits = {"f4": "u4", "f8": "u8"}[values.dtype.str[1:]]
    dropped = int(np.finfo(values.dtype).nmant) - digits
    if dropped == 0:
        return values
    integers = np.ascontiguousarray(values).view(bits)
    kept = (integers + (1 << (dropped - 1))) & ~np.array((1 << dropped) - 1, dtype=bits)
    return np.where(np.isfinite(values), kept.view(values.dtype), values)
