"""The jobs that each target needs: the real Snakefile on small experiments, in a checkout without results."""

import functools

import pytest

from progress_measures.explorer import EXPERIMENTS as EXPLORED
from support.checkout import FIGURE, MEASURED, Checkout
from support.experiments import small_experiment


@pytest.fixture(scope="module")
def empty(tmp_path_factory):
    return Checkout(tmp_path_factory.mktemp("empty"))


@pytest.fixture(scope="module")
def jobs(empty):
    """A function that returns how many jobs of each rule a target needs."""
    return functools.cache(empty.jobs)


def test_figure_needs_only_its_own_experiment(jobs):
    expected = {"dataset": 1, "train": 1, **MEASURED, "gather": 1, "figure": 1}
    assert jobs(FIGURE) == expected


@pytest.mark.parametrize(
    "target", ["quickstart", "mainline", "subtraction", "mod_addition", "paper_mechanism", "paper", "all"]
)
def test_named_targets_can_be_planned(jobs, target):
    assert {"train", "measure", "gather"} <= set(jobs(target))


def test_mechanism_target_needs_19_figures_and_4_tables_of_one_experiment(jobs):
    planned = jobs("paper_mechanism")
    assert {rule: planned[rule] for rule in ("train", "figure", "table")} == {"train": 1, "figure": 19, "table": 4}


@pytest.mark.parametrize(
    ("target", "figures", "tables"),
    [("subtraction", 28, 0), ("integer_addition", 13, 4), ("transformer_lens_demo", 40, 0)],
)
def test_target_of_a_notebook_needs_one_experiment_with_its_figures_and_tables(jobs, target, figures, tables):
    planned = jobs(target)
    assert [planned.get(rule, 0) for rule in ("train", "figure", "table")] == [1, figures, tables]


def test_figure_of_any_experiment_is_a_target(jobs):
    assert jobs("results/quickstart/figures/paper/fig02.svg")["figure"] == 1


def test_figure_of_a_run_is_a_target(jobs):
    assert jobs("results/figures/paper/fig07@seed0.pdf") == jobs(FIGURE)
    planned = jobs("results/quickstart/figures/paper/fig07@seed0.html")
    assert planned["extra_format"] == 1


def test_extra_format_of_a_figure_is_a_job_of_its_own(empty, jobs):
    assert jobs("results/figures/mod_addition/24_embedding_evolution.webp")["extra_format"] == 1
    assert jobs("results/quickstart/figures/paper/fig07.html")["extra_format"] == 1
    refused = empty.snakemake("-n", "-c1", "results/figures/paper/fig05.webp")
    assert refused.returncode == 2
    assert "figure paper/fig05 has no .webp; it has: .pdf, .png, .svg." in refused.stderr


def test_explorer_shows_the_main_experiments_or_any_single_one(jobs):
    assert jobs("results/quickstart/explorer/index.html")["explorer"] == 1
    planned = jobs("results/explorer/index.html")
    assert (planned["explorer"], planned["train"]) == (1, len(EXPLORED))


def test_figure_of_several_cubes_cannot_use_another_experiment(empty):
    refused = empty.snakemake("-n", "-c1", "results/quickstart/figures/paper/fig20.png")
    assert refused.returncode == 2
    assert "figure paper/fig20 reads 3 cubes and cannot be drawn from quickstart alone" in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["results/figures/paper/fig77.pdf"], "There is no figure 'paper/fig77'. Did you mean"),
        (["results/mainlin/cube.zarr"], "no experiment 'mainlin'"),
        (["results/figures/paper/fig07@seed9.pdf"], "mainline has no run seed9; its runs are: seed0, seed1."),
        (["results/mainline/figures/paper/fig16@seed0.pdf"], "paper/fig16 compares runs"),
        (["results/mainline/measured/seed9"], "mainline has no part 'seed9'; the runs that start a part are: seed0."),
        (["all", "--config", "cubes=borrowed"], "cubes=borrowed: expected `results` or `published`"),
    ],
)
def test_wrong_targets_end_with_one_message(empty, arguments, expected):
    refused = empty.snakemake("-n", "-c1", *arguments)
    assert refused.returncode == 2
    assert expected in refused.stderr
    assert "Traceback" not in refused.stderr


def test_invalid_experiment_ends_with_one_message(empty):
    try:
        empty.write("mainline", small_experiment(epochs=200, epoch=3))
        refused = empty.snakemake("-n", "-c1", FIGURE)
        assert refused.returncode == 2
        assert "config/experiments/mainline.yaml: training.epoch: unknown key; did you mean 'epochs'?" in refused.stderr
        assert "Traceback" not in refused.stderr
    finally:
        empty.write("mainline", small_experiment(epochs=200))
