"""Round floats to fewer mantissa bits, so that they compress better."""

import numpy as np


def rounded(values: np.ndarray, mantissa_bits: int) -> np.ndarray:
    """Round floats to fewer mantissa bits. The dropped bits become zeros, which compress to almost nothing.

    Args:
        values: float32 or float64, of any shape.
        mantissa_bits: number of stored mantissa bits to keep; the leading 1, which floats do not store, is not counted.

    Returns:
        Rounded values of the same shape and type. Values that are not finite, or would be rounded to infinity, are unchanged.
    """
    integer_type = {"f4": "u4", "f8": "u8"}[values.dtype.str[1:]]
    dropped_bits = int(np.finfo(values.dtype).nmant) - mantissa_bits
    if dropped_bits == 0:
        return values
    integers = np.ascontiguousarray(values).view(integer_type)
    # half of the last kept bit is added before the dropped bits are cleared, so that values are rounded to the nearest
    rounded_integers = (integers + (1 << (dropped_bits - 1))) & ~np.array((1 << dropped_bits) - 1, dtype=integer_type)
    rounded_values = rounded_integers.view(values.dtype).reshape(values.shape)
    return np.where(np.isfinite(values) & np.isfinite(rounded_values), rounded_values, values)
