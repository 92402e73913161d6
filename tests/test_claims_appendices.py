"""Quantities of the appendices, measured on constructed curves with known results."""

import numpy as np
import pytest
import xarray as xr

from progress_measures.claims.quantities import curves, sequence_tasks, variants

EPOCHS = np.arange(0, 40001, 100)
INFINITY = float("inf")


def steps(*levels):
    """Return a curve that has each level from its epoch on: (0, 4.7), (1000, 12), …"""
    starts, values = zip(*levels, strict=True)
    return np.array(values, dtype=float)[np.searchsorted(starts, EPOCHS, side="right") - 1]


def spiked(curve, epoch, height, checkpoints=1):
    """Return the curve with a spike at an epoch, a number of checkpoints long."""
    start = int(np.searchsorted(EPOCHS, epoch))
    return np.concatenate([curve[:start], np.full(checkpoints, height), curve[start + checkpoints :]])


def cube(coords=None, **curves):
    """Return a cube of one or more runs with curves recorded by training (`history_…`) or at checkpoints."""
    along = {name: "history_epoch" if name.startswith("history_") else "epoch" for name in curves}
    variables = {name: (("run", along[name]), np.atleast_2d(values)) for name, values in curves.items()}
    runs = [f"seed{i}" for i in range(len(next(iter(variables.values()))[1]))]
    settings = {name: ("run", np.atleast_1d(values)) for name, values in (coords or {}).items()}
    return xr.Dataset(variables, {"run": runs, "epoch": EPOCHS, "history_epoch": EPOCHS} | settings)


# ---- two layers

LATE = steps((0, 4.7), (300, 18), (6000, 1e-7))
EXCLUDED = np.interp(EPOCHS, [0, 2000, 6000], [4.7, 1e-4, 8])


def two_layer(test_loss, grok_time=6000.0):
    return cube(test_loss=test_loss, excluded_loss=EXCLUDED).assign(grok_time=("run", [grok_time]))


def test_excluded_loss_that_rises_first_leads():
    measured = variants.excluded_rises_first(two_layer(LATE))
    assert measured["excluded_turns"] == pytest.approx(2000, abs=100)  # the running median turns at its minimum
    assert measured["test_loss_halves"] == 6000
    assert measured["lead"] == pytest.approx(4000, abs=100)


@pytest.mark.parametrize("checkpoints", [1, 20])
def test_slingshot_after_grokking_is_not_a_plateau(checkpoints):
    measured = variants.excluded_rises_first(two_layer(spiked(LATE, 20_000, 60, checkpoints)))
    assert measured["lead"] == pytest.approx(4000, abs=100)


def test_dip_in_the_plateau_is_not_the_fall():
    assert variants.excluded_rises_first(two_layer(spiked(LATE, 3000, 1)))["lead"] == pytest.approx(4000, abs=100)


def test_fall_is_found_if_grok_time_is_between_checkpoints():
    assert variants.excluded_rises_first(two_layer(LATE, 5950.0))["lead"] == pytest.approx(4000, abs=100)


def test_nothing_leads_in_a_run_that_does_not_grok():
    measured = variants.excluded_rises_first(two_layer(steps((0, 4.7), (300, 18)), np.nan))
    assert np.isnan(measured["lead"])


def test_late_runs_and_runs_with_slingshots_are_counted():
    memorized = steps((0, 0.1), (500, 1))
    quiet = steps((0, 4.7), (500, 1e-4))
    measured = variants.grokking_with_slingshots(
        cube(
            {"prime": [113] * 4},
            history_train_accuracy=[memorized] * 4,
            history_test_loss=[LATE, steps((0, 4.7), (700, 1e-7)), steps((0, 4.7), (300, 18)), LATE],
            history_train_loss_max=[
                spiked(quiet, 9000, 1e-2),
                quiet,
                spiked(quiet, 300, 50),
                spiked(quiet, 9000, 2e-4),
            ],
        )
    )
    assert list(measured["delay"]) == [5500, 200, INFINITY, 5500]
    assert measured["late"] == 2
    assert measured["slingshots"] == [
        1,
        0,
        0,
        0,
    ]  # rises before memorization or by less than a factor of 10 do not count
    assert measured["with_slingshots"] == 1


# ---- fresh and limited data


def losses(train, test, **more):
    return cube(history_train_loss=train, history_test_loss=test, **more)


TRAIN = steps((0, 2.4), (300, 0.05))


