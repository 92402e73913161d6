"""Two measures that distinguish the algorithms Clock and Pizza (Zhong, Liu, Tegmark & Andreas 2023), for each network of a cube.

`progress_measures.measures.algorithm` defines the measures.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from progress_measures.cube.stops import last_checkpoint

if TYPE_CHECKING:
    import xarray as xr

VARIABLES = ("gradient_symmetricity", "distance_irrelevance", "test_accuracy")
"""Variables that `networks_at_last_checkpoint` reads."""

NEAR_PERFECT_ACCURACY = 0.99
"""Smallest test accuracy of a network that generalizes. It is high because the networks of Zhong et al., with which ours are
compared, have 100 %. Claims use the smaller `GENERALIZATION_ACCURACY` of `progress_measures.analysis.runs`."""

PIZZA_LIMIT = 0.4
"""Distance irrelevance up to which a network is a typical Pizza; typical Clocks have a larger one, up to 1.

The limit is that of Zhong et al., section 4."""


class ClockPizzaMeasures(NamedTuple):
    """Gradient symmetricity and distance irrelevance of one network.

    Attributes:
        name: name of the network.
        symmetricity: its gradient symmetricity, -1 to 1: the mean cosine between the gradients of a logit with respect to the
            embeddings of a and of b.
        irrelevance: its distance irrelevance, 0 to 1: near 1 if the logit of the right answer hardly depends on a - b.
        generalized: whether its test accuracy is at least `NEAR_PERFECT_ACCURACY`.
    """

    name: str
    symmetricity: float
    irrelevance: float
    generalized: bool


ZHONG_NETWORKS = (
    ClockPizzaMeasures("network A, a Pizza", symmetricity=0.9937, irrelevance=0.17, generalized=True),
    ClockPizzaMeasures("network B, a Clock", symmetricity=0.3336, irrelevance=0.85, generalized=True),
)
"""Two example networks of Zhong et al.: network A has constant attention, network B trained attention (section 4)."""


def networks_at_last_checkpoint(cube: xr.Dataset) -> list[ClockPizzaMeasures]:
    """Return gradient symmetricity and distance irrelevance of each run at its last checkpoint.

    A run for which one of the two measures is NaN is left out.

    Args:
        cube: cube with the variables `VARIABLES`.
    """
    last = last_checkpoint(cube[list(VARIABLES)])
    networks = []
    for run in cube.run.values:
        symmetricity, irrelevance, accuracy = (float(last[name].sel(run=run)) for name in VARIABLES)
        if symmetricity == symmetricity and irrelevance == irrelevance:  # neither is NaN
            networks.append(ClockPizzaMeasures(str(run), symmetricity, irrelevance, accuracy >= NEAR_PERFECT_ACCURACY))
    return networks
