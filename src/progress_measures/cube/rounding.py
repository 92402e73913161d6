"""Floats rounded to fewer binary digits, so that they compress."""

import numpy as np


def rounded(values: np.ndarray, digits: int) -> np.ndarray:
    """Floats rounded to so many binary digits after the leading one: what is noise compresses to nothing."""
    bits = {"f4": ("u4", 23), "f8": ("u8", 52)}[values.dtype.str[1:]]
    drop = bits[1] - digits
    if drop == 0:
        return values
    whole = np.ascontiguousarray(values).view(bits[0])
    kept = (whole + (1 << (drop - 1))) & ~np.array((1 << drop) - 1, dtype=bits[0])
    return np.where(np.isfinite(values), kept.view(values.dtype), values)