def test_coinciding_and_separate_losses_on_fresh_data_are_distinguished():
    right, train = {"history_test_accuracy": steps((0, 0.1), (300, 1))}, steps((0, 2.4), (3000, 0.05))
    measured = sequence_tasks.fresh_data(losses(train, train, **right))
    assert measured["largest_log10_ratio"] == 0
    assert measured["final_test_loss"] == 0.05
    assert measured["final_test_accuracy"] == measured["fraction_of_drop_in_a_fifth"] == 1
    apart = sequence_tasks.fresh_data(losses(train, steps((0, 2.4), (3000, 0.5)), **right))
    assert apart["largest_log10_ratio"] == pytest.approx(1)
    risen = sequence_tasks.fresh_data(losses(train, steps((0, 2.4), (3000, 5)), **right))
    assert np.isnan(risen["fraction_of_drop_in_a_fifth"])


def test_late_transition_on_limited_data_is_found_after_the_test_loss_rises():
    right = {"history_test_accuracy": steps((0, 0.1), (9000, 1))}
    late = steps((0, 2.4), (500, 8), (9000, 1.9))
    never = steps((0, 2.4), (500, 8), (9000, 2.1))
    measured = sequence_tasks.transition_on_fixed_set(losses(TRAIN, late, **right))
    assert (measured["train"], measured["test"], measured["test_over_train"]) == (300, 9000, 30)
    assert (measured["largest_test_loss"], measured["largest_at"], measured["final_test_loss"]) == (8, 500, 1.9)
    measured = sequence_tasks.transition_on_fixed_set(losses(TRAIN, never, **right))
    assert measured["test"] == INFINITY
    assert np.isnan(measured["test_over_train"])


def test_epochs_on_a_fixed_set_are_those_of_the_first_run():
    two = losses([TRAIN, TRAIN], [steps((0, 2.4), (1200, 0.05)), steps((0, 2.4), (400, 0.2))])
    measured = sequence_tasks.epochs_on_fixed_set(two)
    assert (measured["train"], measured["test"], measured["train_over_test"]) == (300, 1200, 0.25)
    second = sequence_tasks.epochs_on_fixed_set(two.isel(run=[1]))
    assert second["test"] == INFINITY
    assert np.isnan(second["train_over_test"])


def test_halving_is_relative_to_the_first_loss():
    measured = sequence_tasks.halving_on_fixed_set(losses(TRAIN, steps((0, 4), (500, 8), (5000, 2.1), (6000, 1.9))))
    assert (measured["train"], measured["test"], measured["train_over_test"]) == (300, 6000, 0.05)


def test_limited_data_compares_fresh_and_limited_data():
    learned = steps((0, 2.4), (3000, 0.05))
    fresh, few = losses(learned, learned, history_test_accuracy=learned), losses(TRAIN, steps((0, 4), (3000, 1)))
    measured = sequence_tasks.fresh_against_fixed_set(fresh, few, fresh, losses(TRAIN, TRAIN))
    assert measured["largest_log10_ratio_on_fresh_data"] == [0, 0]
    assert measured["train_over_test_on_fixed_set"] == [0.1, 1]


def test_digit_is_learned_when_its_loss_falls_fastest():
    falls = (1000, 4000, 20_000)
    curves = np.stack([np.interp(EPOCHS, [at - 500, at + 500], [2.3, 0.1]) for at in falls], -1)
    slow = np.stack([np.linspace(2.3, 0.1, len(EPOCHS))] * 3, -1)
    by_answer = [
        xr.Dataset({"test_loss_by_answer": (("run", "epoch", "answer"), values[None])}, {"epoch": EPOCHS})
        for values in (curves, slow)
    ]
    measured = sequence_tasks.digits_in_turn(*by_answer)
    assert measured["largest_drop"] == pytest.approx(2.2)
    assert np.abs(measured["steepest_at"] - falls).max() <= 1000  # half a window
    assert measured["steepest_at_first_digit"] < measured["steepest_at_second_digit"]
    assert measured["largest_drop_of_saved_weights"] == pytest.approx(0.11)
    assert measured["fraction_in_a_fifth"] == pytest.approx(1)
    assert measured["fraction_in_a_fifth_of_saved_weights"] == pytest.approx(0.2, abs=0.01)


def test_induction_circuit_is_read_off_the_first_and_the_last_layer():
    scores = np.zeros((1, 2, 2, 3))  # [run, epoch, layer, head]
    previous, induction = scores.copy(), scores.copy()
    previous[0, -1, 0, 2], induction[0, -1, 1, 0] = 0.9, 0.7
    previous[0, -1, 1, 0] = induction[0, -1, 0, 0] = 1  # of no interest in this layer
    dims = ("run", "epoch", "layer", "head")
    runs = xr.Dataset({"previous_token_score": (dims, previous), "induction_score": (dims, induction)})
    measured = sequence_tasks.induction_circuit(runs)
    assert (measured["previous_token"].item(), measured["induction"].item()) == (0.9, 0.7)


