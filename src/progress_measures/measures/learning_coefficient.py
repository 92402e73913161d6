"""Local learning coefficient of a network on pairs, estimated by Langevin dynamics (Lau et al. 2023).

Let w* be the weights of a checkpoint. The volume of the weights near w* with a loss below L(w*) + δ shrinks like δ^λ as
δ falls to 0; this exponent λ is the coefficient. If the loss is quadratic in all weights, λ is half the number of
weights; if the loss is degenerate, λ is less. The estimate is

    nβ (E[L(w)] - L(w*)),    w from the density proportional to exp(-nβ L(w) - γ/2 |w - w*|²),    β = 1 / log n,

where L is the mean cross-entropy over the n training pairs, without weight decay and other regularization but with the
labels that training uses (`split.label_noise`), and E is the mean over draws w from this density. A chain is the weights
at the steps of one simulation of Langevin dynamics that starts at w*; each step after a burn-in is a draw. The weights
w* are assumed to be a minimum of L. While training still lowers L quickly, they are no minimum: draws have a smaller
loss than w*, and the estimate is negative. The section `learning_coefficient` of the experiment sets the strength γ of
the pull to w*, the inverse temperature β (1 / log n by default), the step size of the Langevin dynamics, and the numbers
of chains, of steps of the burn-in, and of draws. Estimates with different settings are not comparable.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from progress_measures.experiments import derived
from progress_measures.measures.numerics import cached_per_checkpoint
from progress_measures.measures.registry import measure
from progress_measures.models.architecture import Architecture

if TYPE_CHECKING:
    from progress_measures.experiments.schema import LearningCoefficient, Run
    from progress_measures.measures.checkpoint import Checkpoint
    from progress_measures.measures.numerics import Number

BY_MOMENT = ("run", "moment")
REQUIRES = {"pairs", "split", "weights", "sampling"}
REFERENCE = "Lau et al. 2023, 'The Local Learning Coefficient: A Singularity-Aware Complexity Measure'"

MAX_RHAT = 1.1
"""Largest split R̂ of chains that have converged (Gelman et al. 2013).

The docstring of `learning_coefficient_rhat`, which the cube contains, states this number too."""


class Estimate(NamedTuple):
    """Estimates of the local learning coefficient along several chains.

    Attributes:
        draws: nβ (L(w) - L(w*)) at each draw w: [chain, draw]. Its mean is the estimate.
    """

    draws: NDArray[np.float64]

    @property
    def value(self) -> Number:
        """The local learning coefficient: the mean over chains and draws."""
        return self.draws.mean()

    @property
    def error(self) -> Number:
        """Standard error of `value`, from the spread of the chains' means."""
        by_chain = self.draws.mean(1)
        return by_chain.std(ddof=1) / np.sqrt(len(by_chain))

    @property
    def split_rhat(self) -> Number:
        """Potential scale reduction R̂ of the chains, each split into halves (Gelman et al. 2013): near 1 if they have converged.

        It is NaN if no chain moves or a chain diverges.
        """
        length = self.draws.shape[1] // 2
        halves = np.concatenate([self.draws[:, :length], self.draws[:, -length:]])
        variance_within = halves.var(1, ddof=1).mean()
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.sqrt((length - 1) / length + halves.mean(1).var(ddof=1) / variance_within)


