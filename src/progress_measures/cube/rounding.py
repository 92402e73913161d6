"""Floats rounded to fewer binary digits, so that they compress."""

import numpy as np


def rounded(values: np.ndarray, digits: int) -> np.ndarray:
    """Floats rounded to so many binary digits after the leading one: what is noise compresses to nothing."""
    bits = {"f4": "u4", "f8": "u8"}[values.dtype.str[1:]]
    drop = int(np.finfo(values.dtype).nmant) - digits
    if drop == 0:
        return values
    whole = np.ascontiguousarray(values).view(bits)
    kept = (whole + (1 << (drop - 1))) & ~np.array((1 << drop) - 1, dtype=bits)
    return np.where(np.isfinite(values), kept.view(values.dtype), values)