# ---- curves


def with_phases(ends=(1000, 9000, 14_000), **measured):
    names = ("memorization_end", "circuit_formation_end", "cleanup_end")
    return cube(**measured).assign({name: ("run", [float(end)]) for name, end in zip(names, ends, strict=True)})


def test_inflections_of_the_norm_are_counted_at_the_ends_of_phases():
    def norm(*logarithms):
        return np.exp(np.interp(EPOCHS, [0, 1000, 9000, 14_000, 40_000], logarithms))

    bent = curves.weights_inflections(with_phases(sum_of_squared_weights=norm(7, 8, 7.5, 6.5, 6.5)))
    assert (bent["inflections"].item(), bent["memorization"].item()) == (3, pytest.approx(1))
    straight = curves.weights_inflections(with_phases(sum_of_squared_weights=norm(7, 8, 7.2, 6.7, 6.7)))
    assert straight["inflections"].item() == 2  # the same slope in circuit formation and in cleanup


def test_losses_diverge_before_cleanup():
    losses = {
        "test_loss": steps((0, 4.7), (1000, 20), (9500, 1e-7), (20_000, 90)),
        "train_loss": steps((0, 4.7), (500, 1e-3)),
    }
    measured = curves.losses_diverge(with_phases(**losses))
    assert measured["largest_over_initial"].item() == pytest.approx(20 / 4.7)
    assert measured["test_over_train"].item() == pytest.approx(20_000)
    late = curves.losses_diverge(with_phases(ends=[np.nan] * 3, **losses))
    assert late["largest_over_initial"].item() == pytest.approx(90 / 4.7)


def test_restricted_accuracy_in_mid_formation_is_read_between_the_ends_of_two_phases():
    test, restricted = steps((0, 0.1), (6000, 1)), steps((0, 0.1), (2000, 0.95))
    measured = curves.restricted_accuracy_on_test_pairs(
        with_phases(ends=[1000, 5000, 7000], test_accuracy=test, restricted_accuracy_test=restricted)
    )
    assert measured["lead"] == [4000]
    assert measured["excess_in_mid_formation"] == pytest.approx([0.85])
    no_phases = curves.restricted_accuracy_on_test_pairs(
        with_phases(ends=[np.nan] * 3, test_accuracy=test, restricted_accuracy_test=restricted)
    )
    assert np.isnan(no_phases["excess_in_mid_formation"]).all()


def test_train_loss_is_flat_from_epoch_1400():
    losses = {
        "excluded_loss": EXCLUDED,
        "test_loss": LATE,
        "train_loss": steps((0, 4.7), (900, 1e-4), (1300, 1e-6), (5000, 2e-6)),
    }
    measured = curves.loss_changes_by_phase(with_phases(**losses))
    assert measured["train_loss_factor_from_1400"].item() == pytest.approx(2)
    assert measured["train_loss_factor"].item() == pytest.approx(50)


# ---- other data, primes and regularizers


def test_steps_to_a_loss_are_reported_by_fraction():
    def of(fraction, *test):
        return cube(
            {"train_fraction": fraction}, history_train_loss=steps((0, 4.7), (900, 1e-7)), history_test_loss=test
        )

    never, late = steps((0, 4.7)), steps((0, 4.7), (3000, 1e-3), (5000, 1e-5), (7000, 1e-7))
    soon = steps((0, 4.7), (1000, 1e-7))
    low, mainline, high = of([0.1], never), of([0.3], late), of([0.6], soon)
    measured = variants.steps_to_a_millionth(low, mainline, high)
    assert measured["test"] == {"0.1": INFINITY, "0.3": 7000, "0.6": 1000}
    assert measured["test_below_1e-4"]["0.3"] == 5000
    assert measured["test_below_1e-2"]["0.3"] == 3000
    assert (measured["latest_train"], measured["rises"], measured["largest_delay_from_06"]) == (900, 0, 100)
    assert measured["rises_of_delay"] == 0