def estimate(checkpoint: Checkpoint, settings: LearningCoefficient) -> Estimate:
    """Estimate the local learning coefficient of a checkpoint.

    The noise of a chain depends only on the run's seed and the index of the chain, so it is the same at all
    checkpoints. The random errors of two estimates therefore partly cancel in a difference between checkpoints.

    Args:
        checkpoint: checkpoint of a run on pairs with known weights and training pairs.
        settings: settings of the Langevin dynamics.

    Returns:
        The draws of each chain.
    """
    import torch  # not at the top: a dry run imports the declarations of all measures

    from progress_measures.models.langevin import sampled_losses
    from progress_measures.training.objectives.any_design import AnyDesignObjective
    from progress_measures.training.objectives.pairs import PairsObjective

    run, context = checkpoint.context.run, checkpoint.context
    train = torch.from_numpy(context.train).view(1, *run.task.defined().shape)
    pair_count = int(train.sum())
    nbeta = pair_count * (settings.inverse_temperature or 1 / np.log(pair_count))
    center = {
        name: torch.from_numpy(np.ascontiguousarray(checkpoint.stored[name]))
        for name in _ordered_names(run, checkpoint)
    }
    objective_class = PairsObjective if derived.uses_fast_path(run) else AnyDesignObjective
    with torch.device("cpu"):  # even if torch's default device is a GPU
        objective = objective_class(
            [_without_regularization(run)] * settings.chains, train.expand(settings.chains, -1, -1), torch.device("cpu")
        )
        losses = sampled_losses(
            objective.loss,
            center,
            steps=settings.burn_in + settings.draws,
            step_size=settings.step_size,
            nbeta=nbeta,
            localization=settings.localization,
            seeds=[_seed(run.seed, chain) for chain in range(settings.chains)],
        ).numpy()
    # losses[:, 0] are those of w*, before the first step
    return Estimate(nbeta * (losses[:, settings.burn_in + 1 :] - losses[:, :1]))


def _without_regularization(run: Run) -> Run:
    """Return the run with default training settings, whose loss is the cross-entropy alone, accurate even if it is small."""
    return run.model_copy(update={"training": type(run.training)(epochs=1, checkpoint_every=1, evaluate_every=1)})


def _ordered_names(run: Run, checkpoint: Checkpoint) -> list[str]:
    """Return the names of the tensors in an order that does not depend on how the weights are stored.

    Each tensor's noise depends on this order.
    """
    order = list(Architecture.of(run).parameters)
    return sorted(checkpoint.stored, key=lambda name: (order.index(name), "") if name in order else (len(order), name))


def _seed(run_seed: int, chain: int) -> int:
    """Return the seed of a chain's noise, as a nonnegative 64-bit integer."""
    return int(np.random.SeedSequence((run_seed, chain)).generate_state(1, np.uint64)[0] >> 1)


@cached_per_checkpoint
def _estimate(checkpoint: Checkpoint) -> Estimate:
    settings = checkpoint.context.run.learning_coefficient
    assert settings is not None
    return estimate(checkpoint, settings)


@measure(dims=BY_MOMENT, units="1", long_name="Local learning coefficient", requires=REQUIRES, reference=REFERENCE)
def learning_coefficient(checkpoint: Checkpoint) -> Number:
    """nβ times the mean rise of train loss from a checkpoint to weights sampled nearby; n train pairs, inverse temperature β.

    The train loss is the mean cross-entropy over the n training pairs. The samples are the draws of all chains of
    Langevin dynamics, whose settings are the coordinates `learning_coefficient_…`; β is 1 / log n unless such a
    coordinate gives it. The estimate is negative while training still lowers the loss quickly, because the checkpoint
    is then no minimum.
    """
    return _estimate(checkpoint).value


@measure(
    dims=BY_MOMENT,
    units="1",
    long_name="Standard error of the local learning coefficient",
    requires=REQUIRES,
    reference=REFERENCE,
)
def learning_coefficient_error(checkpoint: Checkpoint) -> Number:
    """Standard deviation over chains of the local learning coefficient, divided by the root of the number of chains."""
    return _estimate(checkpoint).error


@measure(
    dims=BY_MOMENT,
    units="1",
    long_name="Split R̂ of the local learning coefficient",
    requires=REQUIRES,
    reference="Gelman et al. 2013, Bayesian Data Analysis, section 11.4",
)
def learning_coefficient_rhat(checkpoint: Checkpoint) -> Number:
    """Potential scale reduction of the chains' losses, each split into halves; above 1.1, the chains have not converged.

    Draws of a chain are correlated, so short chains exceed 1.1 by chance, too.
    """
    return _estimate(checkpoint).split_rhat
