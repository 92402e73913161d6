"""The microscope for grokking: from configuration to figure.

config/experiments → dataset → training → measures → cube → figures → report

Try `snakemake -c2 quickstart` first (about four minutes), or ask for any one file:
`snakemake -c2 results/figures/paper/fig07.pdf` trains, measures and draws just what that figure needs.
`--config cubes=published` draws from the published cubes instead, without training.
"""

from snakemake.utils import min_version

min_version("9.27")


include: "workflow/rules/common.smk"
include: "workflow/rules/datasets.smk"  # every pair, its label, who trains on it
include: "workflow/rules/training.smk"  # one job an experiment, on this machine or as Slurm jobs, resumable
include: "workflow/rules/cubes.smk"  # families of measures a run, gathered once an experiment
include: "workflow/rules/figures.smk"  # cubes → PDF, PNG, SVG


rule all:
    """Every figure of every source."""
    default_target: True
    input:
        figures(),


rule quickstart:
    """Three small networks that grok in minutes, and the main-text figures of them."""
    input:
        figures_of("quickstart", "paper"),


rule mainline:
    """The paper's five mainline networks: their cube and its figures."""
    input:
        cube("mainline"),
        [path for path in figures("paper") if experiment_of(path) == "mainline"],


rule subtraction:
    """The subtraction notebook's network: its cube and its figures."""
    input:
        cube("subtraction"),
        figures("subtraction"),


rule paper:
    """Every figure of the paper."""
    input:
        figures("paper"),
