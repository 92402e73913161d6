"""How the logits are read from the neurons: angle-sum identities (Table 1) and the loss of the key cosines (section 4.1)."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from progress_measures.analysis.runs import key_frequencies_of


def readout_rows(run_cube: xr.Dataset) -> list[tuple[Any, ...]]:
    """Compute the rows of Table 1 of one run.

    Returns:
        For each key frequency and wave (`cos` or `sin`): frequency, wave, the coefficients of the two products in the
        wave's angle-sum identity, the coefficient of the wave of a + b, and the fraction of variance that it explains.
    """
    rows = []
    for k in key_frequencies_of(run_cube):
        at_key = run_cube.sel(frequency=k)
        pairs = {"cos": ("cos a cos b", "sin a sin b"), "sin": ("sin a cos b", "cos a sin b")}
        for wave, names in pairs.items():
            products = [float(at_key.readout_product_coefficient.sel(wave=wave, product=name)) for name in names]
            single = float(at_key.readout_coefficient.sel(wave=wave))
            rows.append((int(k), wave, *products, single, float(at_key.readout_fraction_explained.sel(wave=wave))))
    return rows


def cosine_loss(run_cube: xr.Dataset) -> float:
    """Compute the loss of logits that consist of the fitted key cosines only.

    The loss is equal at every pair, because the logits depend on a + b - c alone.
    """
    p, keys = int(run_cube.prime), key_frequencies_of(run_cube)
    heights = run_cube.cosine_coefficient.sel(frequency=keys).values.astype(float) / np.sqrt(p**3 / 2)
    logits = heights @ np.cos(2 * np.pi * np.outer(keys, np.arange(p)) / p)
    return float(np.log1p(np.exp(logits[1:] - logits[0]).sum()))
