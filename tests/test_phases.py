"""Phases and grok times of curves whose turning points are known."""

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
def test_turning_point_is_found(name):
    checkpoint = 100 if name in BOUNDARIES else 0
    found = getattr(phases, name)(grokking_curves())
    assert found.epoch == pytest.approx(EXPECTED_PHASES[name], abs=checkpoint)
    assert found.reason == ""


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


@pytest.mark.parametrize("start", [8500, 9700])  # the second is under way at the end
@pytest.mark.parametrize("name", BOUNDARIES)
def test_slingshots_after_the_cleanup_move_no_boundary(name, start):
    again = np.where((start <= EPOCHS) & (start + 800 > EPOCHS), 30.0, curve(TEST_LOSS))
    found = getattr(phases, name)(grokking_curves(test_loss=again))
    assert found.epoch == pytest.approx(EXPECTED_PHASES[name], abs=100)


@pytest.mark.parametrize("name", BOUNDARIES)
def test_a_dip_in_the_plateau_moves_no_boundary(name):
    dipped = np.where((EPOCHS >= 2000) & (EPOCHS < 2400), 1e-6, curve(TEST_LOSS))
    assert getattr(phases, name)(grokking_curves(test_loss=dipped)).epoch == pytest.approx(
        EXPECTED_PHASES[name], abs=100
    )


def test_a_test_loss_that_is_never_down_for_long_has_no_phases():
    restless = np.where((np.arange(len(EPOCHS)) + 5) % 7 < 3, 20.0, 1e-6)
    found = phases.cleanup_end(grokking_curves(test_loss=restless))
    assert np.isnan(found.epoch)
    assert found.reason == "the test loss falls but does not stay down for 500 epochs"


@pytest.mark.parametrize("name", BOUNDARIES)
def test_unit_of_the_losses_does_not_matter(name):
    scaled = grokking_curves(test_loss=1e3 * curve(TEST_LOSS), excluded_loss=1e3 * curve(EXCLUDED_LOSS))
    assert getattr(phases, name)(scaled).epoch == getattr(phases, name)(grokking_curves()).epoch


@pytest.mark.parametrize("name", BOUNDARIES)
def test_run_that_never_groks_has_no_phases(name):
    plateau = curve(([0, 500, 10000], [0.7, 1.3, 1.1]))
    found = getattr(phases, name)(grokking_curves(test_loss=plateau))
    assert np.isnan(found.epoch)
    assert found.reason == "the test loss falls by 0.2 decades, less than 2"


@pytest.mark.parametrize("name", ["grok_time", "test_loss_millionth_time", "test_accuracy_time"])
def test_threshold_never_reached(name):
    flat = grokking_curves(
        history_test_loss=np.full(len(HISTORY), 20.0), history_test_accuracy=np.full(len(HISTORY), 0.2)
    )
    found = getattr(phases, name)(flat)
    assert np.isnan(found.epoch)
    assert found.reason == "never for 500 epochs"


def test_without_key_frequencies_only_memorization_has_no_end():
    without = grokking_curves(excluded_loss=np.full(len(EPOCHS), np.nan))
    found = phases.memorization_end(without)
    assert np.isnan(found.epoch)
    assert "no key frequencies" in found.reason
    assert phases.memorization_end_maximal(without) == phases.memorization_end_maximal(grokking_curves())
    assert phases.circuit_formation_end(without) == phases.circuit_formation_end(grokking_curves())
    assert phases.cleanup_end(without) == phases.cleanup_end(grokking_curves())


@pytest.mark.parametrize("corners", [([0, 10000], [0.7, -1]), ([0, 10000], [-1, 0.7])])
def test_excluded_loss_that_does_not_turn_ends_no_memorization(corners):
    found = phases.memorization_end(grokking_curves(excluded_loss=curve(corners)))
    assert np.isnan(found.epoch)
    assert "does not turn" in found.reason


def test_excluded_loss_that_falls_again_in_cleanup_is_not_memorization():
    again = curve(([0, 1000, 6000, 7000, 10000], [0.7, -1.3, 0.7, -4, -4]))
    assert phases.memorization_end(grokking_curves(excluded_loss=again)).epoch == pytest.approx(1000, abs=100)


# ---- thresholds reached for good


def below(*spells, value=1e-3):
    """Curves of a run whose test loss is below 1e-2 from the first to the last epoch of each spell, and 20 elsewhere."""
    inside = sum((first <= HISTORY) & (last >= HISTORY) for first, last in spells)
    return grokking_curves(history_test_loss=np.where(inside, value, 20.0))


def test_dip_of_300_epochs_does_not_count():
    assert phases.grok_time(below((2000, 2300), (5000, 10000))).epoch == 5000


def test_dip_of_500_epochs_counts():
    assert phases.grok_time(below((2000, 2500), (5000, 10000))).epoch == 2000


def test_dip_that_ends_just_before_500_epochs_does_not():
    assert phases.grok_time(below((2000, 2490), (5000, 10000))).epoch == 5000


def test_several_dips_do_not_add_up():
    assert np.isnan(phases.grok_time(below((2000, 2300), (2400, 2700), (2800, 3100))).epoch)


def test_last_epochs_count_when_they_stay():
    assert phases.grok_time(below((9800, 10000))).epoch == 9800


def test_below_from_the_start():
    assert phases.grok_time(below((0, 10000))).epoch == 0


def test_loss_of_exactly_the_threshold_is_not_below_it():
    assert np.isnan(phases.grok_time(below((2000, 10000), value=1e-2)).epoch)
    assert phases.grok_time(below((2000, 10000), value=0.9999e-2)).epoch == 2000


def test_accuracy_of_exactly_99_percent_counts():
    accuracy = np.where(HISTORY < 3000, 0.98, 0.99)
    assert phases.test_accuracy_time(grokking_curves(history_test_accuracy=accuracy)).epoch == 3000


def test_loss_that_is_no_number_is_not_below():
    lost = np.where(HISTORY < 3000, 1e-3, np.nan)
    lost[HISTORY < 2900] = 20
    assert np.isnan(phases.grok_time(grokking_curves(history_test_loss=lost)).epoch)