def test_zero_ablation_is_compared_with_mean_ablation_where_networks_generalize():
    names = ["none", "MLP skip zeroed", "MLP skip at its mean"]
    dims = ("run", "intervention", "split")
    runs = cube(test_accuracy=[steps((0, 1.0)), steps((0, 0.1))]).assign(
        intervention_loss=(dims, [[[1], [6], [3]], [[1], [9], [1]]]),
        intervention_accuracy=(dims, [[[1], [0.9], [1]], [[1], [0], [1]]]),
    )
    measured = variants.skip_zeroed_if_generalizing(runs.assign_coords(intervention=names, split=["all"]))
    assert measured["accuracy_change"] == pytest.approx([-0.1])
    assert measured["over_mean_ablation"] == [2]


def test_sparsity_over_neurons_is_compared_with_the_mainline():
    def network(*norms):
        maps = {"W_L_fourier": (("neuron", "fourier_component"), np.diag(norms))}
        return cube(gini_W_L=steps((0, norms[-1]))).assign(maps)

    measured = variants.sparsity_with_l1(network(1.0, 0, 0, 0.1), network(1.0, 1, 1, 1))
    assert measured["neurons_more"] > 0.5
    assert measured["fourier_more"] == pytest.approx(-0.9)


def test_runs_that_do_not_memorize_are_named_and_not_judged():
    measured = variants.delay_of_memorizing_runs(
        cube(
            {"weight_decay": [1.0, 8.0]},
            history_train_loss=[steps((0, 6), (500, 1e-3)), steps((0, 6))],
            history_test_loss=[steps((0, 6), (700, 1e-3)), steps((0, 6))],
            test_accuracy=[steps((0, 0), (700, 1)), steps((0, 0))],
        )
    )
    assert (list(measured["delay"]), list(measured["test_accuracy"]), list(measured["failed_to_train_at"])) == (
        [200],
        [1],
        [8],
    )


def test_small_fractions_are_distinguished_from_larger_ones():
    curves = [steps((0, 6), (500, 1e-3))] * 2
    measured = variants.little_data_of_a_large_prime(
        cube(
            {"train_fraction": [0.05, 0.2]},
            history_train_loss=curves,
            history_test_loss=[steps((0, 6)), curves[0]],
            test_accuracy=[steps((0, 0)), steps((0, 0), (500, 1))],
        )
    )
    assert list(measured["accuracy_at_0.05_and_0.1"]) == [0]
    assert (list(measured["accuracy_at_0.2"]), list(measured["delay_at_0.2"])) == ([1], [0])


def test_late_generalization_is_counted_by_dropout_rate():
    memorized, never = steps((0, 0.1), (500, 1)), steps((0, 0.0), (500, 0.9))
    test = [steps((0, 0), (900, 1)), steps((0, 0), (9000, 1)), never]
    measured = variants.generalization_by_dropout(
        cube(
            {"dropout": [0.2, 0.2, 0.5]},
            history_train_accuracy=[memorized] * 3,
            history_test_accuracy=test,
            test_accuracy=test,
        )
    )
    assert measured["test_accuracy"] == {"0.2": [1, 1], "0.5": [0.9]}
    assert (measured["late_at_0.2"], measured["late_at_0.5"]) == (1, 0)


def test_sparsity_with_dropout_is_compared_with_networks_that_generalized_by_weight_decay(monkeypatch):
    columns = {"test_accuracy": [0.99, 1, 0.2], "logit_FVE": [0.7, 0.9, 0.1]}
    columns |= {"Gini_W_E": [0.2, 0.25, 0.3], "Gini_W_L": [0.4, 0.5, 0.1], "keys": ["1", "2", "3"]}
    monkeypatch.setattr(variants, "structure", lambda _: columns)
    rates = cube({"dropout": [0.2, 0.5, 0.5]}, test_accuracy=[steps((0, accuracy)) for accuracy in (0.99, 1.0, 0.2)])
    decayed = cube(test_accuracy=[steps((0, 1.0)), steps((0, 0.1))], gini_W_E=[steps((0, 0.6)), steps((0, 0.1))])
    measured = variants.structure_by_dropout(rates, decayed)
    assert list(measured["Gini_W_E"]) == [0.2, 0.25]  # the third network has not generalized
    assert list(measured["Gini_W_L"]) == [0.4, 0.5]
    assert measured["largest_Gini_over_decayed"] == pytest.approx(0.25 / 0.6)
    assert measured["more_explained_at_0.5"]
    none_learned = rates.assign(test_accuracy=0 * rates.test_accuracy)
    measured = variants.structure_by_dropout(none_learned, decayed)
    assert not measured["Gini_W_E"].size
    assert np.isnan(measured["largest_Gini_over_decayed"])
    assert not measured["more_explained_at_0.5"]
