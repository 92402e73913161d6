"""The microscope for grokking: from configuration to figure.

config/experiments → dataset → training → measures → cube → figures → report

Try `snakemake -c2 quickstart` first (about three minutes), or ask for any one file:
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
include: "workflow/rules/tables.smk"  # cubes → Markdown, CSV, LaTeX
include: "workflow/rules/explorer.smk"  # cubes → a page on which networks can be watched as they grok
include: "workflow/rules/claims.smk"  # cubes → the ledger of claims


rule all:
    """Every figure and table of every source, the explorer, and the ledger of claims."""
    default_target: True
    input:
        figures(*figure_ids()),
        tables(*table_ids()),
        rules.explorer.output,
        rules.claims.output,


rule quickstart:
    """Three small networks that grok in minutes, the main-text figures of them, and a page to explore them."""
    input:
        "results/quickstart/explorer/index.html",
        [f"results/quickstart/figures/paper/fig0{n}.png" for n in range(1, 8)],


rule paper:
    """Every figure and table of the paper."""
    input:
        figures(*figure_ids("paper")),
        tables(*table_ids("paper")),


rule paper_mechanism:
    """What the paper shows of its mainline network and the four sister seeds: Figures 1-19, Tables 1-4."""
    input:
        figures(*(f"paper/fig{n:02}" for n in range(1, 20))),
        tables(*(f"paper/table{n:02}" for n in range(1, 5))),


rule mainline:
    """The paper's five mainline networks: their cube and all that is drawn from it alone."""
    input:
        cube("mainline"),
        figures(
            *(
                name
                for name in figure_ids()
                if load_figure(name).experiments == ("mainline",)
            )
        ),


rule subtraction:
    """The subtraction notebook's network: its cube and its figures."""
    input:
        cube("subtraction"),
        figures(*figure_ids("subtraction")),


rule mod_addition:
    """The blog on a published run of modular addition, drawn of the mainline: its figures, and what of them moves."""
    input:
        cube("mainline"),
        figures(*figure_ids("mod_addition")),


rule integer_addition:
    """The integer addition notebook's network: its cube, figures and tables."""
    input:
        cube("integer_addition"),
        figures(*figure_ids("integer_addition")),
        tables(*table_ids("integer_addition")),


rule transformer_lens_demo:
    """The TransformerLens demo's network: its cube and its figures."""
    input:
        cube("transformer_lens_demo"),
        figures(*figure_ids("demo")),
