"""Phases and grokking times of curves with known turning points."""

import numpy as np
import pytest

from progress_measures.measures import family_measures, phases
from support.curves import (
    EPOCHS,
    EXCLUDED_LOSS,
    EXPECTED_PHASES,
    HISTORY,
    MAXIMAL_EXCLUDED_LOSS,
    TEST_LOSS,
    curve,
    grokking_curves,
)

BOUNDARIES = ("memorization_end", "memorization_end_maximal", "circuit_formation_end", "cleanup_end")


def test_every_phase_is_tested():
    assert set(EXPECTED_PHASES) == {measure.name for measure in family_measures("phases")}


@pytest.mark.parametrize("name", EXPECTED_PHASES)
def test_known_epoch_is_found(name):
    checkpoint = 100 if name in BOUNDARIES else 0
    phase = getattr(phases, name)(grokking_curves())
    assert phase.epoch == pytest.approx(EXPECTED_PHASES[name], abs=checkpoint)
    assert phase.reason == ""


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("name", BOUNDARIES)
def test_noise_moves_a_boundary_little(name, seed):
    noise = 10 ** (0.05 * np.random.default_rng(seed).standard_normal((3, len(EPOCHS))))
    curves = {"test_loss": TEST_LOSS, "excluded_loss": EXCLUDED_LOSS, "maximal_excluded_loss": MAXIMAL_EXCLUDED_LOSS}
    noisy = grokking_curves(**{key: curve(corners) * noise[i] for i, (key, corners) in enumerate(curves.items())})
    assert getattr(phases, name)(noisy).epoch == pytest.approx(EXPECTED_PHASES[name], abs=300)


@pytest.mark.parametrize("spike", [3000, 9000])
@pytest.mark.parametrize("name", BOUNDARIES)
def test_spike_of_one_checkpoint_moves_no_boundary(name, spike):
    spiky = np.where(spike == EPOCHS, 30.0, curve(TEST_LOSS))
    assert getattr(phases, name)(grokking_curves(test_loss=spiky)) == getattr(phases, name)(grokking_curves())


@pytest.mark.parametrize("start", [8500, 9700])  # the slingshot from 9700 has not ended at the last epoch
@pytest.mark.parametrize("name", BOUNDARIES)
def test_slingshots_after_the_cleanup_move_no_boundary(name, start):
    with_slingshot = np.where((start <= EPOCHS) & (start + 800 > EPOCHS), 30.0, curve(TEST_LOSS))
    phase = getattr(phases, name)(grokking_curves(test_loss=with_slingshot))
    assert phase.epoch == pytest.approx(EXPECTED_PHASES[name], abs=100)


@pytest.mark.parametrize("name", BOUNDARIES)
def test_dip_in_the_plateau_moves_no_boundary(name):
    dipped = np.where((EPOCHS >= 2000) & (EPOCHS < 2400), 1e-6, curve(TEST_LOSS))
    assert getattr(phases, name)(grokking_curves(test_loss=dipped)).epoch == pytest.approx(
        EXPECTED_PHASES[name], abs=100
    )


def test_loss_that_never_stays_low_has_no_phases():
    never_low = np.where((np.arange(len(EPOCHS)) + 5) % 7 < 3, 20.0, 1e-6)
    phase = phases.cleanup_end(grokking_curves(test_loss=never_low))
    assert np.isnan(phase.epoch)
    assert phase.reason == "the test loss falls but does not stay down for 500 epochs"


@pytest.mark.parametrize("name", BOUNDARIES)
def test_unit_of_the_losses_does_not_matter(name):
    scaled = grokking_curves(test_loss=1e3 * curve(TEST_LOSS), excluded_loss=1e3 * curve(EXCLUDED_LOSS))
    assert getattr(phases, name)(scaled).epoch == getattr(phases, name)(grokking_curves()).epoch


@pytest.mark.parametrize("name", BOUNDARIES)
def test_run_that_never_groks_has_no_phases(name):
    plateau = curve(([0, 500, 10000], [0.7, 1.3, 1.1]))
    phase = getattr(phases, name)(grokking_curves(test_loss=plateau))
    assert np.isnan(phase.epoch)
    assert phase.reason == "the test loss falls by 0.2 decades, less than 2"


@pytest.mark.parametrize("name", ["grok_time", "test_loss_millionth_time", "test_accuracy_time"])
def test_threshold_that_is_never_reached_gives_nan(name):
    flat = grokking_curves(
        history_test_loss=np.full(len(HISTORY), 20.0), history_test_accuracy=np.full(len(HISTORY), 0.2)
    )
    phase = getattr(phases, name)(flat)
    assert np.isnan(phase.epoch)
    assert phase.reason == "never for 500 epochs"


