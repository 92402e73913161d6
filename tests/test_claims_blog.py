"""Quantities of the blog, on networks with known results."""

import numpy as np
import pytest
import xarray as xr

from progress_measures import fourier
from progress_measures.claims.quantities import blog as of
from progress_measures.measures.spectra import TERMS

P = 13
FREQUENCY = fourier.frequencies(P)


def made(keys=(2, 5), ends=(300, 600, 900), **variables):
    """Return a cube of one run at checkpoints 0, 100, … with given key frequencies, ends of phases and variables."""
    measured = {"key_frequency": (("run", "frequency"), np.isin(FREQUENCY, keys)[None])}
    names = ("memorization_end", "circuit_formation_end", "cleanup_end")
    measured |= {name: ("run", [float(end)]) for name, end in zip(names, ends, strict=True)}
    measured |= {name: (dims, np.asarray(values)) for name, (dims, values) in variables.items()}
    epochs = max((np.shape(v)[d.index("epoch")] for d, v in variables.values() if "epoch" in d), default=1)
    coords = {"run": ["one"], "epoch": 100 * np.arange(epochs), "frequency": FREQUENCY, "prime": ("run", [P])}
    return xr.Dataset(measured, coords | {"task": ("run", ["modular_addition"])})


def over_time(values):
    return ("run", "epoch"), [np.asarray(values, dtype=float)]


def neurons(share, frequency, **more):
    """Return three variables of neurons at one checkpoint."""
    of_neurons = ("run", "epoch", "neuron")
    return {
        "neuron_fraction_explained": (of_neurons, [[share]]), "neuron_frequency": (of_neurons, [[frequency]]), **more,
    }  # fmt: skip


def test_labels_are_sums():
    assert of.example_sum(made().assign_coords(prime=("run", [113])))["label"] == 7


def test_fall_of_the_test_loss_is_reported_from_first_to_last():
    cube = made()
    for split, values in {"train": [5, 1e-7, 1e-7], "test": [5, 5, 1e-7]}.items():
        cube[f"history_{split}_loss"] = ("run", "history_epoch"), [values]
    measured = of.grokking_landmarks(cube.assign_coords(history_epoch=[0, 50, 100]))
    assert measured == {
        "train_below_1e-6": 50, "test_below_1e-6": 100, "fall_starts": 600, "fall_ends": 900, "end_over_start": 1.5,
    }  # fmt: skip


def test_excluded_losses_are_compared_with_their_minimum_until_halfway():
    curves = np.ones((8, len(FREQUENCY)))
    curves[:, 1] = [
        9,
        3,
        2,
        6,
        1,
        1,
        1,
        1,
    ]  # k = 2: halfway, at 300, it is 3 times its minimum; later epochs do not count
    curves[:, 4] = [9, 9, 9, 9, 99, 99, 99, 99]  # k = 5: it has not risen yet
    cube = made(
        excluded_loss_by_frequency=(("run", "epoch", "frequency"), [curves]),
        test_loss=over_time([4, 5, 5, 5, 1, 1, 1, 1]),
    )
    measured = of.excluded_rises_early(cube)
    assert measured["over_least"] == [3, 1]
    assert measured["least_over_memorization_end"] == [400 / 300, 0]
    assert measured["risen_threefold"] == 1
    assert measured["test_loss_change"] == 0
    assert of.excluded_rises_early(cube.assign(circuit_formation_end=("run", [np.nan])))["over_least"] == []


def test_head_output_is_counted_without_its_mean():
    rows = 5 + fourier.basis(P)[3] + 0.5 * fourier.basis(P)[5]  # cos 2 and, at half its height, cos 3
    table = np.stack([np.append(rows, 99.0)])[..., None]  # the token `=` does not count
    cube = made(keys=(2,), neuron_value_token=(("head", "token", "neuron"), table))
    assert of.W_neur_in_keys(cube)["mean"] == pytest.approx(0.8)


