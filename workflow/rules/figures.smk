"""cube.zarr → results/figures/<source>/<id>.{pdf,png,svg}, or results/<experiment>/figures/… of any other experiment

A figure's twin, `<id>.webp` or `<id>.html`, is a job of its own: animations take longer than stills, and few have one.
"""


localrules:
    figure,
    figure_of,
    twin,
    extra_formats_of,


rule figure:
    """Draw a figure from the cube of the experiment that it declares."""
    input:
        cubes=lambda wildcards: cubes(experiments_of(wildcards.figure)),
        published=lambda wildcards: published(declared(wildcards.figure)),
        code=code_of_figure,
        style=workflow.source_path("../../src/progress_measures/figures/paper.mplstyle"),
    output:
        pdf="results/figures/{figure}.pdf",
        svg="results/figures/{figure}.svg",
        png=report(
            "results/figures/{figure}.png",
            caption="../report/figure.rst",
            category=lambda wildcards: wildcards.figure.partition("/")[0],
            subcategory="figures",
            labels=lambda wildcards: labels("figure", wildcards.figure, load_figure),
        ),
    log:
        "results/logs/figures/{figure}.log",
    benchmark:
        "results/benchmarks/figures/{figure}.tsv"
    conda:
        "../../environment.yml"
    params:
        title=lambda wildcards: declared(wildcards.figure).title,
        caption=lambda wildcards: declared(wildcards.figure).caption,
        reference=lambda wildcards: declared(wildcards.figure).reference,
        cubes=lambda wildcards, input: [f"--cube {path}" for path in input.cubes],
        to=lambda wildcards, output: [f"--to {path}" for path in output],
    shell:
        "progress-measures draw {wildcards.figure} {params.cubes} {params.to} > {log} 2>&1"


use rule figure as figure_of with:
    input:
        cubes=lambda wildcards: cubes(
            experiments_of(wildcards.figure, wildcards.experiment)
        ),
        published=lambda wildcards: published(declared(wildcards.figure)),
        code=code_of_figure,
        style=workflow.source_path("../../src/progress_measures/figures/paper.mplstyle"),
    output:
        pdf="results/{experiment}/figures/{figure}.pdf",
        svg="results/{experiment}/figures/{figure}.svg",
        png=report(
            "results/{experiment}/figures/{figure}.png",
            caption="../report/figure.rst",
            category="{experiment}",
            subcategory="figures",
            labels=lambda wildcards: labels("figure", wildcards.figure, load_figure),
        ),
    log:
        "results/logs/figures/{experiment}/{figure}.log",
    benchmark:
        "results/benchmarks/figures/{experiment}/{figure}.tsv"
    conda:
        "../../environment.yml"


use rule figure as twin with:
    input:
        cubes=lambda wildcards: cubes(experiments_of(wildcards.figure)),
        published=lambda wildcards: published(declared(wildcards.figure)),
        code=code_of_twin,
        style=workflow.source_path("../../src/progress_measures/figures/paper.mplstyle"),
        template=workflow.source_path("../../src/progress_measures/figures/page.html"),
    output:
        "results/figures/{figure}.{twin}",
    log:
        "results/logs/figures/{figure}.{twin}.log",
    benchmark:
        "results/benchmarks/figures/{figure}.{twin}.tsv"
    conda:
        "../../environment.yml"


use rule twin as extra_formats_of with:
    input:
        cubes=lambda wildcards: cubes(
            experiments_of(wildcards.figure, wildcards.experiment)
        ),
        published=lambda wildcards: published(declared(wildcards.figure)),
        code=code_of_twin,
        style=workflow.source_path("../../src/progress_measures/figures/paper.mplstyle"),
        template=workflow.source_path("../../src/progress_measures/figures/page.html"),
    output:
        "results/{experiment}/figures/{figure}.{twin}",
    log:
        "results/logs/figures/{experiment}/{figure}.{twin}.log",
    benchmark:
        "results/benchmarks/figures/{experiment}/{figure}.{twin}.tsv"
    conda:
        "../../environment.yml"
