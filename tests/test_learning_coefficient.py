"""The local learning coefficient: the sampler against exact results, and the estimate against plain code and devinterp."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from progress_measures.claims.describe import describe
from progress_measures.cube.extract import measure_run
from progress_measures.cube.gather import gather
from progress_measures.cube.open import open_cube, open_run
from progress_measures.cube.parts import write_measuring_fingerprint
from progress_measures.experiments.schema import Experiment, LearningCoefficient
from progress_measures.measures import families_of
from progress_measures.measures.checkpoint import RunContext
from progress_measures.measures.learning_coefficient import MAX_RHAT, Estimate, estimate
from progress_measures.models.design import design_of
from progress_measures.models.langevin import sampled_losses
from progress_measures.models.network import answer_logits
from support.checkpoints import solving_network
from support.definitions import langevin_draws
from support.experiments import SMALL, P, folder_with, pair_run
from support.networks import random_mask, random_weights
from test_training import trained

FAMILY = "learning_coefficient"


# ---- the sampler


def mean_energy(loss, weights, nbeta, localization, step_size, burn_in, draws, chains=64):
    """Return nβ E[L(w)] for chains that start at w* = 0, its standard error over the chains."""
    losses = sampled_losses(
        loss, {"w": torch.zeros(weights)}, burn_in + draws, step_size, nbeta, localization, range(chains)
    )
    by_chain = nbeta * losses[:, burn_in + 1 :].mean(1)
    return float(by_chain.mean()), float(by_chain.std() / chains**0.5)


@pytest.mark.parametrize(("localization", "approximate"), [(0, 2.0), (50, 1.65)])
def test_regular_loss_has_half_a_coefficient_for_each_weight(localization, approximate):
    """The estimate is the stationary value of the dynamics with steps of this size; for ε → 0 and γ = 0 that is d/2 = 2."""
    curvature, nbeta, step_size = torch.tensor([1.0, 2, 4, 8]), 100.0, 5e-4
    rate = nbeta * curvature + localization
    exact = float((0.5 * nbeta * curvature / (rate * (1 - step_size * rate / 4))).sum())
    value, error = mean_energy(
        lambda w: (curvature * w["w"] ** 2).sum(1) / 2, 4, nbeta, localization, step_size, 200, 800
    )
    assert abs(value - exact) < 4 * error < 0.2
    assert exact == pytest.approx(approximate, rel=0.07)


def quadrature(energy, nbeta, localization):
    """Return nβ E[L] in two dimensions, from sums over a grid."""
    x = np.linspace(-4, 4, 4001)
    loss = energy(x[:, None], x[None])
    density = np.exp(-nbeta * loss - localization / 2 * (x[:, None] ** 2 + x[None] ** 2))
    return float(nbeta * (loss * density).sum() / density.sum())


def test_fourth_power_has_a_coefficient_of_a_quarter():
    value, error = mean_energy(lambda w: (w["w"] ** 4).sum(1), 1, 1000.0, 0, 1e-3, 200, 1500, chains=100)
    assert abs(value - 1 / 4) < 4 * error < 0.05


def test_crossing_valleys_have_a_coefficient_below_that_of_a_regular_loss():
    """The coefficient of x²y² tends to 1/2 as nβ grows, slowly; that of a regular loss of two weights is 1."""
    nbeta, localization = 1000.0, 20.0
    exact, at_larger_nbeta = (quadrature(lambda x, y: x**2 * y**2, n, localization) for n in (nbeta, 100 * nbeta))
    value, error = mean_energy(
        lambda w: w["w"][:, 0] ** 2 * w["w"][:, 1] ** 2, 2, nbeta, localization, 5e-4, 400, 1200, chains=100
    )
    assert abs(value - exact) < 4 * error < 0.05
    assert exact < at_larger_nbeta < 0.5


def test_chain_does_not_depend_on_the_other_chains_and_starts_at_the_center():
    center = {"w": torch.tensor([0.3, -1.0]), "v": torch.tensor([[2.0]])}

    def losses(*seeds):
        return sampled_losses(lambda w: (w["w"] ** 2).sum(1) + w["v"][:, 0, 0] ** 4, center, 20, 1e-2, 10.0, 1.0, seeds)

    several = losses(5, 6, 7)
    torch.testing.assert_close(several[1:2], losses(6), rtol=1e-6, atol=0)
    torch.testing.assert_close(several[:, 0], torch.full((3,), 0.09 + 1 + 16, dtype=torch.float64))
    assert len(set(several[:, -1].tolist())) == 3
    assert torch.equal(several, losses(5, 6, 7))


# ---- the estimate


def test_chains_have_converged_if_their_halves_have_one_distribution(rng):
    draws = rng.standard_normal((4, 1000))
    assert abs(Estimate(draws).split_rhat - 1) < 0.01
    assert Estimate(draws + np.linspace(0, 3, 1000)).split_rhat > 1.2
    assert Estimate(draws + np.arange(4)[:, None]).split_rhat > 1.2


def test_error_is_that_of_the_mean_over_chains():
    estimate_of_chains = Estimate(np.array([[1.0, 3], [2, 4], [5, 9]]))
    assert estimate_of_chains.value == 4
    assert estimate_of_chains.error == pytest.approx(np.std([2, 3, 7], ddof=1) / 3**0.5)


def with_sampling(run, **settings):
    """Return a run whose local learning coefficient is measured."""
    return type(run).model_validate(run.model_dump() | {FAMILY: settings})


def random_checkpoint(run):
    """Return a checkpoint with random weights."""
    weights = random_weights(run, np.random.default_rng(5), 0.3)
    return RunContext(run, weights, random_mask(P)).final


FEW = {"chains": 2, "burn_in": 1, "draws": 4, "step_size": 1e-4, "localization": 20}
DESIGNS = {
    "GELU and LayerNorm": {"activation": "gelu", "normalization": "layer_norm"},
    "two layers": {"layers": 2},
    "attention only": {"attention_only": True},
}


@pytest.mark.parametrize("design", DESIGNS)
def test_estimate_of_any_design_equals_its_definition(design):
    run = with_sampling(pair_run("modular_addition", **DESIGNS[design]), **FEW)
    checkpoint = random_checkpoint(run)

    def logits(weights, train_pairs):
        tokens = torch.cat([train_pairs, torch.full_like(train_pairs[:, :1], P)], 1)
        return answer_logits(weights, tokens, 2, design_of(run.model))[0]

    draws = langevin_draws(run, checkpoint.stored, random_mask(P), run.task.label_table(), logits)
    np.testing.assert_allclose(estimate(checkpoint, run.learning_coefficient).draws, draws, rtol=1e-6)


def test_regularization_of_the_training_is_no_part_of_the_loss():
    plain = with_sampling(pair_run("modular_addition"), **FEW)
    training = plain.training.model_copy(update={"dropout": 0.5, "l1": 10.0, "precision": "float32"})
    regularized = plain.model_copy(update={"training": training})
    expected, actual = (
        estimate(random_checkpoint(run), plain.learning_coefficient).draws for run in (plain, regularized)
    )
    np.testing.assert_array_equal(actual, expected)


def test_inverse_temperature_is_1_over_log_n_unless_given():
    """At high temperatures, the samples do not depend on the loss, and the estimate is proportional to β."""
    checkpoint = random_checkpoint(with_sampling(pair_run("modular_addition"), **FEW))
    default, given, hot, half_as_hot = (
        estimate(checkpoint, LearningCoefficient(**FEW, inverse_temperature=beta)).draws
        for beta in (None, 1 / np.log(random_mask(P).sum()), 1e-9, 2e-9)
    )
    np.testing.assert_array_equal(default, given)
    np.testing.assert_allclose(half_as_hot, 2 * hot, rtol=1e-4)


DEVINTERP = {"value": 13.633, "error": 0.324}
"""Mean and standard error over 32 chains of steps 200 to 399 of devinterp 2.0.1 on the network below.

