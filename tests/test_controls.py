"""Controls: in networks that have not learned the rule, the measures must not find it."""

import functools

import numpy as np
import pytest
import torch

from progress_measures import open_cube, open_run
from progress_measures.experiments import load_experiment
from progress_measures.experiments.derived import train_mask
from progress_measures.experiments.schema import Experiment
from progress_measures.measures import measures
from progress_measures.measures.checkpoint import RunContext
from progress_measures.models.initialize import initial_weights
from progress_measures.training.objectives import pairs
from progress_measures.training.optimizers.adamw import AdamW

MAINLINE = "mainline"


def last_checkpoint_of(weights, run, labels=None):
    """Return weights as the last checkpoint of a run, optionally with other labels."""
    context = RunContext(run, {name: np.asarray(tensor) for name, tensor in weights.items()}, train_mask(run))
    if labels is not None:
        context.labels = labels.ravel()
    return context.final


@functools.cache
def untrained():
    run = load_experiment(MAINLINE).runs(MAINLINE)[0]
    return last_checkpoint_of(initial_weights(run), run)


@functools.cache
def memorized():
    """Return the mainline's first run while it memorizes, before it forms circuits."""
    run = load_experiment(MAINLINE).runs(MAINLINE)[0]
    early = int(open_cube(MAINLINE, published=True).epoch[2])
    return last_checkpoint_of(open_run(MAINLINE).weights(early), run)


@functools.cache
def shuffled():
    """Return a small network that has memorized shuffled answers."""
    file = {"title": "shuffled", "task": {"kind": "modular_addition", "prime": 31}, "training": {"epochs": 400}}
    file |= {"split": {"train_fraction": 0.5}, "model": {"d_model": 64, "d_head": 16, "d_mlp": 128}}
    run = Experiment.model_validate(file).runs("shuffled")[0]
    table = np.random.default_rng(0).permutation(run.task.label_table().ravel()).reshape(31, 31)
    masks = torch.from_numpy(train_mask(run))[None]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(run.task), "label_table", lambda task: table)
        objective = pairs.Objective([run], masks, torch.device("cpu"))
    optimizer = AdamW([run], [initial_weights(run)], torch.device("cpu"))
    torch.set_flush_denormal(True)  # as training does; other tests need subnormal numbers
    for epoch in range(run.training.epochs):
        optimizer.set_rates(epoch)
        optimizer.step(objective.loss(optimizer.weights))
    torch.set_flush_denormal(False)
    return last_checkpoint_of({name: tensor[0].detach() for name, tensor in optimizer.weights.items()}, run, table)


CONTROLS = {"untrained": untrained, "memorized": memorized, "shuffled labels": shuffled}
FOR_EACH_CONTROL = pytest.mark.parametrize("control", CONTROLS)


def value(name, checkpoint):
    return np.asarray(measures()[name].function(checkpoint))


def test_two_controls_have_memorized_their_training_pairs():
    for control in ("memorized", "shuffled labels"):
        checkpoint = CONTROLS[control]()
        assert value("train_accuracy", checkpoint) == 1
        assert value("test_accuracy", checkpoint) < 0.1
        assert value("test_loss", checkpoint) > np.log(checkpoint.context.n)


@FOR_EACH_CONTROL
def test_controls_have_no_key_frequencies(control):
    checkpoint = CONTROLS[control]()
    assert not value("key_frequency", checkpoint).any()
    assert np.isnan(value("restricted_loss", checkpoint))
    assert np.isnan(value("excluded_loss", checkpoint))


@FOR_EACH_CONTROL
def test_few_neurons_follow_one_frequency(control):
    assert np.mean(value("neuron_fraction_explained", CONTROLS[control]()) >= 0.85) < 0.01


@FOR_EACH_CONTROL
def test_cosines_explain_little_of_the_logits(control):
    assert 1 - value("cosine_residual_all", CONTROLS[control]()) ** 2 < 0.1


@FOR_EACH_CONTROL
def test_removing_a_single_frequency_changes_no_training_answers(control):
    """The accuracy on training pairs stays the same without any one frequency."""
    checkpoint = CONTROLS[control]()
    change = value("excluded_accuracy_by_frequency", checkpoint) - value("train_accuracy", checkpoint)
    assert np.abs(change).max() < 0.05


@FOR_EACH_CONTROL
def test_spectra_are_dense(control):
    checkpoint = CONTROLS[control]()
    assert value("gini_W_E", checkpoint) < 0.2
    assert value("gini_W_L", checkpoint) < 0.2


def test_last_checkpoint_of_the_mainline_has_what_the_controls_lack():
    """The same measures find the circuit in a network that generalizes."""
    run = load_experiment(MAINLINE).runs(MAINLINE)[0]
    checkpoint = last_checkpoint_of(open_run(MAINLINE).weights(), run)
    assert value("key_frequency", checkpoint).any()
    assert value("gini_W_L", checkpoint) > 0.5
    assert 1 - value("cosine_residual_all", checkpoint) ** 2 > 0.9