def test_components_are_counted_until_they_contain_nine_tenths():
    squares = np.zeros(P)
    squares[[3, 4, 9]] = 6, 3, 1
    numbers = np.append(np.sqrt(squares) @ fourier.basis(P), 7)
    cube = made(
        keys=(2,), W_E_fourier_norm=(("run", "epoch", "fourier_component"), np.sqrt(squares)[None, None]),
        W_E=(("run", "token", "residual"), numbers[None, :, None]),
    )  # fmt: skip
    measured = of.embedding_few_components(cube)
    assert measured["components_for_90_percent"] in (2, 3)  # 9 of 10, up to rounding
    assert measured["fraction_of_largest"] == pytest.approx(1)
    assert measured["components_of_dimension_0"] == measured["components_for_90_percent"]


def test_clusters_are_counted_above_the_threshold():
    share, frequency = [0.9, 0.86, 0.84, 0.95], [2, 2, 2, 5]
    measured = of.cluster_counts(made(**neurons(share, frequency)))
    assert measured == {"sizes": {"2": 2, "5": 1}, "none": 1, "total": 4, "fraction_of_none": 0.25}


def test_unclustered_neurons_that_are_always_active_are_counted():
    fires = {"neuron_fraction_active": (("epoch", "neuron"), [[0.1, 1, 0.99, 0.5]])}
    measured = of.unclustered_fire(made(**neurons([0.9, 0.2, 0.3, 0.4], [2, 2, 2, 5], **fires)))
    assert measured == {"median": 0.99, "neurons": 3, "always_on": 2}


def products(**coefficients):
    """Return a cube of one clustered neuron with these coefficients; all others are 0."""
    return [coefficients.get(term.replace(" ", "_"), 0.0) for term in TERMS]


def signs(*rows):
    fits = {"neuron_fit_coefficient": (("run", "neuron", "term"), [rows])}
    return of.signs_of_products(made(**neurons([0.9] * len(rows), [2] * len(rows), **fits)))


def test_signs_are_right_for_a_wave_of_the_sum_only():
    of_sum = products(cos_a_cos_b=1, sin_a_sin_b=-1, sin_a_cos_b=0.5, cos_a_sin_b=0.5)
    of_difference = products(cos_a_cos_b=1, sin_a_sin_b=1, sin_a_cos_b=0.5, cos_a_sin_b=-0.5)
    small = products(cos_a_cos_b=1, sin_a_sin_b=0.1, sin_a_cos_b=0.5, cos_a_sin_b=0.5)  # too small to have a sign
    assert signs(of_sum)["share"] == 1
    assert signs(of_difference)["share"] == 0
    assert signs(small)["share"] == 1
    assert signs(of_sum, of_difference, small, small)["share"] == 0.75


def test_signs_of_the_first_clustered_neuron_are_told_apart():
    of_sum = products(cos_a_cos_b=1, sin_a_sin_b=-1, sin_a_cos_b=0.5, cos_a_sin_b=0.5)
    of_difference = products(cos_a_cos_b=1, sin_a_sin_b=1, sin_a_cos_b=0.5, cos_a_sin_b=-0.5)
    assert signs(of_sum, of_difference)["of_first_neuron"]
    assert not signs(of_difference, of_sum)["of_first_neuron"]


def test_dimensions_of_one_term_are_counted():
    """The first dimension is one cosine of a key frequency, the second a sine of another, the third a mixture."""
    cos, sin = fourier.basis(P)[1::2], fourier.basis(P)[2::2]
    embedding = np.stack([cos[1], sin[3] + 5, cos[1] + sin[1] + cos[4]], 1)  # frequencies 2, 4, and 2 and 5
    of_tokens = np.concatenate([embedding, np.ones((1, 3))])  # the last token is `=`
    measured = of.embedding_dimensions(made(W_E=(("run", "token", "residual"), of_tokens[None])))
    assert (measured["of_one_term"], measured["of_one_key_term"], measured["of"]) == (2, 1, 3)
    assert measured["median"] == pytest.approx(1)


def test_way_of_the_embedding_is_summed_in_each_phase():
    norms = np.zeros((10, P))
    norms[:, 0] = [0, 1, 2, 3, 10, 10, 10, 12, 12, 12]  # memorization to 300, circuit formation to 600, cleanup to 900
    measured = of.embedding_changes(made(W_E_fourier_norm=(("run", "epoch", "fourier_component"), norms[None])))
    assert measured == {"memorization": 3, "circuit_formation": 7, "cleanup": 2, "formation_over_larger_other": 7 / 3}


