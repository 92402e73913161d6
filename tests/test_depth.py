"""Measures of networks with two layers, and the families of measures of each run."""

import numpy as np
import pytest
import torch

from progress_measures.measures import measures
from progress_measures.measures.checkpoint import RunContext
from progress_measures.measures.interventions import INTERVENTIONS, KEY_FREQUENCY_INTERVENTIONS, ONE_LAYER_INTERVENTIONS
from progress_measures.models.transformer import forward
from support.definitions import cross_entropy
from support.experiments import P, pair_run
from support.networks import random_weights


def at_equals(weights, replace=None):
    """Return logits and activations at `=` from the general transformer; `replace` replaces the last residual stream."""
    activations = {}

    def hook(name, value):
        activations[name] = value[0, :, -1].numpy()
        if name == "blocks.1.hook_resid_post" and replace is not None:
            return value - value + torch.from_numpy(replace)[None, :, None]
        return None

    a, b = np.indices((P, P)).reshape(2, -1)
    tokens = torch.from_numpy(np.stack([a, b, np.full_like(a, P)], -1))
    batched = {name: torch.from_numpy(tensor)[None] for name, tensor in weights.items()}
    return forward(batched, tokens, hook)[0, :, -1].numpy(), activations


@pytest.fixture(scope="module")
def context():
    run = pair_run("modular_addition", layers=2)
    rng = np.random.default_rng(8)
    return RunContext(run, random_weights(run, rng, 0.4), rng.random((P, P)) < 0.4)


def test_skip_connection_around_the_last_mlp_at_its_mean(context):
    weights = context.final.weights
    _, activations = at_equals(weights)
    resid_mid, mlp_out = activations["blocks.1.hook_resid_mid"], activations["blocks.1.hook_mlp_out"]
    changed, _ = at_equals(weights, replace=resid_mid.mean(0) + mlp_out)
    by_intervention = dict(zip(INTERVENTIONS, measures()["intervention_loss"].function(context.final), strict=True))
    losses = cross_entropy(changed, context.labels)
    expected = [losses[context.train].mean(), losses[context.test].mean(), losses.mean()]
    np.testing.assert_allclose(by_intervention["MLP skip at its mean"], expected, rtol=1e-9)
    assert not np.allclose(by_intervention["none"], expected, rtol=1e-2)


def test_interventions_for_one_layer_are_nan_in_deeper_networks(context):
    losses = measures()["intervention_loss"].function(context.final)
    defined = {name for name, row in zip(INTERVENTIONS, losses, strict=True) if np.isfinite(row).all()}
    undefined_without_keys = set() if context.key_frequencies.size else set(KEY_FREQUENCY_INTERVENTIONS)
    assert defined == set(INTERVENTIONS) - set(ONE_LAYER_INTERVENTIONS) - undefined_without_keys
