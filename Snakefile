"""The microscope for grokking: from configuration to figures.

config/experiments → dataset → training → measures → cube → figures, tables, explorer, claims

Try `snakemake -c2 quickstart` first (three minutes). Or request a single file: for
`snakemake -c2 results/figures/paper/fig07.pdf`, Snakemake trains, measures and draws only what this figure needs.
With `--config cubes=published` it draws from the published cubes, without training.
"""

from snakemake.utils import min_version

min_version("9.27")


include: "workflow/rules/common.smk"
include: "workflow/rules/datasets.smk"  # every pair, its label, and which runs train on it
include: "workflow/rules/training.smk"  # one resumable job of Snakemake per experiment, on this machine or on Slurm
include: "workflow/rules/cubes.smk"  # stores of measures of each run, gathered into a cube
include: "workflow/rules/figures.smk"  # cubes → PDF, PNG, SVG
include: "workflow/rules/tables.smk"  # cubes → Markdown, CSV, LaTeX
include: "workflow/rules/explorer.smk"  # cubes → a page that replays trainings
include: "workflow/rules/claims.smk"  # cubes → verdicts of claims


rule all:
    """Every figure and table, the explorer, and the verdicts of all claims; with cubes=published, those with published cubes."""
    default_target: True
    input:
        figures(*figure_ids()),
        tables(*table_ids()),
        "results/explorer/index.html",
        rules.claims.output,


rule quickstart:
    """Two networks that grok in minutes: Figures 1-7 of the paper drawn from them, and their page of the explorer."""
    input:
        "results/quickstart/explorer/index.html",
        [f"results/quickstart/figures/paper/fig0{n}.png" for n in range(1, 8)],


rule paper:
    """Every figure and table of the paper."""
    input:
        figures(*figure_ids("paper")),
        tables(*table_ids("paper")),


rule paper_mechanism:
    """The paper's results on its mainline network, with our five seeds: Figures 1-19, Tables 1-4."""
    input:
        figures(*(f"paper/fig{n:02}" for n in range(1, 20))),
        tables(*(f"paper/table{n:02}" for n in range(1, 5))),


rule mainline:
    """Five networks with the paper's main settings: their cube, and all figures that are drawn from this cube alone."""
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
    """A network with the subtraction notebook's settings: its cube and its figures."""
    input:
        cube("subtraction"),
        figures(*figure_ids("subtraction")),


rule mod_addition:
    """The figures and animations of the blog on modular addition, drawn from the mainline's cube."""
    input:
        cube("mainline"),
        figures(*figure_ids("mod_addition")),


rule integer_addition:
    """A network with the integer addition notebook's settings: its cube, figures and tables."""
    input:
        cube("integer_addition"),
        figures(*figure_ids("integer_addition")),
        tables(*table_ids("integer_addition")),


rule transformer_lens_demo:
    """A network with the TransformerLens demo's seeds: its cube and its figures."""
    input:
        cube("transformer_lens_demo"),
        figures(*figure_ids("demo")),