def test_without_key_frequencies_only_memorization_has_no_end():
    without_keys = grokking_curves(excluded_loss=np.full(len(EPOCHS), np.nan))
    phase = phases.memorization_end(without_keys)
    assert np.isnan(phase.epoch)
    assert "no key frequencies" in phase.reason
    assert phases.memorization_end_maximal(without_keys) == phases.memorization_end_maximal(grokking_curves())
    assert phases.circuit_formation_end(without_keys) == phases.circuit_formation_end(grokking_curves())
    assert phases.cleanup_end(without_keys) == phases.cleanup_end(grokking_curves())


def test_excluded_loss_at_few_checkpoints_is_compared_at_these():
    """With `measure: during`, the excluded loss is known only at the checkpoints whose weights were kept."""
    kept = np.isin(EPOCHS, EPOCHS[np.unique(np.geomspace(1, len(EPOCHS) - 1, 30).round().astype(int))])
    phase = phases.memorization_end(grokking_curves(excluded_loss=np.where(kept, curve(EXCLUDED_LOSS), np.nan)))
    exact = EXPECTED_PHASES["memorization_end"]
    below, above = EPOCHS[kept & (exact >= EPOCHS)].max(), EPOCHS[kept & (exact <= EPOCHS)].min()
    assert below <= phase.epoch <= above
    last = phases.memorization_end(grokking_curves(excluded_loss=np.where(EPOCHS[-1] == EPOCHS, 3.0, np.nan)))
    assert np.isnan(last.epoch)
    assert last.reason == "the excluded loss is known at fewer than 5 checkpoints before the test loss falls"


@pytest.mark.parametrize("corners", [([0, 10000], [0.7, -1]), ([0, 10000], [-1, 0.7])])
def test_excluded_loss_that_does_not_turn_ends_no_memorization(corners):
    phase = phases.memorization_end(grokking_curves(excluded_loss=curve(corners)))
    assert np.isnan(phase.epoch)
    assert "does not turn" in phase.reason


def test_excluded_loss_that_falls_again_in_cleanup_is_not_memorization():
    falling_again = curve(([0, 1000, 6000, 7000, 10000], [0.7, -1.3, 0.7, -4, -4]))
    assert phases.memorization_end(grokking_curves(excluded_loss=falling_again)).epoch == pytest.approx(1000, abs=100)


# ---- thresholds that are reached permanently


def below(*spells, value=1e-3):
    """Return curves with a test loss of `value` from the first to the last epoch of each spell, and of 20 elsewhere."""
    inside = sum((first <= HISTORY) & (last >= HISTORY) for first, last in spells)
    return grokking_curves(history_test_loss=np.where(inside, value, 20.0))


def test_dip_of_300_epochs_does_not_count():
    assert phases.grok_time(below((2000, 2300), (5000, 10000))).epoch == 5000


def test_dip_of_500_epochs_counts():
    assert phases.grok_time(below((2000, 2500), (5000, 10000))).epoch == 2000


def test_dip_that_ends_just_before_500_epochs_does_not_count():
    assert phases.grok_time(below((2000, 2490), (5000, 10000))).epoch == 5000


def test_several_dips_do_not_add_up():
    assert np.isnan(phases.grok_time(below((2000, 2300), (2400, 2700), (2800, 3100))).epoch)


def test_last_epochs_count_if_the_loss_stays_low():
    assert phases.grok_time(below((9800, 10000))).epoch == 9800


def test_loss_below_from_the_start_groks_at_0():
    assert phases.grok_time(below((0, 10000))).epoch == 0


def test_loss_of_exactly_the_threshold_is_not_below_it():
    assert np.isnan(phases.grok_time(below((2000, 10000), value=1e-2)).epoch)
    assert phases.grok_time(below((2000, 10000), value=0.9999e-2)).epoch == 2000


def test_accuracy_of_exactly_99_percent_counts():
    accuracy = np.where(HISTORY < 3000, 0.98, 0.99)
    assert phases.test_accuracy_time(grokking_curves(history_test_accuracy=accuracy)).epoch == 3000


def test_nan_loss_is_not_below_the_threshold():
    loss = np.where(HISTORY < 3000, 1e-3, np.nan)
    loss[HISTORY < 2900] = 20
    assert np.isnan(phases.grok_time(grokking_curves(history_test_loss=loss)).epoch)