They are from `loss_trace` of `devinterp.slt.llc.compute_llc`, for `devinterp.slt.sampling.sample` on a plain module with the
weights in float32: lr=1e-4, localization=100, n_beta=102/log(102), batch_size=102 (all training pairs), num_chains=32,
num_draws=400, num_burnin_steps=0, init_seed=100. The loss is the cross-entropy at `=`.
"""


def test_estimate_agrees_with_devinterp():
    context, _ = solving_network("modular_addition", 4.0)
    settings = LearningCoefficient(step_size=1e-4, localization=100, chains=16, burn_in=199, draws=200)
    ours = estimate(context.final, settings)
    assert ours.error < 0.8
    assert abs(ours.value - DEVINTERP["value"]) < 3 * (ours.error**2 + DEVINTERP["error"] ** 2) ** 0.5


# ---- the section of the experiment


def experiment(**changes):
    """Return the content of a small experiment with the section."""
    return SMALL | {"grid": {"seed": [0]}, FAMILY: FEW} | changes


def runs_of(content):
    """Return the runs of an experiment."""
    return Experiment.model_validate(content).runs("small")


def test_section_decides_whether_the_family_applies_and_changes_no_weights():
    (run,), (without,) = runs_of(experiment()), runs_of(experiment() | {FAMILY: None})
    assert set(families_of(run)) - set(families_of(without)) == {FAMILY}
    assert run.hash == without.hash
    assert {name: run.settings[name] for name in set(run.settings) - set(without.settings)} == {
        f"learning_coefficient_{name}": value for name, value in FEW.items()
    }


def test_changed_section_repeats_the_measuring(tmp_path):
    def fingerprint_with(section):
        return Path(
            write_measuring_fingerprint(tmp_path, "small", runs_of(experiment() | {FAMILY: section}))
        ).read_text()

    texts = [fingerprint_with(section) for section in (None, FEW, FEW | {"draws": 5})]
    assert len(set(texts)) == 3


MISTAKES = {
    "is for tasks on pairs": {"task": {"kind": "skip_trigram"}, "split": {}, "training": {"epochs": 100, "batch": 8}},
    "remove it, or `training.stop_when`": {
        "training": SMALL["training"] | {"stop_when": {"test_loss": 0.1, "for": 20}}
    },
    "`learning_coefficient.draws` cannot vary": {"grid": {"learning_coefficient.draws": [4, 5]}},
    "greater than or equal to 2": {FAMILY: {"chains": 1}},
}


@pytest.mark.parametrize("message", MISTAKES)
def test_mistake_in_the_section_is_an_error(message):
    with pytest.raises(ValueError, match=re.escape(message)):
        runs_of(experiment() | MISTAKES[message])


def test_cube_has_the_estimates_at_the_selected_epochs_and_describe_warns(tmp_path, monkeypatch):
    """After a change of the section, measures of other families are not computed again."""
    content = experiment(training={"epochs": 60, "checkpoint_every": 20, "evaluate_every": 20})
    monkeypatch.chdir(folder_with(tmp_path, content=content))
    (run,) = runs_of(content)
    trained(tmp_path / "results/small", [run])
    families = families_of(run)
    assert set(measure_run(run, families, first=True)) == set(families)
    gather("small", "Small", [run])
    cube = open_cube("small")
    assert cube.learning_coefficient.dims == ("run", "moment")
    assert cube.learning_coefficient_draws.item() == FEW["draws"]
    expected = estimate(open_run("small").checkpoint(20), run.learning_coefficient)
    at_20 = cube.sel(moment=20).isel(run=0)
    np.testing.assert_allclose(at_20.learning_coefficient, expected.value, rtol=1e-6)
    np.testing.assert_allclose(at_20.learning_coefficient_error, expected.error, rtol=1e-6)
    unconverged = int((cube.learning_coefficient_rhat > MAX_RHAT).sum())
    assert unconverged > 0
    assert f"WARNING: at {unconverged} of 4 selected epochs the chains have not converged" in describe(cube)
    assert "raise `draws` or `burn_in` in the section `learning_coefficient`" in describe(cube)
    assert {"draws", "burn_in"} <= set(FEW)  # they are fields of the section
    (changed,) = runs_of(content | {FAMILY: FEW | {"draws": 6}})
    assert measure_run(changed, families, first=True) == [FAMILY]
