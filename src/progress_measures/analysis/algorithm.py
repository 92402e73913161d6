"""Where the networks of a cube lie between the algorithms Clock and Pizza (Zhong, Liu, Tegmark & Andreas 2023)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from progress_measures.cube.stops import last_checkpoint

if TYPE_CHECKING:
    import xarray as xr

VARIABLES = ("gradient_symmetricity", "distance_irrelevance", "test_accuracy")
"""Variables that `at_last_checkpoint` reads."""

GENERALIZED = 0.99
"""Smallest test accuracy of networks that are compared with Zhong et al.'s networks, which have 100 %."""

PIZZA_LIMIT = 0.4
"""Distance irrelevance that separates typical Pizzas, 0 to 0.4, from typical Clocks, 0.4 to 1 (Zhong et al., section 4)."""


class Network(NamedTuple):
    """One network in the plane of gradient symmetricity and distance irrelevance."""

    name: str
    symmetricity: float
    irrelevance: float
    generalized: bool = True


ZHONG_NETWORKS = (Network("network A, a Pizza", 0.9937, 0.17), Network("network B, a Clock", 0.3336, 0.85))
"""Two example networks of Zhong et al.: network A has constant attention, network B trained attention (section 4)."""


def at_last_checkpoint(cube: xr.Dataset) -> list[Network]:
    """Return every run at its last checkpoint; a run without values there is left out.

    Args:
        cube: cube with the variables `VARIABLES`.
    """
    last = last_checkpoint(cube[list(VARIABLES)])
    networks = []
    for run in cube.run.values:
        symmetricity, irrelevance, accuracy = (float(last[name].sel(run=run)) for name in VARIABLES)
        if symmetricity == symmetricity and irrelevance == irrelevance:  # neither is NaN
            networks.append(Network(str(run), symmetricity, irrelevance, accuracy >= GENERALIZED))
    return networks