def test_frequencies_whose_removal_costs_much_are_counted():
    cube = made(
        cluster_removed_loss=(("run", "frequency"), [[0, 0.02, 0, 0, 1e-3, 0]]),
        intervention_loss=(("run", "intervention", "split"), np.full((1, 2, 1), 1e-7)),
    ).assign_coords(intervention=["none", "clusters at their frequencies alone"], split=["all"])
    assert of.one_cluster_removed(cube)["keys_above_1e-2"] == 1


def test_network_without_clusters_has_no_loss_at_the_frequencies_of_clusters():
    names = ["none", "clusters at their frequencies, W_L alone", "clusters at their frequencies alone"]
    losses = {"intervention_loss": (("run", "intervention", "split"), np.full((1, 3, 1), 1e-7))}
    for explained, expected in ((0.9, 1e-7), (0.2, np.nan)):
        cube = made(**neurons([explained], [2], **losses)).assign_coords(intervention=names, split=["all"])
        assert of.clusters_kept(cube)["kept"] == pytest.approx(expected, nan_ok=True)


def test_sum_of_waves_is_largest_at_the_right_answer_only():
    measured = of.idealized_logits(made())
    assert measured == {"right": P * P, "pairs": P * P}
    assert of.idealized_logits(made(keys=()))["right"] < P * P  # all equal: the first is taken


def test_key_energies_are_ranked_among_frequencies():
    norms = np.ones((3, P))
    norms[2, [3, 4]] = 3  # k = 2, after 200 epochs
    norms[2, 9] = 2  # k = 5
    measured = of.key_energies_early(made(W_E_fourier_norm=(("run", "epoch", "fourier_component"), [norms])))
    assert measured == {"at_epoch": 200, "ranks": [1, 2], "among_first_8": 2}


def test_ratios_reach_half_of_their_final_value():
    curves = {"logits": [0, 0.5, 1], "pre": [0, 0.1, 0.4], "post": [0, 0.2, 0.4]}
    measured = of.trig_ratios(
        made(**{of.EXPLAINED_BY_DIRECTIONS[name]: over_time(values) for name, values in curves.items()})
    )
    assert [measured[f"{name}_half"] for name in curves] == [100, 200, 100]
    assert (measured["lead_over_pre"], measured["lead_over_post"]) == (100, 0)


def test_attention_is_symmetric_after_the_last_large_difference():
    attention = np.zeros((11, 2, 3))
    attention[[1, 4], 1, 0] = 0.5
    cube = made(mean_attention=(("run", "epoch", "head", "position"), [attention]))
    measured = of.attention_symmetry(cube.assign_coords(position=["a", "b", "="]))
    assert measured == {"when_memorized": 0, "after_grokking": 0, "small_after": 400}


def test_losses_are_equal_within_a_tenth_of_a_decade():
    whole, train = np.ones(10), np.ones(10)
    train[[0, 5]] = 2  # the first is before the end of memorization
    cube = made(
        restricted_loss=over_time(whole / [1, 1, 1, 2, 2, 2, 2, 2, 2, 2]), test_loss=over_time([2] * 9 + [0.5]),
        restricted_loss_train=over_time(train / [1, 1, 1, 2, 2, 2, 2, 2, 2, 2]),
    )  # fmt: skip
    measured = of.trig_losses(cube)
    assert measured["fraction_alike"] == pytest.approx(6 / 7)
    assert measured["lead"] == 600


def test_decrease_of_the_weights_is_divided_between_phases():
    measured = of.weights_peak(made(sum_of_squared_weights=over_time([1, 9, 8, 7, 6, 5, 5, 3, 2, 1])))
    assert measured == {"peak_at": 100, "peak_over_final": 9, "fraction_before_fall": 0.5}


def test_published_numbers_are_consistent():
    assert of.published_cluster_sums(made()) == {"total": 512, "tuned": 433}
    assert of.implied_train_loss(made())["implied_train_loss"] == pytest.approx(1.0969e-7, rel=1e-3)
